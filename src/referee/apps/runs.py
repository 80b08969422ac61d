"""Runs of apps as values, and the queries that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.tables import AppLeaseRow, AppPortRow, AppRunRow
from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.targets import Target
from referee.foundation.sandbox import NetworkHandle
from referee.foundation.store import decode_cursor, encode_cursor
from referee.tools.contract import RunningApp

__all__ = [
    "LIVE_STATES",
    "AppFailed",
    "AppLease",
    "AppRun",
    "AppRunState",
    "FailureKind",
    "end_app_run",
    "find_live_run",
    "get_app_run",
    "list_app_runs",
    "list_leases",
]


class AppRunState(StrEnum):
    """Where a run of an app stands: ``starting → running → stopping → stopped``; any → ``failed``."""

    starting = "starting"
    running = "running"
    """Every component answered an HTTP request from where tools run."""
    stopping = "stopping"
    """Nobody holds it any more; its processes are being ended."""
    stopped = "stopped"
    failed = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing of it runs any more."""
        return self in (AppRunState.stopped, AppRunState.failed)


LIVE_STATES: Final = (AppRunState.starting.value, AppRunState.running.value, AppRunState.stopping.value)


class FailureKind(StrEnum):
    """Why an app does not run."""

    description_invalid = "description_invalid"
    """Its own ``referee.toml`` or ``Procfile`` cannot be understood."""
    dependencies_failed = "dependencies_failed"
    build_failed = "build_failed"
    crashed = "crashed"
    """A component ended, before it answered or after."""
    never_listened = "never_listened"
    """It ran, and opened no port."""
    unhealthy = "unhealthy"
    """It opened a port and answered no request, or only with server errors."""
    port_taken = "port_taken"
    """The one port it can use belongs to another process."""
    host_lost = "host_lost"
    """The process that held it ended, or the machine did."""
    killed = "killed"
    """Somebody else ended a component before it answered: a person, or a machine without memory."""

    @property
    def is_of_app(self) -> bool:
        """Whether it says something of the app; the others say something of its surroundings, and may pass."""
        return self not in (FailureKind.port_taken, FailureKind.host_lost, FailureKind.killed)


