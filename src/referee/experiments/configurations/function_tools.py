"""Functions that models may call, as older clients keep them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.configurations.tables import FunctionToolRow
from referee.experiments.configurations.views import FunctionTool
from referee.experiments.creations import claim_creation
from referee.experiments.identifiers import make_not_found
from referee.experiments.listing import list_newest

__all__ = [
    "create_function_tool",
    "delete_function_tool",
    "get_function_tool",
    "list_function_tools",
    "update_function_tool",
]


async def list_function_tools(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[FunctionTool]:
    """Return functions, newest first."""
    where = [FunctionToolRow.project_id == project_id]
    page = await list_newest(
        session, FunctionToolRow, FunctionToolRow.function_tool_id, where, cursor=cursor, limit=limit
    )
    return page.map(_view)


async def get_function_tool(session: AsyncSession, project_id: UUID, function_tool_id: UUID) -> FunctionTool:
    """Return a function.

    Raises:
        NotFound: The project has none of that id.
    """
    row = await session.scalar(
        select(FunctionToolRow).where(
            FunctionToolRow.project_id == project_id, FunctionToolRow.function_tool_id == function_tool_id
        )
    )
    if row is None:
        raise make_not_found("function_tool", function_tool_id)
    return _view(row)


async def create_function_tool(
    session: AsyncSession, project_id: UUID, content: dict[str, Any], *, idempotency_key: str | None = None
) -> UUID:
    """Create a function. Returns its id.

    Raises:
        Conflict: The key was used for another creation.
    """
    function_tool_id, is_new = await claim_creation(
        session, project_id, "function_tool", idempotency_key, content
    )
    if is_new:
        session.add(
            FunctionToolRow(
                function_tool_id=function_tool_id,
                project_id=project_id,
                name=content["name"],
                description=content.get("description"),
                parameters_json=content["parameters"],
                tool_type=content["tool_type"],
            )
        )
        await session.flush()
    return function_tool_id


async def update_function_tool(
    session: AsyncSession, project_id: UUID, function_tool_id: UUID, changes: dict[str, Any]
) -> FunctionTool:
    """Change what is given.

    Raises:
        NotFound: There is no such function.
    """
    values = {("parameters_json" if name == "parameters" else name): one for name, one in changes.items()}
    row = (
        await session.execute(
            update(FunctionToolRow)
            .where(
                FunctionToolRow.project_id == project_id,
                FunctionToolRow.function_tool_id == function_tool_id,
            )
            .values(**values, updated_at=func.clock_timestamp())
            .returning(FunctionToolRow)
        )
    ).scalar_one_or_none()
    if row is None:
        raise make_not_found("function_tool", function_tool_id)
    return _view(row)


async def delete_function_tool(session: AsyncSession, project_id: UUID, function_tool_id: UUID) -> None:
    """Delete a function.

    Raises:
        NotFound: There is no such function.
    """
    gone = await session.scalar(
        delete(FunctionToolRow)
        .where(FunctionToolRow.project_id == project_id, FunctionToolRow.function_tool_id == function_tool_id)
        .returning(FunctionToolRow.function_tool_id)
    )
    if gone is None:
        raise make_not_found("function_tool", function_tool_id)


def _view(row: FunctionToolRow) -> FunctionTool:
    return FunctionTool(
        function_tool_id=row.function_tool_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        parameters=row.parameters_json,
        tool_type=row.tool_type,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
