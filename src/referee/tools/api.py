"""The catalogue of tools as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from referee.foundation.web.answers import PageModel, PrincipalParameter
from referee.tools.catalogue import KnownToolModel
from referee.tools.inspecting import ToolInspector
from referee.tools.registry import describe_tools, get_tool

__all__ = ["create_api"]


def create_api(inspector: ToolInspector) -> APIRouter:
    """Return the routes of the tools' catalogue."""
    router = APIRouter(prefix="/v1")

    @router.get("/analysis-tools", tags=["tools"])
    async def list_analysis_tools(principal: PrincipalParameter) -> PageModel[KnownToolModel]:
        """List every tool with its parameters, its presets and whether it is installed."""
        del principal  # the catalogue is the same for everybody who may ask
        descriptions = describe_tools()
        found = await inspector.inspect_all([one.name for one in descriptions])
        items = [KnownToolModel.build(one, found[one.name]) for one in descriptions]
        return PageModel(items=items, total_count=len(items), limit=max(1, len(items)), next_cursor=None)

    @router.get("/analysis-tools/{name}", tags=["tools"])
    async def get_analysis_tool(name: str, principal: PrincipalParameter) -> KnownToolModel:
        """Return one tool with its parameters, its presets and whether it is installed."""
        del principal
        return KnownToolModel.build(get_tool(name).describe(), await inspector.inspect(name))

    return router
