"""The SARIF log of every planned tool run, also of those that never ran.

A tool that ran has its log stored with its result. One that could not be had,
was not applicable or was cancelled before it started gets a log without results
that says so: a reader of SARIF would else take seven logs of eight for the whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from referee.analysis.running import AnalysisRoom
from referee.analysis.views import Analysis, ToolRun
from referee.core.findings import Coverage, ToolReport
from referee.core.vocabulary import Outcome
from referee.tools.registry import get_tool
from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

__all__ = ["load_sarif_logs", "render_unstarted"]


async def load_sarif_logs(
    room: AnalysisRoom, analysis: Analysis, tool_runs: Sequence[ToolRun]
) -> dict[str, bytes]:
    """Return the log of each tool run, by tool.

    Raises:
        NotFound: A stored log is gone.
        IntegrityError: A stored log was altered.
    """
    return {
        run.tool: await asyncio.to_thread(render_unstarted, analysis, run)
        if run.sarif_sha256 is None
        else await room.artifacts.read_bytes(run.sarif_sha256)
        for run in tool_runs
    }


def render_unstarted(analysis: Analysis, run: ToolRun) -> bytes:
    """Return the validated log of a tool run that has no output: why, and no results."""
    is_complete = run.outcome is not None and run.outcome.is_complete
    notices = (run.reason,) if run.outcome is Outcome.not_applicable and run.reason else ()
    log = render_sarif(
        get_tool(run.tool).describe(),
        run.version or "",
        ToolReport((), (), Coverage("file", 0), notices=notices),
        invocation=SarifInvocation(is_successful=is_complete, reason="" if is_complete else run.reason),
        code_line=lambda path, line: None,
        automation_id=f"{analysis.subject.name}/{run.tool}",
        subject_digest=analysis.source_digest,
    )
    validate_sarif(log)
    return json.dumps(log, ensure_ascii=False, separators=(",", ":")).encode()
