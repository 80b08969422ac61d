"""A report as PDF: our template reads it as data in a sandboxed process with limits.

Foreign text is never markup: the template holds none, and everything of the report comes through ``report.json``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from referee.core.errors import Unavailable
from referee.foundation.sandbox import Command, Limits, run_command
from referee.foundation.web.formats import show_text
from referee.pipelines.reports.document import Chart, Document, Facts, Table, Text, format_cell
from referee.pipelines.reports.drawing import draw_svg

__all__ = ["render_pdf"]

_HERE: Final = Path(__file__).parent
_MIB: Final = 1024 * 1024
_LIMITS: Final = Limits(
    wall_s=120.0, cpu_s=300.0, memory_bytes=1536 * _MIB, processes_count=64, output_bytes=64 * _MIB
)
"""A report of fifty pages takes a few seconds; one that takes longer than this is broken."""
_MAX_ROWS_COUNT: Final = 400
"""Of one table on paper; the workbook has all."""


async def render_pdf(document: Document) -> bytes:
    """Return the PDF of a report.

    Raises:
        Unavailable: The typesetter cannot be had, or did not come to an end.
    """
    found = importlib.util.find_spec("typst")
    if found is None or found.origin is None:
        raise Unavailable(
            "report.typesetter_missing", "The package typst is not installed.", "Install Referee again."
        )
    package = Path(found.origin).parent
    with tempfile.TemporaryDirectory(prefix="referee-report-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        working_dir, output_dir = folder / "files", folder / "output"
        output_dir.mkdir(mode=0o700)
        await asyncio.to_thread(_write, working_dir, document)
        base = Path(sys.base_prefix).resolve()
        result = await run_command(
            Command(
                label="typst",
                argv=(
                    os.path.realpath(sys.executable), "-I", str(_HERE / "typeset.py"), str(working_dir),
                    str(package.parent),
                ),
                working_dir=working_dir,
                read_only=(
                    working_dir, _HERE, package, *(() if base in (Path("/usr"), Path("/")) else (base,)),
                ),
            ),
            _LIMITS,
            output_dir,
        )  # fmt: skip
        data = await asyncio.to_thread(result.stdout_path.read_bytes)
        said = await asyncio.to_thread(result.stderr_path.read_bytes)
    if result.exit_code != 0 or not data or result.is_stdout_truncated:
        why = result.reason or said.decode(errors="replace").strip()[-300:] or "It printed nothing."
        raise Unavailable(
            "report.not_typeset", f"The report could not be set as PDF: {why}", "Make the report again."
        )
    return data


def _write(folder: Path, document: Document) -> None:
    """Write template, data and drawings into a folder that anybody may read: nothing in it is secret here."""
    folder.mkdir(mode=0o755)
    data: dict[str, Any] = {
        "title": show_text(document.title)[:300],
        "lead": f"{document.kind.replace('_', ' ').capitalize()}, made at {document.made_at}",
        "footer": document.report_id,
        "summary": [show_text(sentence) for sentence in document.summary],
        "sections": [],
    }
    drawings_count = 0
    for section in document.sections:
        blocks: list[dict[str, Any]] = []
        for block in section.blocks:
            if isinstance(block, Chart):
                drawings_count += 1
                name = f"chart-{drawings_count}.svg"
                (folder / name).write_text(draw_svg(block), "utf-8")
                blocks.append({"type": "chart", "title": show_text(block.title), "file": name})
            else:
                blocks.append(_set_block(block))
        data["sections"].append({"title": show_text(section.title), "blocks": blocks})
    (folder / "report.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    (folder / "report.typ").write_bytes((_HERE / "report.typ").read_bytes())
    for file in folder.iterdir():
        file.chmod(0o644)


def _set_block(block: Text | Facts | Table) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "tone": block.tone, "text": show_text(block.text)}
    if isinstance(block, Facts):
        return {"type": "facts", "rows": [[show_text(name), show_text(value)] for name, value in block.rows]}
    note = block.note
    if len(block.rows) > _MAX_ROWS_COUNT:
        note = (
            f"{note} The first {_MAX_ROWS_COUNT} of {len(block.rows):,} rows; the workbook has all.".strip()
        )
    rows = [
        [format_cell(column.format, value)[:600] for column, value in zip(block.columns, row, strict=True)]
        for row in block.rows[:_MAX_ROWS_COUNT]
    ]
    return {
        "type": "table",
        "title": show_text(block.title),
        "note": show_text(note),
        "columns": [
            {
                "title": show_text(column.title),
                "unit": column.unit,
                "is_number": column.is_number,
                "is_broad": block.is_broad(place),
            }
            for place, column in enumerate(block.columns)
        ],
        "rows": rows,
    }
