"""The output of one tool in one file, as an analysis with that one tool run: through the tool's own parser here."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from referee.analysis import ImportedAnalysis, ImportedRun, OriginalFile
from referee.backfills.old_results.assembling import AssembledTask
from referee.backfills.old_results.native_outputs import read_native_bytes, read_with_parser
from referee.backfills.old_results.sources import open_source
from referee.backfills.old_results.words import KNOWN_TOOLS, read_tool_name, service_of_tool
from referee.core.errors import InvalidInput
from referee.core.findings import Coverage, ToolReport
from referee.core.vocabulary import Outcome, Service

__all__ = ["read_tool_file"]


def read_tool_file(
    path: Path, tool: str, *, model: str | None = None, number: int | None = None, name: str | None = None
) -> AssembledTask:
    """Read a file that a tool wrote. Blocking.

    Args:
        path: The file.
        tool: Which tool wrote it.
        model: Slug of the model whose app was judged, where it was one.
        number: Number of that app.
        name: What was judged, where it was no app; None: the file's name.

    Raises:
        NotFound: There is no such file.
        InvalidInput: No such tool is known, or the file is not what the tool writes.
    """
    known = read_tool_name(tool)
    if known is None or known not in KNOWN_TOOLS:
        raise InvalidInput(
            "import.tool_unknown",
            f"No output of a tool {tool[:60]!r} is known here.",
            f"Known are {', '.join(sorted(KNOWN_TOOLS))}. A SARIF log of any tool is imported with `import results`.",
        )
    source = open_source(path)
    files = [file for group in source.groups.values() for file in group.files]
    if source.kind != "file" or not files:
        reason = source.problems[0].reason if source.problems else "It is a folder or an archive."
        raise InvalidInput(
            "import.no_tool_file", f"{str(path)!r} is not read: {reason}", "Name the file itself."
        )
    data = files[0].read()
    native = read_native_bytes(known, data)
    places = [] if native is None else [one.location for one in native.found.findings if one.location]
    parsed = read_with_parser(known, data, [place.path for place in places])
    if parsed is not None and (native is None or len(parsed.findings) >= len(native.findings)):
        native = parsed
    if native is None or (native.found.unreadable_count and not native.found.findings):
        raise InvalidInput(
            "import.output_unreadable",
            f"{path.name!r} is not what {known} writes, in no form that is known here.",
            "Give the tool's JSON output, or a SARIF log to `import results`.",
        )
    report = native.report or ToolReport(
        findings=tuple(native.found.findings),
        rules=tuple(native.found.rules.values()),
        coverage=Coverage("file", 0),
        measurements=tuple(native.measurements),
    )
    digest = hashlib.sha256(data).hexdigest()
    task_id = f"output_{digest[:16]}"
    shown = f"{model}/app{number}" if model is not None else name or path.name
    return AssembledTask(
        place=path.name,
        task_id=task_id,
        format="T",
        findings_count=len(report.findings),
        claimed_count=None,
        analysis=ImportedAnalysis(
            key=f"{shown}/{known}/{digest}",
            model=model,
            number=number,
            name=shown,
            runs=(
                ImportedRun(
                    tool=known,
                    service=service_of_tool(known) or Service.static,
                    outcome=Outcome.succeeded,
                    report=report,
                    code_lines=native.found.code_lines,
                    raw={"stdout": data},
                    version=native.version,
                ),
            ),
            originals=(OriginalFile(path.name, len(data), "application/octet-stream", lambda: data),),
            finished_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            claims={"format": "T", "task_id": task_id},
        ),
    )
