"""Read a tool run's stored output again, for what is shown and not stored in rows.

How addresses answered under load and how requirements were judged have no rows
of their own: the numbers that are compared are measurements, the rest is read
from the verbatim output where a page or an answer shows it. That works because
``Tool.parse`` takes nothing but raw output and plan, and both are kept.

Not here: results that are counted. They come from rows alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from referee.analysis.storable import make_storable
from referee.analysis.views import ToolRun
from referee.core.errors import RefereeError
from referee.core.findings import JsonValue, ToolReport
from referee.core.vocabulary import ExitMeaning, Outcome, Service
from referee.foundation.sandbox.commands import CommandEnd
from referee.foundation.store import ArtifactStore
from referee.tools.contract import RawOutput, ToolPlan
from referee.tools.reading import OutputUnreadable
from referee.tools.registry import get_tool

__all__ = ["RereadRun", "reread_runs"]

_MAX_STREAM_BYTES: Final = 64 * 1024 * 1024
"""Above what any tool run may keep by default; what is larger is not read for a page."""

log = structlog.get_logger("referee.analysis")


@dataclass(frozen=True, slots=True, kw_only=True)
class RereadRun:
    """A tool run with its report as it is parsed now."""

    run: ToolRun
    report: ToolReport | None
    """None when it could not be read."""
    problem: str = ""
    """One sentence: why there is no report."""


async def reread_runs(
    artifacts: ArtifactStore, runs: Iterable[ToolRun], services: Sequence[Service]
) -> tuple[RereadRun, ...]:
    """Return the ended tool runs of some services with their reports, in the order given.

    A run that never came to an output is among them too, with the reason that its ledger row gives.
    """
    wanted = [run for run in runs if run.service in services and run.outcome is not None]
    return tuple([await _reread(artifacts, run) for run in wanted])


async def _reread(artifacts: ArtifactStore, run: ToolRun) -> RereadRun:
    if run.outcome is Outcome.target_unreachable or not run.raw:
        return RereadRun(run=run, report=None, problem=run.reason or "It left no output.")
    try:
        raw = await _load_output(artifacts, run)
        report = await asyncio.to_thread(_parse, run, raw)
    except (RefereeError, OutputUnreadable) as error:
        return RereadRun(run=run, report=None, problem=str(error))
    except Exception as error:  # a parser that fails on hostile output must not take the page with it
        log.exception("tool_run.reparsing_failed", tool=run.tool, tool_run_id=str(run.tool_run_id))
        return RereadRun(
            run=run, report=None, problem=f"Its output made the parser fail: {type(error).__name__}."
        )
    return RereadRun(run=run, report=report)


def _parse(run: ToolRun, raw: RawOutput) -> ToolReport:
    tool = get_tool(run.tool)
    details = (run.plan or {}).get("details")
    plan = ToolPlan(
        parameters=tool.describe().resolve_parameters(run.parameters),
        details=details if isinstance(details, Mapping) else {},
    )
    return make_storable(tool.parse(raw, plan))


async def _load_output(artifacts: ArtifactStore, run: ToolRun) -> RawOutput:
    streams: dict[str, bytes] = {}
    total_bytes: dict[str, int] = {}
    for name, stored in run.raw.items():
        entry: Mapping[str, JsonValue] = stored if isinstance(stored, dict) else {}
        streams[name] = await artifacts.read_bytes(str(entry["sha256"]), max_bytes=_MAX_STREAM_BYTES)
        total_bytes[name] = int(str(entry["total_bytes"]))
    return RawOutput(
        streams=streams,
        total_bytes=total_bytes,
        end=_find_end(run),
        exit_code=run.exit_code,
        duration_ms=run.duration_ms or 0,
        cpu_ms=run.cpu_ms or 0,
        peak_memory_bytes=run.peak_memory_bytes,
        isolation=None,
        reason=run.reason,
        command=run.command,
    )


def _find_end(run: ToolRun) -> CommandEnd:
    """Return how the command ended, as far as the row tells: a parser asks only whether it ended by itself."""
    if run.exit_meaning is not ExitMeaning.killed:
        return "exited"
    return "timed_out" if run.outcome is Outcome.timed_out else "signaled"
