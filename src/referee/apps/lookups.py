"""What other rooms ask about many apps at once: one query each, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, cast, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.generation.contract import GenerationFailure
from referee.apps.runs import FailureKind
from referee.apps.service import App, view_app
from referee.apps.tables import AppRow, AppRunRow, GenerationRow, TemplateRow

__all__ = [
    "GenerationFacts",
    "can_app_run",
    "compute_generation_cost_usd",
    "list_apps_by_id",
    "list_named_apps",
    "list_template_slugs",
    "list_written_apps",
    "read_generation_facts",
    "read_starts",
]

_NAMES_AT_ONCE: Final = 2_000
_APPS_FAULTS: Final = [kind.value for kind in FailureKind if kind.is_of_app]
"""Ways a start fails that blame the app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFacts:
    """The writings of one app."""

    attempts_count: int
    calls_count: int
    cost_usd: float | None
    prompt_tokens: int
    completion_tokens: int
    state: str
    """Of the last one."""
    failure: str | None
    is_models_fault: bool
    """Whether the last one failed by what the model answered."""


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


async def list_apps_by_id(
    session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
) -> dict[UUID, App]:
    """Return those of these apps that the project has."""
    rows = await session.scalars(
        select(AppRow).where(AppRow.project_id == project_id, _among(AppRow.app_id, app_ids))
    )
    return {row.app_id: view_app(row) for row in rows}


async def list_template_slugs(
    session: AsyncSession, project_id: UUID, template_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """Return the slug of those of these templates that the project has."""
    rows = await session.execute(
        select(TemplateRow.template_id, TemplateRow.slug).where(
            TemplateRow.project_id == project_id, _among(TemplateRow.template_id, template_ids)
        )
    )
    return {template_id: slug for template_id, slug in rows}


async def list_written_apps(
    session: AsyncSession, project_id: UUID, generation_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """Return which app each of these generations writes."""
    rows = await session.execute(
        select(GenerationRow.generation_id, GenerationRow.app_id).where(
            GenerationRow.project_id == project_id, _among(GenerationRow.generation_id, generation_ids)
        )
    )
    return {generation_id: app_id for generation_id, app_id in rows}


async def read_starts(session: AsyncSession, project_id: UUID, digests: Sequence[str]) -> dict[str, bool]:
    """Return whether the app of a source was ever up; none for one that was never tried in earnest."""
    rows = await session.execute(
        select(AppRunRow.source_digest, func.bool_or(AppRunRow.started_at.is_not(None)))
        .where(
            AppRunRow.project_id == project_id,
            AppRunRow.source_digest.in_(set(digests)),
            or_(
                AppRunRow.started_at.is_not(None),
                AppRunRow.failure.in_(_APPS_FAULTS),
            ),
        )
        .group_by(AppRunRow.source_digest)
    )
    return {digest: bool(has_started) for digest, has_started in rows}


async def read_generation_facts(
    session: AsyncSession, project_id: UUID, app_ids: Sequence[UUID]
) -> dict[UUID, GenerationFacts]:
    """Return the writings of each app; none for an app that was not written here."""
    rows = await session.scalars(
        select(GenerationRow)
        .where(GenerationRow.project_id == project_id, _among(GenerationRow.app_id, list(set(app_ids))))
        .order_by(GenerationRow.app_id, GenerationRow.version)
    )
    by_app: dict[UUID, list[GenerationRow]] = {}
    for row in rows:
        by_app.setdefault(row.app_id, []).append(row)
    return {app_id: _sum_generations(group) for app_id, group in by_app.items()}


def _sum_generations(rows: Sequence[GenerationRow]) -> GenerationFacts:
    costs = [row.cost_usd for row in rows]
    last = rows[-1]
    known = [cost for cost in costs if cost is not None]
    return GenerationFacts(
        attempts_count=len(rows),
        calls_count=sum(row.calls_count for row in rows),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        state=last.state,
        failure=last.failure,
        is_models_fault=last.failure is not None and GenerationFailure(last.failure).is_of_model,
    )


def _among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Return whether a column is one of many ids, sent as one array."""
    found: ColumnElement[bool] = column == any_(cast(list(ids), ARRAY(Uuid(as_uuid=True))))
    return found
