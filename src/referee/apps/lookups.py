"""What other rooms ask about many apps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.runs import FailureKind
from referee.apps.service import App, view_app
from referee.apps.tables import AppRow, AppRunRow, GenerationRow

__all__ = ["can_app_run", "compute_generation_cost_usd", "list_named_apps"]

_NAMES_AT_ONCE: Final = 2_000


async def list_named_apps(
    session: AsyncSession, project_id: UUID, names: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], App]:
    """Return those of these apps (model and number) that are known."""
    found: dict[tuple[str, int], App] = {}
    for start in range(0, len(names), _NAMES_AT_ONCE):
        rows = await session.scalars(
            select(AppRow).where(
                AppRow.project_id == project_id,
                tuple_(AppRow.model, AppRow.number).in_(names[start : start + _NAMES_AT_ONCE]),
            )
        )
        found |= {(row.model, row.number): view_app(row) for row in rows}
    return found


async def can_app_run(session: AsyncSession, project_id: UUID, source_digest: str) -> bool:
    """Return whether another try may find an app of this source up: it was, or what stopped it was not its own."""
    passing = [kind.value for kind in FailureKind if not kind.is_of_app]
    return bool(
        await session.scalar(
            select(
                exists().where(
                    AppRunRow.project_id == project_id,
                    AppRunRow.source_digest == source_digest,
                    or_(AppRunRow.started_at.is_not(None), AppRunRow.failure.in_(passing)),
                )
            )
        )
    )


async def compute_generation_cost_usd(session: AsyncSession, app_id: UUID) -> float | None:
    """Return what all writings of an app cost together; None when no price is known."""
    cost = await session.scalar(
        select(func.sum(GenerationRow.cost_usd)).where(GenerationRow.app_id == app_id)
    )
    return None if cost is None else float(cost)
