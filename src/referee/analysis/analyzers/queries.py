"""What is read about analyzers: who is there, what they offer, what waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.analyzers.protocol import AnalyzerLimits
from referee.analysis.analyzers.replica_records import Replica, list_replicas, seconds_ago
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerRow
from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import AnalysisRow, SubjectRow
from referee.core.findings import JsonValue
from referee.core.vocabulary import Service
from referee.foundation.access import get_project

__all__ = [
    "Analyzer",
    "AnalyzerOverview",
    "OfferedTool",
    "RemoteRequest",
    "count_connected_analyzers",
    "find_remote_services",
    "is_connected",
    "read_overview",
]

_SHOWN_ANALYZERS_COUNT = 100
_SHOWN_REQUESTS_COUNT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTool:
    """A tool that an analyzer has, or why it has it not."""

    name: str
    service: str
    version: str
    is_available: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzer:
    """A process elsewhere that runs services."""

    analyzer_id: UUID
    name: str
    version: str
    services: tuple[Service, ...]
    tools: tuple[OfferedTool, ...]
    slots_count: int
    running_count: int
    """Requests that it has now."""
    is_connected: bool
    """Whether it is connected and was heard a moment ago."""
    uptime_s: float | None
    memory_bytes: int | None
    waiting_results_count: int | None
    """Results that wait on its disk until they are acknowledged."""
    connected_at: datetime
    beat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRequest:
    """One service of one analysis that an analyzer was asked to run."""

    request_id: UUID
    analysis_id: UUID
    subject: str
    service: Service
    state: str
    stage: str
    reason: str
    analyzer_name: str | None
    attempts_count: int
    created_at: datetime
    assigned_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerOverview:
    """What the page of analyzers shows."""

    analyzers: tuple[Analyzer, ...]
    """The last heard first."""
    replicas: tuple[Replica, ...]
    """Listening analyzers of the settings, in their order there."""
    requests: tuple[RemoteRequest, ...]
    """Those without an end, the oldest first."""
    requests_count: int

    @property
    def services(self) -> frozenset[Service]:
        """Services that a connected analyzer offers."""
        return frozenset(
            service for analyzer in self.analyzers if analyzer.is_connected for service in analyzer.services
        )


async def find_remote_services(
    room: AnalysisRoom, project_id: UUID, limits: AnalyzerLimits | None = None
) -> frozenset[Service]:
    """Return the services of a project that do not run on this machine.

    Those that an analyzer of the project, connected and heard a moment ago, offers; and those that listening
    analyzers of the settings run, whether or not one is connected now. The latter work for the project ``default``.
    """
    async with room.database.reading() as session:
        rows = await session.scalars(
            select(AnalyzerRow.services_json).where(
                AnalyzerRow.project_id == project_id, is_connected((limits or AnalyzerLimits()).ttl_s)
            )
        )
        offered = frozenset(Service(str(word)) for words in rows for word in words)
    named = frozenset(Service(name) for name in room.settings.analyzer_urls)
    if not named or (await get_project(room.database, "default")).project_id != project_id:
        return offered
    return offered | named


async def count_connected_analyzers(session: AsyncSession, project_id: UUID, *, ttl_s: float) -> int:
    """Return how many analyzers of a project are connected."""
    return (
        await session.scalar(
            select(func.count())
            .select_from(AnalyzerRow)
            .where(AnalyzerRow.project_id == project_id, is_connected(ttl_s))
        )
        or 0
    )


async def read_overview(
    session: AsyncSession, project_id: UUID, *, ttl_s: float, urls: Mapping[str, Sequence[str]]
) -> AnalyzerOverview:
    """Return the analyzers of a project and what they are asked to do.

    Args:
        session: Of the database.
        project_id: Whose.
        ttl_s: Time after which an analyzer that was not heard is away.
        urls: Addresses of listening analyzers in the settings, by service.
    """
    running = (
        select(AnalyzerRequestRow.analyzer_id, func.count().label("running_count"))
        .where(AnalyzerRequestRow.state == "assigned")
        .group_by(AnalyzerRequestRow.analyzer_id)
        .subquery()
    )
    rows = await session.execute(
        select(
            AnalyzerRow,
            is_connected(ttl_s).label("is_connected"),
            func.coalesce(running.c.running_count, 0).label("running_count"),
        )
        .outerjoin(running, running.c.analyzer_id == AnalyzerRow.analyzer_id)
        .where(AnalyzerRow.project_id == project_id)
        .order_by(AnalyzerRow.beat_at.desc())
        .limit(_SHOWN_ANALYZERS_COUNT)
    )
    analyzers = tuple(_build_analyzer(row[0], bool(row[1]), int(row[2])) for row in rows)
    is_unfinished = AnalyzerRequestRow.state.in_(("waiting", "assigned"))
    count = await session.scalar(
        select(func.count())
        .select_from(AnalyzerRequestRow)
        .where(AnalyzerRequestRow.project_id == project_id, is_unfinished)
    )
    found = await session.execute(
        select(AnalyzerRequestRow, SubjectRow.name, AnalyzerRow.name)
        .join(AnalysisRow, AnalysisRow.analysis_id == AnalyzerRequestRow.analysis_id)
        .join(SubjectRow, SubjectRow.subject_id == AnalysisRow.subject_id)
        .outerjoin(AnalyzerRow, AnalyzerRow.analyzer_id == AnalyzerRequestRow.analyzer_id)
        .where(AnalyzerRequestRow.project_id == project_id, is_unfinished)
        .order_by(AnalyzerRequestRow.created_at)
        .limit(_SHOWN_REQUESTS_COUNT)
    )
    requests = tuple(_build_request(*row) for row in found)
    return AnalyzerOverview(
        analyzers=analyzers,
        replicas=await list_replicas(session, urls),
        requests=requests,
        requests_count=count or 0,
    )


def is_connected(ttl_s: float) -> ColumnElement[bool]:
    """Return the condition that an analyzer is connected and was heard within its time to live."""
    return AnalyzerRow.connection_id.is_not(None) & (AnalyzerRow.beat_at > seconds_ago(ttl_s))


def _build_analyzer(row: AnalyzerRow, is_there: bool, running_count: int) -> Analyzer:
    status = row.status_json or {}
    return Analyzer(
        analyzer_id=row.analyzer_id,
        name=row.name,
        version=row.version,
        services=tuple(Service(str(word)) for word in row.services_json),
        tools=_build_tools(row.tools_json),
        slots_count=row.slots_count,
        running_count=running_count,
        is_connected=is_there,
        uptime_s=_number(status.get("uptime")),
        memory_bytes=_integer(status.get("memory")),
        waiting_results_count=_integer(status.get("queue_size")),
        connected_at=row.connected_at,
        beat_at=row.beat_at,
    )


def _build_tools(values: Sequence[JsonValue]) -> tuple[OfferedTool, ...]:
    return tuple(
        OfferedTool(
            name=str(value["name"]),
            service=str(value["service"]),
            version=str(value["version"]),
            is_available=bool(value["is_available"]),
            reason=str(value["reason"]),
        )
        for value in values
        if isinstance(value, dict)
    )


def _build_request(row: AnalyzerRequestRow, subject: str, analyzer_name: str | None) -> RemoteRequest:
    return RemoteRequest(
        request_id=row.request_id,
        analysis_id=row.analysis_id,
        subject=subject,
        service=Service(row.service),
        state=row.state,
        stage=row.stage,
        reason=row.reason,
        analyzer_name=analyzer_name,
        attempts_count=row.attempts_count,
        created_at=row.created_at,
        assigned_at=row.assigned_at,
    )


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _integer(value: JsonValue) -> int | None:
    return int(value) if isinstance(value, int | float) else None
