"""Functions that models may call, as JSON in the shapes of older clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field, model_validator

from referee.core.pages import MAX_LIMIT
from referee.experiments.configurations import function_tools as service
from referee.experiments.configurations.views import FunctionTool
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.access import Principal
from referee.foundation.web.answers import CursorParameter, IdempotencyKey, LimitParameter, PrincipalParameter
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import JsonObject, Name, Text
from referee.foundation.web.legacy_names import rename_legacy

__all__ = ["create_function_tools_api"]

Description = Annotated[Text, Field(max_length=10_000)]


class _Renamed(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        """Take the names of still older clients."""
        return rename_legacy(value, {"type": "tool_type", "_id": "id"}, wrapper="tool")


class ToolRequestModel(_Renamed):
    """A function to keep."""

    name: Name
    description: Description | None = None
    parameters: JsonObject = Field(default_factory=dict)
    tool_type: Literal["function", "tool"] = "function"


class ToolChangeModel(_Renamed):
    """What to change of a function; what is left out stays."""

    id: Annotated[str, Field(max_length=200)]
    name: Name | None = None
    description: Description | None = None
    parameters: JsonObject | None = None
    tool_type: Literal["function", "tool"] | None = None


class ToolModel(BaseModel):
    """A function that a model may call."""

    id: str
    legacy_id: str = Field(serialization_alias="_id", description="The same as id, for older clients.")
    task: str = Field(description="Name of the project, for older clients.")
    name: str
    description: str
    parameters: dict[str, Any]
    tool_type: Literal["function", "tool"]
    project_id: str
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, tool: FunctionTool, principal: Principal) -> ToolModel:
        """Return the model of a function."""
        tool_id = str(tool.function_tool_id)
        return cls.model_validate(
            {
                "id": tool_id,
                "legacy_id": tool_id,
                "task": principal.project_slug,
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.parameters,
                "tool_type": tool.tool_type,
                "project_id": str(tool.project_id),
                "created_at": tool.created_at,
                "updated_at": tool.updated_at,
            }
        )


class InsertedToolModel(BaseModel):
    """The id of what was made."""

    insertedId: str


class CreatedToolModel(BaseModel):
    """The answer to a function's creation."""

    inserted: Literal[True] = True
    result: InsertedToolModel


class UpdatedToolModel(BaseModel):
    """The answer to a function's change."""

    updated: Literal[True] = True
    result: ToolModel


class DeletedToolModel(BaseModel):
    """The answer to a function's deletion."""

    deleted: Literal[True] = True
    id: str


def create_function_tools_api(room: GetRoom) -> ClientRouter:
    """Return the routes of functions, which are called tools on the wire."""
    router = ClientRouter(tags=["functions"])
    _add_reads(router, room)
    _add_changes(router, room)
    return router


def _add_reads(router: ClientRouter, room: GetRoom) -> None:
    @router.both("GET", "/tools")
    async def list_functions(
        principal: PrincipalParameter, limit: LimitParameter = MAX_LIMIT, cursor: CursorParameter = None
    ) -> list[ToolModel]:
        """List the functions that models may call, newest first."""
        async with room().database.reading() as session:
            page = await service.list_function_tools(
                session, principal.project_id, limit=limit, cursor=cursor
            )
        return [ToolModel.of(one, principal) for one in page.items]

    @router.both("GET", "/tools/{tool_id}")
    async def get_function(tool_id: str, principal: PrincipalParameter) -> ToolModel:
        """Return a function."""
        async with room().database.reading() as session:
            found = await service.get_function_tool(session, principal.project_id, _read(tool_id))
        return ToolModel.of(found, principal)


def _add_changes(router: ClientRouter, room: GetRoom) -> None:
    @router.both("POST", "/tools")
    async def create_function(
        body: ToolRequestModel, principal: PrincipalParameter, key: IdempotencyKey
    ) -> CreatedToolModel:
        """Keep a function."""
        principal.require("write")
        async with room().database.transaction() as session:
            made = await service.create_function_tool(
                session, principal.project_id, body.model_dump(), idempotency_key=key
            )
        return CreatedToolModel(result=InsertedToolModel(insertedId=str(made)))

    @router.both("PUT", "/tools")
    async def update_function(body: ToolChangeModel, principal: PrincipalParameter) -> UpdatedToolModel:
        """Change a function."""
        principal.require("write")
        changes = body.model_dump(exclude_none=True, exclude={"id"})
        async with room().database.transaction() as session:
            changed = await service.update_function_tool(
                session, principal.project_id, _read(body.id), changes
            )
        return UpdatedToolModel(result=ToolModel.of(changed, principal))

    @router.both("DELETE", "/tools")
    async def delete_function_named_in_query(
        principal: PrincipalParameter,
        function_id: Annotated[str, Query(max_length=200, description="Which one.")],
    ) -> DeletedToolModel:
        """Delete a function."""
        return await _delete(room, principal, function_id)

    @router.both("DELETE", "/tools/{tool_id}")
    async def delete_function(tool_id: str, principal: PrincipalParameter) -> DeletedToolModel:
        """Delete a function."""
        return await _delete(room, principal, tool_id)


async def _delete(room: GetRoom, principal: Principal, tool_id: str) -> DeletedToolModel:
    principal.require("write")
    async with room().database.transaction() as session:
        await service.delete_function_tool(session, principal.project_id, _read(tool_id))
    return DeletedToolModel(id=tool_id)


def _read(tool_id: str) -> UUID:
    return read_id(tool_id, "function_tool")
