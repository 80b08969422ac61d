"""What must hold after apps were broken while they were analysed, and how often it did not.

Judged from what Referee keeps, against what the apps themselves printed: the mark
in every answer tells whose it was, and the lines of access tell what was asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from tests.faults.marked_apps import Access, MarkedApp, read_accesses

from referee.analysis import ToolRun
from referee.analysis.queries import list_tool_runs
from referee.apps.tables import AppRunRow
from referee.core.vocabulary import Outcome
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database

__all__ = [
    "AGENTS",
    "FAULTS",
    "AppCount",
    "Place",
    "count_what_is_left",
    "judge_analysis",
    "judge_turns",
    "list_processes_of_home",
]

FAULTS: Final = (
    "findings_of_another_app",
    "results_from_another_app",
    "results_without_the_own_mark",
    "results_without_the_planted_finding",
    "clean_without_a_scan",
    "answered_from_the_cache",
    "requests_out_of_turn",
    "turns_that_overlap",
    "unexpected_outcomes",
    "unexplained_outcomes",
    "analyses_not_ended",
    "app_runs_left",
    "leases_left",
    "ports_left",
    "app_processes_left",
    "processes_left",
    "problems_found_by_verify",
)
"""What must not happen."""
AGENTS: Final[Mapping[str, str]] = {"curl": "curl", "ab": "ApacheBench"}
"""Tool → what it calls itself in its requests."""
_STORED: Final = """
    SELECT coalesce(string_agg(found.line::text, ' '), '') FROM (
        SELECT to_jsonb(o) || to_jsonb(f) AS line FROM occurrences o JOIN findings f USING (finding_id)
         WHERE o.tool_run_id = :tool_run_id
        UNION ALL SELECT to_jsonb(m) FROM measurements m WHERE m.tool_run_id = :tool_run_id) AS found"""
_LEFT: Final = {
    "app_runs_left": "SELECT count(*) FROM app_runs WHERE state IN ('starting', 'running', 'stopping')",
    "leases_left": "SELECT count(*) FROM app_leases",
    "ports_left": "SELECT count(*) FROM app_ports",
}
_GONE_WITHIN_S: Final = 60.0
_LOOK_S: Final = 0.1


@dataclass(slots=True, kw_only=True)
class AppCount:
    """What became of all rounds."""

    seed: int
    rounds: dict[str, int] = field(default_factory=dict)
    """By kind."""
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Kind → outcome of a tool run → count."""
    tool_runs_struck: int = 0
    """Tool runs that lost their app: proof that faults hit."""
    answers_of_others_kept: int = 0
    """Runs that counted for nothing and whose raw output shows that another app had answered."""
    other_outcomes: list[str] = field(default_factory=list)
    """A sentence for each outcome that is neither a success nor an app that was not reached."""
    faults: dict[str, int] = field(default_factory=dict)
    """What must not happen, and did. Empty when all is well."""
    sayings: list[str] = field(default_factory=list)
    """A sentence for each fault."""
    duration_s: float = 0.0

    def blame(self, name: str, saying: str, *, times: int = 1) -> None:
        """Note one of ``FAULTS``."""
        if name not in FAULTS:
            raise ValueError(f"{name} is no fault that is told")
        if times:
            self.faults[name] = self.faults.get(name, 0) + times
            self.sayings.append(f"{name}: {saying}")

    def dump(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where Referee keeps what is judged."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    kept_logs: dict[UUID, bytes] = field(default_factory=dict)
    """Logs of app runs whose host was killed before it could store them."""

    def find_live_log(self, app_run_id: UUID) -> Path:
        """Return where the log of an app is while it runs."""
        return self.settings.app_runs_dir / app_run_id.hex / "logs" / "backend.stdout"

    async def read_log(self, app_run_id: UUID) -> bytes:
        """Return what an app printed; the run has ended."""
        async with self.database.reading() as session:
            logs = await session.scalar(select(AppRunRow.logs_json).where(AppRunRow.app_run_id == app_run_id))
        stored = (logs or {}).get("backend")
        if isinstance(stored, dict):
            return await self.artifacts.read_bytes(str(stored["sha256"]))
        return self.kept_logs.get(app_run_id, b"")


async def judge_analysis(
    place: Place, count: AppCount, analysis_id: UUID, app: MarkedApp, others: frozenset[str], *, kind: str
) -> list[ToolRun]:
    """Hold an ended analysis against its app's own log and against the marks of other apps."""
    async with place.database.reading() as session:
        runs = list(await list_tool_runs(session, analysis_id))
    for run in runs:
        name = f"{kind}: {run.tool} on {app.mark} ({run.status}, {run.reason})"
        by_outcome = count.outcomes.setdefault(kind, {})
        by_outcome[run.status] = by_outcome.get(run.status, 0) + 1
        count.tool_runs_struck += run.outcome is Outcome.target_unreachable and bool(run.did_run)
        if run.outcome not in (Outcome.succeeded, Outcome.target_unreachable):
            count.other_outcomes.append(name)
        await _judge_marks(place, count, run, app, others, name)
        await _judge_scan(place, count, run, name)
        if run.cached_from_tool_run_id is not None:
            count.blame("answered_from_the_cache", name)
    return runs


async def _judge_marks(
    place: Place, count: AppCount, run: ToolRun, app: MarkedApp, others: frozenset[str], name: str
) -> None:
    async with place.database.reading() as session:
        told = str(await session.scalar(text(_STORED), {"tool_run_id": run.tool_run_id}))
    if run.sarif_sha256 is not None:
        told += (await place.artifacts.read_bytes(run.sarif_sha256)).decode()
    raw = ""
    for stream in run.raw.values():
        if isinstance(stream, dict):
            data = await place.artifacts.read_bytes(str(stream["sha256"]))
            raw += data.decode(errors="replace")
    if any(mark in told for mark in others):
        count.blame("findings_of_another_app", name)
    if any(mark in raw for mark in others):
        if run.outcome is Outcome.target_unreachable:
            count.answers_of_others_kept += 1
        else:
            count.blame("results_from_another_app", name)
    if run.outcome is Outcome.succeeded and app.mark not in raw:
        count.blame("results_without_the_own_mark", name)
    if run.tool == "curl" and run.outcome is Outcome.succeeded and app.mark not in told:
        count.blame("results_without_the_planted_finding", name)


async def _judge_scan(place: Place, count: AppCount, run: ToolRun, name: str) -> None:
    """A result without trouble needs requests that the app saw in the tool's time."""
    if run.outcome is Outcome.not_applicable:
        count.blame("clean_without_a_scan", name)
    if run.outcome is not Outcome.succeeded:
        return
    if run.app_run_id is None or run.started_at is None or run.finished_at is None:
        count.blame("clean_without_a_scan", f"{name} names no run of the app")
        return
    begun, ended = run.started_at.timestamp(), run.finished_at.timestamp()
    seen = [one for one in read_accesses(await place.read_log(run.app_run_id)) if begun <= one.at <= ended]
    if not any(one.agent == AGENTS[run.tool] for one in seen):
        count.blame("clean_without_a_scan", f"{name}: the app saw no request of it")
    if run.attempts_count == 1:
        strangers = _list_agents_of_others(seen, run.tool)
        count.blame("requests_out_of_turn", f"{name}: the app saw {strangers} too", times=bool(strangers))


def _list_agents_of_others(seen: list[Access], tool: str) -> list[str]:
    others = set(AGENTS.values()) - {AGENTS[tool]}
    return sorted({one.agent for one in seen if one.agent in others})


def judge_turns(count: AppCount, runs: list[ToolRun]) -> None:
    """Tool runs on one run of an app must have come one after another."""
    timed = sorted(
        (str(run.app_run_id), run.started_at, run.finished_at, run.tool)
        for run in runs
        if run.app_run_id and run.started_at and run.finished_at and run.attempts_count == 1
    )
    for (app_run, _, ended, tool), (next_app_run, begun, _, next_tool) in pairwise(timed):
        if app_run == next_app_run and begun < ended:
            count.blame("turns_that_overlap", f"{tool} and {next_tool} on {app_run}")


async def count_what_is_left(place: Place, count: AppCount, *, kind: str) -> None:
    """Wait for leases to run out and apps to stop, and count what stays."""
    deadline_s = time.monotonic() + _GONE_WITHIN_S
    while True:
        async with place.database.reading() as session:
            left = {name: int(await session.scalar(text(sql)) or 0) for name, sql in _LEFT.items()}
            app_run_ids = list(await session.scalars(select(AppRunRow.app_run_id)))
        processes = _list_processes_of_runs(app_run_ids)
        left["app_processes_left"] = len(processes)
        if not any(left.values()) or time.monotonic() > deadline_s:
            break
        await asyncio.sleep(_LOOK_S)
    for name, number in left.items():
        count.blame(name, f"{kind}: {number} of them {processes[:5]}", times=number)


def _list_processes_of_runs(app_run_ids: list[UUID]) -> list[str]:
    wanted = [str(app_run_id).encode() for app_run_id in app_run_ids]
    return [
        words
        for words, environment in _list_processes()
        if any(b"REFEREE_APP_COMPONENT=" + one in environment for one in wanted)
        or ("referee.apps.hosting" in words and any(one.decode() in words for one in wanted))
    ]


def list_processes_of_home(home: Path) -> list[str]:
    """Return the command lines of processes that belong to a home: by their words or their environment."""
    marker = f"REFEREE_HOME={home}\0".encode()
    return [words for words, environment in _list_processes() if marker in environment or str(home) in words]


def _list_processes() -> list[tuple[str, bytes]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append((words, (folder / "environ").read_bytes()))
        except OSError:
            continue  # it has ended
    return found
