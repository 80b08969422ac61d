"""What is on record about listening analyzers: who calls each, how that went, and what people are told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.tables import AnalyzerReplicaRow
from referee.core.vocabulary import Service

__all__ = [
    "HOLD_S",
    "Replica",
    "ReplicaState",
    "describe_replicas",
    "hold_replica",
    "list_replicas",
    "note_replica",
    "release_replica",
    "seconds_ago",
]

HOLD_S: Final = 15.0
"""A process that has not renewed its hold for so long calls no more."""

ReplicaState: TypeAlias = Literal["waiting", "connected", "unreachable", "refused", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A listening analyzer of the settings."""

    service: Service
    url: str
    state: ReplicaState
    reason: str
    """One sentence, empty while it is connected."""
    failures_count: int
    """Calls in a row that brought no lasting connection."""
    analyzer_id: UUID | None
    changed_at: datetime | None
    next_try_at: datetime | None


async def hold_replica(session: AsyncSession, service: str, url: str, holder_id: UUID) -> bool:
    """Become, or stay, the one process that calls an address. Returns whether it is this one."""
    values = {"held_by": holder_id, "held_at": func.clock_timestamp()}
    held = await session.scalar(
        insert(AnalyzerReplicaRow)
        .values(service=service, url=url, **values)
        .on_conflict_do_update(
            index_elements=["service", "url"],
            set_=values,
            where=or_(
                AnalyzerReplicaRow.held_by.is_(None),
                AnalyzerReplicaRow.held_by == holder_id,
                AnalyzerReplicaRow.held_at < seconds_ago(HOLD_S),
            ),
        )
        .returning(AnalyzerReplicaRow.url)
    )
    return held is not None


async def note_replica(
    session: AsyncSession,
    service: str,
    url: str,
    holder_id: UUID,
    *,
    state: ReplicaState,
    reason: str = "",
    failures_count: int = 0,
    analyzer_id: UUID | None = None,
    next_try_s: float | None = None,
) -> None:
    """Put on record how a call went; nothing happens when another process calls by now."""
    await session.execute(
        update(AnalyzerReplicaRow)
        .where(
            AnalyzerReplicaRow.service == service,
            AnalyzerReplicaRow.url == url,
            AnalyzerReplicaRow.held_by == holder_id,
        )
        .values(
            state=state,
            reason=reason[:500],
            failures_count=failures_count,
            analyzer_id=func.coalesce(analyzer_id, AnalyzerReplicaRow.analyzer_id),
            changed_at=func.clock_timestamp(),
            next_try_at=None if next_try_s is None else seconds_ago(-next_try_s),
        )
        .execution_options(synchronize_session=False)
    )


async def release_replica(session: AsyncSession, service: str, url: str, holder_id: UUID) -> None:
    """Let another process call, at once."""
    await session.execute(
        update(AnalyzerReplicaRow)
        .where(
            AnalyzerReplicaRow.service == service,
            AnalyzerReplicaRow.url == url,
            AnalyzerReplicaRow.held_by == holder_id,
        )
        .values(held_by=None, held_at=None, state="waiting", reason="", next_try_at=None)
    )


async def list_replicas(
    session: AsyncSession, urls: Mapping[str, Sequence[str]], service: Service | None = None
) -> tuple[Replica, ...]:
    """Return the listening analyzers of the settings, in the order in which they stand there.

    Args:
        session: Of the database.
        urls: Addresses by service.
        service: Only this one's.
    """
    is_called = AnalyzerReplicaRow.held_at > seconds_ago(HOLD_S)
    rows = {
        (row.service, row.url): row
        for row in await session.scalars(select(AnalyzerReplicaRow).where(is_called).limit(1_000))
    }
    return tuple(
        _build(Service(name), url, rows.get((name, url)))
        for name, addresses in urls.items()
        if service is None or name == service.value
        for url in addresses
    )


def describe_replicas(replicas: Sequence[Replica]) -> str:
    """Return one sentence on each listening analyzer that is not connected."""
    return " ".join(
        f"{replica.url}: {replica.reason or 'It was not called yet.'}"
        for replica in replicas
        if replica.state != "connected"
    )


def seconds_ago(seconds: float) -> ColumnElement[datetime]:
    """Return an instant that lies so long back, by the database's clock."""
    return func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _build(service: Service, url: str, row: AnalyzerReplicaRow | None) -> Replica:
    if row is None:
        return Replica(
            service=service, url=url, state="waiting", reason="No process of this server calls it now.",
            failures_count=0, analyzer_id=None, changed_at=None, next_try_at=None,
        )  # fmt: skip
    return Replica(
        service=service,
        url=url,
        state=row.state,  # type: ignore[arg-type]  # checked by the table
        reason=row.reason,
        failures_count=row.failures_count,
        analyzer_id=row.analyzer_id,
        changed_at=row.changed_at,
        next_try_at=row.next_try_at,
    )
