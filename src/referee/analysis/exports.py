"""An analysis as SARIF, JSON, JUnit XML or CSV, from the stored rows and logs.

The SARIF form is one log with a run for each tool; the JSON form is the primary
result document; JUnit has a test suite for each tool and a failed test for each
finding, as CI systems show it; CSV is a table for spreadsheets with formulas
made harmless.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Final, Literal
from uuid import UUID
from xml.sax.saxutils import escape, quoteattr

from referee.analysis.finding_queries import stream_occurrences
from referee.analysis.queries import get_analysis, list_manifest_entries, list_tool_runs
from referee.analysis.running import AnalysisRoom
from referee.analysis.sarif_logs import load_sarif_logs
from referee.analysis.views import Analysis, Occurrence, ToolRun
from referee.core.errors import Conflict
from referee.core.findings import JsonValue
from referee.core.ids import format_id
from referee.core.vocabulary import Outcome
from referee.tools.sarif import SARIF_SCHEMA_URL, validate_sarif

__all__ = ["EXPORT_FORMATS", "ExportFormat", "export_analysis", "neutralise_formula"]

ExportFormat = Literal["json", "sarif", "junit", "csv"]
EXPORT_FORMATS: Final[dict[ExportFormat, tuple[str, str]]] = {
    "json": ("application/json", "json"),
    "sarif": ("application/sarif+json", "sarif.json"),
    "junit": ("application/xml", "junit.xml"),
    "csv": ("text/csv", "csv"),
}
"""Format → media type and file ending."""

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
_CSV_COLUMNS: Final = (
    "severity",
    "tool",
    "rule_id",
    "path",
    "line",
    "message",
    "cwe",
    "suppression",
    "state",
    "fingerprint",
    "finding_id",
    "address",
)


async def export_analysis(
    room: AnalysisRoom, project_id: UUID, analysis_id: UUID, export_format: ExportFormat
) -> bytes:
    """Return an analysis that has ended, in one of the formats.

    Raises:
        NotFound: There is none.
        Conflict: It has not ended.
    """
    async with room.database.reading() as session:
        analysis = await get_analysis(session, project_id, analysis_id)
        if not analysis.state.is_final:
            raise Conflict("analysis.running", "The analysis has not ended.", "Export it when it has.")
        tool_runs = await list_tool_runs(session, analysis_id)
        if export_format == "json":
            entries = await list_manifest_entries(session, analysis_id)
            primary = next((entry for entry in entries if _is_primary(entry.name)), None)
            if primary is None:
                raise Conflict(
                    "analysis.without_results",
                    "The analysis ended without result files.",
                    "Look at its reason.",
                )
            return await room.artifacts.read_bytes(primary.sha256)
        if export_format == "sarif":
            logs = await load_sarif_logs(room, analysis, tool_runs)
            return await asyncio.to_thread(_merge_sarif, tuple(logs.values()))
        occurrences = [occurrence async for occurrence in stream_occurrences(session, analysis_id)]
    if export_format == "csv":
        return await asyncio.to_thread(_render_csv, occurrences)
    return await asyncio.to_thread(_render_junit, analysis, tool_runs, occurrences)


def neutralise_formula(text: str) -> str:
    """Return text that a spreadsheet will not take for a formula.

    Source:
        OWASP ASVS 5.0, 1.2.10, and OWASP's page on CSV injection, which adds line feeds and full-width forms.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _is_primary(name: str) -> bool:
    return name.startswith("files/") and name.count("/") == 1 and name != "files/manifest.json"


def _merge_sarif(logs: Sequence[bytes]) -> bytes:
    runs = [run for log in logs for run in json.loads(log)["runs"]]
    merged: dict[str, JsonValue] = {"$schema": SARIF_SCHEMA_URL, "version": "2.1.0", "runs": runs}
    validate_sarif(merged)
    return json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode()


def _render_csv(occurrences: Iterable[Occurrence]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_CSV_COLUMNS)
    for occurrence in occurrences:
        row = (
            occurrence.severity.value,
            occurrence.tool,
            occurrence.rule_id,
            occurrence.path or "",
            occurrence.start_line or "",
            occurrence.message,
            " ".join(f"CWE-{number}" for number in occurrence.cwe_ids),
            occurrence.suppression or "",
            occurrence.state.value,
            occurrence.fingerprint,
            format_id("finding", occurrence.finding_id),
            occurrence.address or "",
        )
        writer.writerow([neutralise_formula(str(value)) for value in row])
    return text.getvalue().encode()


def _render_junit(
    analysis: Analysis, tool_runs: Sequence[ToolRun], occurrences: Sequence[Occurrence]
) -> bytes:
    by_tool: dict[str, list[Occurrence]] = {run.tool: [] for run in tool_runs}
    for occurrence in occurrences:
        if occurrence.suppression is None:
            by_tool[occurrence.tool].append(occurrence)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    failures_count = sum(len(found) for found in by_tool.values())
    errors_count = sum(run.outcome is None or not run.outcome.is_complete for run in tool_runs)
    lines.append(
        f"<testsuites name={_attribute(analysis.subject.name)} tests={_attribute(failures_count + len(tool_runs))}"
        f" failures={_attribute(failures_count)} errors={_attribute(errors_count)}>"
    )
    for run in tool_runs:
        lines.extend(_render_suite(run, by_tool[run.tool]))
    lines.append("</testsuites>")
    return ("\n".join(lines) + "\n").encode()


def _render_suite(run: ToolRun, found: Sequence[Occurrence]) -> Iterable[str]:
    is_error = run.outcome is None or not run.outcome.is_complete
    seconds = (run.duration_ms or 0) / 1000
    yield (
        f"  <testsuite name={_attribute(run.tool)} tests={_attribute(len(found) + 1)} failures={_attribute(len(found))}"
        f' errors={_attribute(int(is_error))} time="{seconds:.3f}">'
    )
    yield f'    <testcase classname={_attribute(run.tool)} name="ran to a result" time="{seconds:.3f}">'
    if is_error:
        yield f"      <error message={_attribute(run.reason)} type={_attribute(run.status)}/>"
    elif run.outcome is Outcome.not_applicable:
        yield f"      <skipped message={_attribute(run.reason)}/>"
    yield "    </testcase>"
    for occurrence in found:
        place = f"{occurrence.path or ''}:{occurrence.start_line or 0}"
        if occurrence.path is None and occurrence.address is not None:
            place = str(occurrence.address)
        yield (
            f"    <testcase classname={_attribute(run.tool)}"
            f" name={_attribute(f'{occurrence.rule_id} at {place} #{occurrence.ordinal}')}"
            f" file={_attribute(occurrence.path or '')} line={_attribute(occurrence.start_line or 0)}>"
        )
        yield (
            f"      <failure message={_attribute(occurrence.message)} type={_attribute(occurrence.severity.value)}>"
            f"{_text(place)}</failure>"
        )
        yield "    </testcase>"
    yield "  </testsuite>"


def _attribute(value: object) -> str:
    return quoteattr(_printable(str(value)))


def _text(value: str) -> str:
    return escape(_printable(value))


def _printable(value: str) -> str:
    """Return text without the characters that XML 1.0 cannot hold."""
    return "".join(
        character
        if character in "\t\n\r"
        or 0x20 <= ord(character) <= 0xD7FF
        or 0xE000 <= ord(character) <= 0xFFFD
        or ord(character) >= 0x10000
        else "\ufffd"
        for character in value
    )
