"""Analyses whose tool runs have the results of recorded outputs: nothing runs, everything is stored and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from tests.tools.load_samples import load_sample
from tests.tools.requirement_samples import load_recorded

from referee.analysis import AnalysisRequest, create_analysis
from referee.analysis.queries import list_tool_runs
from referee.analysis.recording import record_tool_run
from referee.analysis.running import ToolOutput, begin_attempt, load_workpiece
from referee.analysis.settling import judge_output
from referee.app import Application
from referee.core.vocabulary import Outcome
from referee.foundation.access import get_project
from referee.tools.contract import RawOutput, ToolPlan

SAMPLES_DIR = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a tool left behind once, or why it did not run."""

    raw: RawOutput | None = None
    plan: ToolPlan | None = None
    outcome: Outcome = Outcome.unavailable
    reason: str = ""

    def replacing(self, old: bytes, new: bytes) -> Recorded:
        """Return the same output with other words in it."""
        assert self.raw is not None
        streams = {name: data.replace(old, new) for name, data in self.raw.streams.items()}
        assert streams != self.raw.streams
        totals = {name: len(data) for name, data in streams.items()}
        return replace(self, raw=replace(self.raw, streams=streams, total_bytes=totals))


def read_sample(tool: str, case: str) -> Recorded:
    """Return the recorded output of a case of a load tool or of a scanner."""
    (folder,) = (SAMPLES_DIR / tool).glob(f"*/{case}")
    _, raw, plan, _ = load_sample(folder)
    return Recorded(raw=raw, plan=plan)


def read_requirements(app_id: str) -> Recorded:
    """Return the recorded output of requirements-scanner on a sample app."""
    raw, plan = load_recorded(app_id)
    return Recorded(raw=raw, plan=plan)


async def record_analysis(
    application: Application, path: Path, results: Mapping[str, Recorded], *, template: str | None = None
) -> UUID:
    """Accept an analysis of a folder and record these results, tool by tool, as a worker does."""
    project_id = (await get_project(application.database, "default")).project_id
    request = AnalysisRequest(path=str(path), tools=tuple(results), template=template)
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    async with application.database.reading() as session:
        runs = await list_tool_runs(session, analysis.analysis_id)
    for run in runs:
        await _record(application, run.tool_run_id, results[run.tool])
    return analysis.analysis_id


async def _record(application: Application, tool_run_id: UUID, recorded: Recorded) -> None:
    async with application.database.transaction() as session:
        attempt = await begin_attempt(session, tool_run_id, "test")
        assert attempt is not None
        workpiece = await load_workpiece(application.analysis, session, tool_run_id, attempt=attempt)
    assert workpiece is not None
    output = ToolOutput(
        raw=recorded.raw,
        plan=recorded.plan,
        version="1.0",
        outcome=recorded.outcome,
        reason=recorded.reason,
    )
    result = await judge_output(application.analysis, workpiece, output)
    async with application.database.transaction() as session:
        assert await record_tool_run(session, workpiece.key, result)
