"""The catalogue of tools as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from referee.foundation.web.answers import PageModel, PrincipalParameter
from referee.tools.catalogue import ToolModel
from referee.tools.registry import describe_tools, get_tool

__all__ = ["create_api"]


def create_api() -> APIRouter:
    """Return the routes of the tools' catalogue."""
    router = APIRouter(prefix="/v1")

    @router.get("/analysis-tools", tags=["tools"])
    async def list_analysis_tools(principal: PrincipalParameter) -> PageModel[ToolModel]:
        """List every tool with its parameters and presets."""
        del principal  # the catalogue is the same for everybody who may ask
        items = [ToolModel.of(description) for description in describe_tools()]
        return PageModel(items=items, total_count=len(items), limit=max(1, len(items)), next_cursor=None)

    @router.get("/analysis-tools/{name}", tags=["tools"])
    async def get_analysis_tool(name: str, principal: PrincipalParameter) -> ToolModel:
        """Return one tool with its parameters and presets."""
        del principal
        return ToolModel.of(get_tool(name).describe())

    return router
