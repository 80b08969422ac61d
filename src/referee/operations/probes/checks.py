"""What is tried: each check does what a client would, step by step, and raises at the first thing that is not so.

Every check works in the project of the probes. What it stores is bounded: traces go with the retention of that
project, analyses with ``forgetting``, and artifacts are the same few for ever, since bytes are kept once.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import orjson

from referee.analysis import AnalysisRequest, cancel_analysis, check_analysis, create_analysis, get_analysis
from referee.core.errors import RefereeError, Unavailable
from referee.core.vocabulary import AnalysisState
from referee.operations.probes.room import ProbesRoom
from referee.operations.probes.words import Probe, ProbeOutcome, ProbeStep
from referee.tools.inspecting import InstalledTools
from referee.tools.registry import get_tool
from referee.traces.ingesting import ingest_otlp
from referee.traces.trace_reading import list_trace_spans

__all__ = ["CHECKS", "Check", "ProbeFailed", "Stopwatch"]

TOOL: Final = "vulture"
"""Static, quick, and finds nothing in the source below."""
_SOURCE: Final = 'def greet(name):\n    return f"Hello, {name}."\n\n\nprint(greet("probe"))\n'
_SLOTS_COUNT: Final = 168
"""Different artifacts that probes ever store, one for each hour of a week."""
_ARTIFACT_BYTES: Final = 65_536


class ProbeFailed(Exception):
    """Something was not as it has to be. Its text is one sentence."""

    def __init__(self, sentence: str, outcome: ProbeOutcome = ProbeOutcome.failed) -> None:
        super().__init__(sentence)
        self.outcome = outcome


class Stopwatch:
    """How long the steps of one try took.

    Args:
        timeout_s: Of the whole try.
    """

    def __init__(self, timeout_s: float) -> None:
        self._started = time.monotonic()
        self._timeout_s = timeout_s
        self._step_started = self._started
        self._name = ""
        self._steps: list[ProbeStep] = []

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Time what happens in the block."""
        self._name, self._step_started = name, time.monotonic()
        try:
            yield
        finally:
            self._steps.append(ProbeStep(name, _ms(self._step_started)))
            self._name = ""

    @property
    def steps(self) -> list[ProbeStep]:
        """Those that were begun; the last may still be under way."""
        return [*self._steps, *([ProbeStep(self._name, _ms(self._step_started))] if self._name else [])]

    @property
    def latency_ms(self) -> float:
        """Since the beginning."""
        return _ms(self._started)

    @property
    def left_s(self) -> float:
        """Time that is left, at least 0."""
        return max(0.0, self._timeout_s - (time.monotonic() - self._started))


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1_000, 3)


Check = Callable[[ProbesRoom, UUID, Stopwatch], Awaitable[None]]
"""``(room, project_id, stopwatch)``. Raises ``ProbeFailed`` or ``RefereeError``."""


async def check_trace(room: ProbesRoom, project_id: UUID, watch: Stopwatch) -> None:
    """Send a trace as an exporter would, and read its span back."""
    trace_id, token = uuid4(), uuid4().hex
    async with watch.step("write"):
        rejection = await ingest_otlp(room.traces, project_id, _render_trace(trace_id, token), is_json=True)
        if rejection.count:
            raise ProbeFailed(f"The span was refused: {'; '.join(rejection.reasons[:2])[:200]}.")
    async with watch.step("read"):
        page = await list_trace_spans(room.database, project_id, trace_id, cursor=None, limit=2)
        names = [detail.event.event_name for detail in page.items]
        if names != [f"probe {token}"]:
            raise ProbeFailed(f"The trace was written, and reading it gave {len(names)} other spans.")


