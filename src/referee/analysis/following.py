"""Following an analysis on the command line, and reading what its options say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.live import Live

from referee.analysis.exports import EXPORT_FORMATS, ExportFormat
from referee.analysis.printing import render_ledger
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.analysis.running import AnalysisRoom
from referee.analysis.views import Analysis, ToolRun
from referee.apps import import_template, read_template_file
from referee.core.errors import InvalidInput
from referee.core.ids import format_id
from referee.core.vocabulary import AnalysisState, Outcome, Severity
from referee.foundation.store import Database

__all__ = [
    "check_export_format",
    "check_format",
    "follow_analysis",
    "is_whole_enough",
    "parse_parameters",
    "parse_severity",
    "resolve_template",
]

_LOOK_S = 0.25
"""Between two looks at the database: smooth for an eye, idle for a server."""


async def follow_analysis(
    database: Database, project_id: UUID, analysis_id: UUID, console: Console
) -> tuple[Analysis, tuple[ToolRun, ...]]:
    """Show progress by tool until the analysis has ended; return it with its ledger.

    On a terminal the ledger is redrawn in place; elsewhere each tool is one line when it ends.
    """
    told: set[str] = set()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            async with database.reading() as session:
                analysis = await get_analysis(session, project_id, analysis_id)
                tool_runs = await list_tool_runs(session, analysis_id)
            if console.is_terminal:
                live.update(render_ledger(tool_runs), refresh=True)
            else:
                _tell_ended(console, tool_runs, told)
            if analysis.state.is_final:
                return analysis, tool_runs
            await asyncio.sleep(_LOOK_S)


def is_whole_enough(analysis: Analysis, tool_runs: Sequence[ToolRun], *, is_absence_allowed: bool) -> bool:
    """Return whether nothing is missing of an ended analysis.

    Args:
        analysis: As it ended.
        tool_runs: Its ledger.
        is_absence_allowed: Whether tools that cannot be had on this machine may be missing.
    """
    if analysis.state is AnalysisState.completed:
        return True
    return (
        is_absence_allowed
        and analysis.state is AnalysisState.partially_completed
        and all(
            run.outcome is Outcome.unavailable or (run.outcome is not None and run.outcome.is_complete)
            for run in tool_runs
        )
    )


async def resolve_template(room: AnalysisRoom, project_id: UUID, text: str | None) -> str | None:
    """Return how to name the template that a person gave: an id for a file, which is imported; a slug as it is.

    Raises:
        InvalidInput: The file cannot be read or is no template.
    """
    if text is None or not (text.endswith(".json") or "/" in text):
        return text
    document = await read_template_file(Path(text))
    known = await import_template(room.database, room.artifacts, project_id, document)
    return format_id("template", known.template_id)


def _tell_ended(console: Console, tool_runs: Sequence[ToolRun], told: set[str]) -> None:
    for run in tool_runs:
        if run.outcome is None or run.tool in told:
            continue
        told.add(run.tool)
        count = "" if run.findings_count is None else f", {run.findings_count} findings"
        console.print(
            f"[{len(told)}/{len(tool_runs)}] {run.tool}: {run.status.replace('_', ' ')}{count}", markup=False
        )


def check_format(text: str) -> str:
    """Return the output format, or say which there are.

    Raises:
        InvalidInput: There is no such format.
    """
    return text if text == "table" else check_export_format(text)


def check_export_format(text: str) -> ExportFormat:
    """Return the export format, or say which there are.

    Raises:
        InvalidInput: There is no such format.
    """
    for known in EXPORT_FORMATS:
        if text == known:
            return known
    raise InvalidInput(
        "export.format_unknown",
        f"There is no format {text!r}.",
        f"Choose one of {', '.join(EXPORT_FORMATS)}.",
    )


def parse_severity(text: str | None) -> Severity | None:
    """Return a severity by its name.

    Raises:
        InvalidInput: There is no such severity.
    """
    if text is None:
        return None
    try:
        return Severity(text)
    except ValueError as error:
        raise InvalidInput(
            "severity.unknown", f"There is no severity {text!r}.", f"Choose one of {', '.join(Severity)}."
        ) from error


def parse_parameters(words: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return parameters by tool from words such as ``bandit.severity_level=medium``.

    A value is read as JSON where it is JSON (numbers, true, lists), else as text.

    Raises:
        InvalidInput: A word has another form.
    """
    parameters: dict[str, dict[str, object]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        tool, dot, parameter = name.partition(".")
        if not (equals and dot and tool and parameter):
            raise InvalidInput(
                "parameter.form", f"{word!r} does not set a parameter.", "Write it as tool.parameter=value."
            )
        try:
            read: object = json.loads(value)
        except ValueError:
            read = value
        parameters.setdefault(tool, {})[parameter] = read
    return parameters
