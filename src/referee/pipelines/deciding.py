"""Decisions of people and of the supervisor about pipelines and cells, put on record in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit import DecisionDraft, DecisionKind, record_decision
from referee.core.findings import JsonValue
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["record_cell_given_up", "record_request"]

_KINDS: Final[Mapping[str, DecisionKind]] = {
    "pause": DecisionKind.paused,
    "resume": DecisionKind.allowed,
    "cancel": DecisionKind.blocked,
}


async def record_request(session: AsyncSession, row: PipelineRow, action: str, reason: str) -> None:
    """Put on record that a person had a pipeline pause, go on or stop.

    Args:
        session: The transaction in which it does.
        row: The pipeline.
        action: ``pause``, ``resume`` or ``cancel``.
        reason: One sentence.
    """
    await record_decision(
        session,
        row.project_id,
        DecisionDraft(
            supervisor="pipelines",
            kind=_KINDS[action],
            policy="request",
            reason=reason,
            reason_code=f"{action}_requested",
            subject_kind="pipeline",
            subject_id=str(row.pipeline_id),
            source_event_at=(await session.execute(select(func.clock_timestamp()))).scalar_one(),
            actions=[{"action": f"{action}_pipeline"}],
        ),
    )


async def record_cell_given_up(
    session: AsyncSession, cell: CellRow, reason: str, holes: Sequence[Mapping[str, JsonValue]] = ()
) -> None:
    """Put on record that a cell ended without valid results and is not tried again by itself.

    Args:
        session: The transaction in which it ends.
        cell: With its end.
        reason: Why.
        holes: What its analysis did not come to.
    """
    project_id = await session.scalar(
        select(PipelineRow.project_id).where(PipelineRow.pipeline_id == cell.pipeline_id)
    )
    assert project_id is not None  # noqa: S101 - a cell belongs to a pipeline
    await record_decision(
        session,
        project_id,
        DecisionDraft(
            supervisor="pipelines",
            kind=DecisionKind.blocked,
            policy="given_up",
            reason=reason or "It ended without valid results.",
            subject_kind="cell",
            subject_id=str(cell.cell_id),
            source_event_at=cell.finished_at,
            source_key=f"given_up:{cell.cell_id}:{cell.tries_count}",
            evidence=holes,
            actions=[{"action": "end_cell", "state": cell.state, "attempts_count": cell.attempts_count}],
        ),
    )