def _render_trace(trace_id: UUID, token: str) -> bytes:
    now_ns = time.time_ns()
    span = {
        "traceId": trace_id.hex,
        "spanId": token[:16],
        "name": f"probe {token}",
        "kind": 1,
        "startTimeUnixNano": str(now_ns - 1_000_000),
        "endTimeUnixNano": str(now_ns),
        "status": {"code": 1},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "referee-probe"}}]}
    return orjson.dumps(
        {
            "resourceSpans": [
                {"resource": resource, "scopeSpans": [{"scope": {"name": "referee"}, "spans": [span]}]}
            ]
        }
    )


async def check_artifact(room: ProbesRoom, project_id: UUID, watch: Stopwatch) -> None:
    """Store bytes, read them back, and have the store verify them."""
    del project_id  # bytes have no owner
    now = datetime.now(UTC)
    slot = (now.weekday() * 24 + now.hour) % _SLOTS_COUNT
    data = f"probe {slot:03d}\n".encode() * (_ARTIFACT_BYTES // 10)
    async with watch.step("upload"):
        artifact = await room.artifacts.put_bytes(data, "text/plain")
    async with watch.step("download"):
        if await room.artifacts.read_bytes(artifact.sha256, max_bytes=len(data)) != data:
            raise ProbeFailed("The store gave other bytes than it was given.")
    async with watch.step("verify"):
        problem = await room.artifacts.check(artifact.sha256, size_bytes=len(data))
        if problem is not None:
            raise ProbeFailed(problem)


async def check_analysis_end(room: ProbesRoom, project_id: UUID, watch: Stopwatch) -> None:
    """Create an analysis of a tiny source with one tool, wait for its end, and compare it with its manifest."""
    kit = InstalledTools(room.settings.tools_path, advisories_dir=room.settings.advisories_dir)
    try:
        await get_tool(TOOL).ensure_installed(kit)  # a probe must not start an installation
    except Unavailable as error:
        raise ProbeFailed(f"{error.message} {error.hint}", ProbeOutcome.unavailable) from error
    async with watch.step("create"):
        request = AnalysisRequest(
            path=str(_write_source(room.settings.generated_dir)),
            tools=(TOOL,),
            is_cache_allowed=False,
            is_probe=True,
        )
        analysis = await create_analysis(room.analysis, room.engine, project_id, request)
    async with watch.step("finish"):
        if analysis.job_id is not None:
            await room.engine.wait(analysis.job_id, watch.left_s)
        async with room.database.reading() as session:
            analysis = await get_analysis(session, project_id, analysis.analysis_id)
        if not analysis.state.is_final:
            await _give_up(room, project_id, analysis.analysis_id)
            raise ProbeFailed(
                f"The analysis was still {analysis.state.value} when its time was up.", ProbeOutcome.timed_out
            )
        if analysis.state is not AnalysisState.completed:
            raise ProbeFailed(
                f"The analysis ended as {analysis.state.value.replace('_', ' ')}: {analysis.reason}"
            )
    async with watch.step("verify"), room.database.reading() as session:
        problems = [one async for one in check_analysis(session, room.analysis, analysis.analysis_id)]
        if problems:
            raise ProbeFailed(f"{problems[0].subject}: {problems[0].message}")


def _write_source(folder: Path) -> Path:
    """Return the folder of the tiny source; below that of generated apps, which allowed roots always include."""
    source = folder / "probe"
    source.mkdir(parents=True, exist_ok=True)
    program = source / "main.py"
    if not program.is_file() or program.read_text("utf-8") != _SOURCE:
        temporary = folder / f".probe-{uuid4().hex}"
        temporary.write_text(_SOURCE, "utf-8")
        os.replace(temporary, program)  # noqa: PTH105 - another process may look at it now
    return source


async def _give_up(room: ProbesRoom, project_id: UUID, analysis_id: UUID) -> None:
    try:
        await cancel_analysis(room.analysis, room.engine, project_id, analysis_id)
    except RefereeError:
        return  # it has ended in this moment; the probe was late all the same


CHECKS: Final[Mapping[Probe, Check]] = {
    Probe.trace: check_trace,
    Probe.artifact: check_artifact,
    Probe.analysis: check_analysis_end,
}