class AppFailed(Exception):
    """An app does not run. Not an error of ours: a fact about the app, with what shows it."""

    def __init__(
        self,
        kind: FailureKind,
        reason: str,
        *,
        lines: tuple[str, ...] = (),
        app_run_id: UUID | None = None,
    ) -> None:
        super().__init__(f"{kind.value}: {reason}")
        self.kind = kind
        self.reason = reason
        self.lines = lines
        self.app_run_id = app_run_id

    def explain(self) -> str:
        """Return one or two sentences for the ledger."""
        last = f" Its last words were: {self.lines[-1]}" if self.lines else ""
        return f"The app did not run ({self.kind.value}): {self.reason}{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLease:
    """Somebody's right to find an app running."""

    lease_id: UUID
    app_run_id: UUID
    holder: str
    is_person: bool
    has_turn: bool
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRun:
    """One start of an app."""

    app_run_id: UUID
    project_id: UUID
    app_id: UUID | None
    name: str
    source_digest: str
    state: AppRunState
    stage: str
    failure: FailureKind | None
    reason: str
    last_lines: tuple[str, ...]
    components: tuple[Mapping[str, JsonValue], ...]
    notices: tuple[str, ...]
    network: NetworkHandle | None
    isolation: Mapping[str, JsonValue] | None
    logs: Mapping[str, Mapping[str, JsonValue]]
    host_pid: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where its components answer, in the order of their start."""
        return tuple(
            Target(
                name=str(component["name"]),
                url=str(component["url"]),
                port=int(str(component["port"])),
                framework=str(component.get("framework", "")),
            )
            for component in self.components
            if component.get("url")
        )

    def to_running_app(self) -> RunningApp:
        """Return what tools get of it."""
        return RunningApp(
            targets=self.targets,
            network=self.network,
            app_run_id=str(self.app_run_id),
            isolation=str((self.isolation or {}).get("reason", "")),
        )


async def get_app_run(session: AsyncSession, project_id: UUID, app_run_id: UUID) -> AppRun:
    """Return one run.

    Raises:
        NotFound: The project has no such run.
    """
    found = await _find(session, AppRunRow.app_run_id == app_run_id, AppRunRow.project_id == project_id)
    if found is None:
        raise NotFound(
            "app_run.not_found", "There is no such run of an app.", "List them with `referee app status`."
        )
    return found


async def find_live_run(
    session: AsyncSession, project_id: UUID, source_digest: str, machine: str
) -> AppRun | None:
    """Return the run of this source on this machine that has not ended."""
    return await _find(
        session,
        AppRunRow.project_id == project_id,
        AppRunRow.source_digest == source_digest,
        AppRunRow.machine == machine,
        AppRunRow.state.in_(LIVE_STATES),
    )


async def list_app_runs(
    session: AsyncSession,
    project_id: UUID,
    *,
    app_id: UUID | None = None,
    is_live: bool | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[AppRun]:
    """Return runs, newest first."""
    conditions: list[ColumnElement[bool]] = [AppRunRow.project_id == project_id]
    if app_id is not None:
        conditions.append(AppRunRow.app_id == app_id)
    if is_live is not None:
        live = AppRunRow.state.in_(LIVE_STATES)
        conditions.append(live if is_live else ~live)
    total_count = await session.scalar(select(func.count()).select_from(AppRunRow).where(*conditions)) or 0
    statement = (
        select(AppRunRow.__table__)
        .where(*conditions)
        .order_by(AppRunRow.created_at.desc(), AppRunRow.app_run_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        created_at, app_run_id = decode_cursor(cursor, "app_runs")
        statement = statement.where(
            func.row(AppRunRow.created_at, AppRunRow.app_run_id)
            < func.row(datetime.fromisoformat(str(created_at)), UUID(str(app_run_id)))
        )
    rows = (await session.execute(statement)).mappings().all()
    kept = [_view(row) for row in rows[:limit]]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("app_runs", [kept[-1].created_at.isoformat(), str(kept[-1].app_run_id)])
    return Page(tuple(kept), total_count, limit, next_cursor)


async def list_leases(session: AsyncSession, app_run_id: UUID) -> tuple[AppLease, ...]:
    """Return the leases that hold a run now, oldest first. At most 200."""
    rows = await session.scalars(
        select(AppLeaseRow)
        .where(AppLeaseRow.app_run_id == app_run_id, AppLeaseRow.expires_at > text("clock_timestamp()"))
        .order_by(AppLeaseRow.created_at)
        .limit(200)
    )
    return tuple(
        AppLease(
            lease_id=row.lease_id,
            app_run_id=row.app_run_id,
            holder=row.holder,
            is_person=row.is_person,
            has_turn=row.has_turn,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
        for row in rows
    )


async def end_app_run(
    session: AsyncSession,
    app_run_id: UUID,
    *,
    failure: FailureKind | None,
    reason: str,
    last_lines: tuple[str, ...] = (),
    logs: Mapping[str, JsonValue] | None = None,
) -> bool:
    """Record that a run is over and give back its ports and leases. Returns whether it was not before."""
    ended = await session.scalar(
        update(AppRunRow)
        .where(AppRunRow.app_run_id == app_run_id, AppRunRow.state.in_(LIVE_STATES))
        .values(
            state=(AppRunState.stopped if failure is None else AppRunState.failed).value,
            stage="",
            failure=None if failure is None else failure.value,
            reason=reason,
            last_lines_json=list(last_lines),
            logs_json=dict(logs or {}),
            finished_at=text("clock_timestamp()"),
        )
        .returning(AppRunRow.app_run_id)
    )
    await session.execute(delete(AppPortRow).where(AppPortRow.app_run_id == app_run_id))
    await session.execute(delete(AppLeaseRow).where(AppLeaseRow.app_run_id == app_run_id))
    return ended is not None


async def _find(session: AsyncSession, *conditions: ColumnElement[bool]) -> AppRun | None:
    row = (await session.execute(select(AppRunRow.__table__).where(*conditions))).mappings().first()
    return None if row is None else _view(row)


def _view(row: RowMapping) -> AppRun:
    values: Mapping[Any, Any] = row
    network = values["network_json"]
    return AppRun(
        app_run_id=values["app_run_id"],
        project_id=values["project_id"],
        app_id=values["app_id"],
        name=values["name"],
        source_digest=values["source_digest"],
        state=AppRunState(values["state"]),
        stage=values["stage"],
        failure=None if values["failure"] is None else FailureKind(values["failure"]),
        reason=values["reason"],
        last_lines=tuple(values["last_lines_json"] or ()),
        components=tuple(values["components_json"] or ()),
        notices=tuple(values["notices_json"] or ()),
        network=None
        if network is None
        else NetworkHandle(holder_pid=network[0], holder_started_ticks=network[1], inode=network[2]),
        isolation=values["isolation_json"],
        logs=values["logs_json"] or {},
        host_pid=values["host_pid"],
        created_at=values["created_at"],
        started_at=values["started_at"],
        finished_at=values["finished_at"],
    )
