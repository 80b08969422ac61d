"""The report on paper: what to work on, plots of each metric with its limits, pictures of the worst instants.

Set by our template in a sandboxed process with limits. Foreign text is never markup: everything comes to the template
as data in ``report.json``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from referee.core.errors import Unavailable
from referee.foundation.sandbox import Command, Limits, run_command
from referee.videos.measuring.faults import describe_value
from referee.videos.measuring.plots import draw_plot
from referee.videos.shapes import Capture, Measured, Measurement, NotMeasurable, Report, VideoFinding

__all__ = ["draw_report_pdf"]

_HERE: Final = Path(__file__).parent
_LIMITS: Final = Limits(wall_s=60.0, cpu_s=120.0, memory_bytes=1536 * 1024 * 1024, processes_count=64)
_MAX_PICTURES: Final = 12
_MAX_CHARS: Final = 2000


def draw_report_pdf(
    report: Report,
    measurement: Measurement,
    findings: Sequence[VideoFinding],
    pictures: Sequence[bytes],
    capture: Capture,
    title: str,
) -> bytes:
    """Return the PDF of a report; the same report gives the same bytes.

    Not to be called on an event loop: it waits for the typesetter.

    Args:
        report: What to say.
        measurement: For the table, the plots and the instants.
        findings: For their order and evidence.
        pictures: JPEG, in the order of the findings' worst frames; others are left out, all if one cannot be read.
        capture: For the line below the title.
        title: Of the video.

    Raises:
        Unavailable: The typesetter cannot be had, or did not come to an end.
    """
    data = _collect(report, measurement, findings, capture, title)
    shown = [one for one in pictures if one.startswith(b"\xff\xd8")][:_MAX_PICTURES]
    try:
        return asyncio.run(_typeset(data, measurement, shown))
    except Unavailable:
        if not shown:
            raise
        # A picture that cannot be read is no reason to have no report.
        return asyncio.run(_typeset(data, measurement, []))


def _collect(
    report: Report,
    measurement: Measurement,
    findings: Sequence[VideoFinding],
    capture: Capture,
    title: str,
) -> dict[str, Any]:
    values = [
        [
            one.code.value.replace("_", " ").capitalize(),
            describe_value(one)
            .partition(" (")[0]
            .removeprefix(one.code.value.replace("_", " ").capitalize())
            .strip(),
            f"{one.low:.2f} to {one.high:.2f}",
            one.level.value + (", uncertain" if one.is_uncertain else ""),
        ]
        if isinstance(one, Measured)
        else [one.code.value.replace("_", " ").capitalize(), "not measurable", "", one.reason]
        for one in measurement.metrics
    ]
    return {
        "title": title[:300],
        "lead": f"{capture.discipline.value.capitalize()}, {capture.handedness.value}-handed, camera "
        f"{capture.camera_view.value}, {measurement.kind.value} pass",
        "summary": report.text[:_MAX_CHARS],
        "warning": report.reliability_warning or "",
        "issues": [
            {
                "title": one.title,
                "level": one.severity.value,
                "message": one.message,
                "why": one.why_it_matters,
                "cues": list(one.cues),
                "drills": list(one.drills),
            }
            for one in findings
        ],
        "values": values,
        "plan": list(report.one_week_plan),
        "sections": [
            {"title": one.title[:300], "paragraphs": [text[:_MAX_CHARS] for text in one.paragraphs]}
            for one in report.sections
            if one.title not in {finding.title for finding in findings}
        ],
        "events": [f"{one.name.value.replace('_', ' ')} {one.t_s:.2f} s" for one in measurement.events],
        "absent": [one.reason for one in measurement.metrics if isinstance(one, NotMeasurable)],
    }


async def _typeset(data: dict[str, Any], measurement: Measurement, pictures: Sequence[bytes]) -> bytes:
    found = importlib.util.find_spec("typst")
    if found is None or found.origin is None:
        raise Unavailable(
            "video.typesetter_missing", "The package typst is not installed.", "Install Referee again."
        )
    package = Path(found.origin).parent
    base = Path(sys.base_prefix).resolve()
    shown = () if base in (Path("/usr"), Path("/")) else (base,)
    with tempfile.TemporaryDirectory(prefix="video-report-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        files, output = folder / "files", folder / "output"
        output.mkdir(mode=0o700)
        _write(files, data, measurement, pictures)
        result = await run_command(
            Command(
                label="typst",
                argv=(
                    os.path.realpath(sys.executable), "-I", str(_HERE / "typeset.py"), str(files),
                    str(package.parent),
                ),
                working_dir=files,
                read_only=(files, _HERE, package, *shown),
            ),
            _LIMITS,
            output,
        )  # fmt: skip
        written = result.stdout_path.read_bytes()
        said = result.stderr_path.read_bytes().decode(errors="replace").strip()[-300:]
    if result.exit_code != 0 or not written or result.is_stdout_truncated:
        raise Unavailable(
            "video.not_typeset",
            f"The report could not be set as PDF: {result.reason or said or 'It printed nothing.'}",
            "Make the report again.",
        )
    return written


def _write(folder: Path, data: dict[str, Any], measurement: Measurement, pictures: Sequence[bytes]) -> None:
    folder.mkdir(mode=0o755)
    data["pictures"] = []
    for number, picture in enumerate(pictures):
        (folder / f"picture-{number}.jpg").write_bytes(picture)
        data["pictures"].append(f"picture-{number}.jpg")
    data["plots"] = []
    for one in measurement.metrics:
        if isinstance(one, Measured) and len(one.series) > 1:
            (folder / f"{one.code.value}.svg").write_text(draw_plot(one, measurement.events), "utf-8")
            data["plots"].append(f"{one.code.value}.svg")
    (folder / "report.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    (folder / "report.typ").write_bytes((_HERE / "report.typ").read_bytes())
    for file in folder.iterdir():
        file.chmod(0o644)
