"""Real outputs of the tools that judge dependencies, as they are kept in ``tests/samples``."""

from __future__ import annotations

import json
from pathlib import Path

from referee.tools import RawOutput, ToolPlan, get_tool

SAMPLES = Path(__file__).parents[1] / "samples"

PLANTED = {
    ("flask", "CVE-2023-30861"),
    ("gunicorn", "CVE-2024-1135"),
    ("jinja2", "CVE-2024-22195"),
    ("jinja2", "CVE-2024-34064"),
    ("pillow", "CVE-2023-50447"),
    ("pyyaml", "CVE-2020-14343"),
}
"""Known problems of the pins in ``PINNED``."""

PINNED = "flask==2.2.2\njinja2==3.1.2\npyyaml==5.3.1\npillow==9.0.0\nclick==8.1.7\ngunicorn==20.1.0\n"


def load_sample(tool: str, version: str, case: str) -> tuple[RawOutput, ToolPlan]:
    """Return a kept output and the plan it was made for."""
    folder = SAMPLES / tool / version / case
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    streams = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"}
    raw = RawOutput(
        streams=streams,
        total_bytes={name: len(data) for name, data in streams.items()},
        end=run["end"],
        exit_code=run["exit_code"],
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )
    parameters = get_tool(tool).describe().resolve_parameters(run["parameters"])
    return raw, ToolPlan(parameters=parameters, files=tuple(run["files"]), details=run["details"])
