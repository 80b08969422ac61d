"""Every read of decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.recording import FIRST_HASH, Decision, compute_hash, view_decision
from referee.audit.tables import DecisionChainRow, DecisionRow
from referee.core.pages import DEFAULT_LIMIT

__all__ = ["count_decisions", "list_subject_decisions", "verify_chain"]

_ROWS_AT_ONCE = 1_000


async def list_subject_decisions(
    session: AsyncSession,
    project_id: UUID,
    subject_kind: str,
    subject_id: str,
    *,
    limit: int = DEFAULT_LIMIT,
) -> tuple[Decision, ...]:
    """Return the decisions about one subject, the newest first."""
    rows = await session.scalars(
        select(DecisionRow)
        .where(
            DecisionRow.project_id == project_id,
            DecisionRow.subject_kind == subject_kind,
            DecisionRow.subject_id == subject_id,
        )
        .order_by(DecisionRow.sequence.desc())
        .limit(limit)
    )
    return tuple(view_decision(row) for row in rows)


async def verify_chain(session: AsyncSession, project_id: UUID) -> AsyncIterator[str]:
    """Read a project's chain again and yield a sentence for everything that does not fit.

    A removed, inserted, altered or reordered decision breaks the chain at its place, and one that was
    cut off at the end is missed by the count. Decisions that are recorded meanwhile are left out.
    """
    known_count, known_head = await _read_end(session, project_id)
    position, head = 0, FIRST_HASH
    while position < known_count:
        rows = (
            await session.execute(
                select(
                    DecisionRow.chain_position,
                    DecisionRow.previous_hash,
                    DecisionRow.hash,
                    DecisionRow.content,
                )
                .where(
                    DecisionRow.project_id == project_id,
                    DecisionRow.chain_position > position,
                    DecisionRow.chain_position <= known_count,
                )
                .order_by(DecisionRow.chain_position)
                .limit(_ROWS_AT_ONCE)
            )
        ).all()
        for found, previous, hash, content in rows:
            if found != position + 1:
                yield f"The decisions {position + 1} to {found - 1} are missing."
            elif previous != head:
                yield f"Decision {found} does not follow the one before it."
            if compute_hash(previous, content) != hash:
                yield f"Decision {found} was altered."
            position, head = found, hash
        if len(rows) < _ROWS_AT_ONCE:
            break
    if (position, head) != (known_count, known_head):
        yield f"The chain ends at decision {position}, and {known_count} were recorded."
    last = await session.scalar(
        select(func.max(DecisionRow.chain_position)).where(DecisionRow.project_id == project_id)
    )
    count, _ = await _read_end(session, project_id)
    if (last or 0) > count:
        yield f"There are decisions up to {last}, and {count} were recorded."


async def count_decisions(session: AsyncSession, project_id: UUID) -> int:
    """Return how many decisions a project has on record."""
    return (await _read_end(session, project_id))[0]


async def _read_end(session: AsyncSession, project_id: UUID) -> tuple[int, str]:
    chain = (
        await session.execute(
            select(DecisionChainRow)
            .where(DecisionChainRow.project_id == project_id)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    return (0, FIRST_HASH) if chain is None else (chain.decisions_count, chain.head_hash)
