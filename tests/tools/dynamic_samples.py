"""Record real outputs of curl, nmap and wapiti: ``python -m tests.tools.dynamic_samples [tool …]``.

A case is ``run.json`` (how the run ended, what was planned, what must come out) and one file per
stream. The clean and the flawed app are those of ``dynamic_apps``; where ``SAMPLE_APP`` names the
address of one of ``samples/apps/models``, that is the app with findings instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.tools.dynamic_apps import CleanHandler, FlawedHandler, closed_port, make_target, serving
from tests.tools.dynamic_runs import run_on_targets
from tests.tools.python_samples import SAMPLES_DIR, load_sample, summarise

from referee.core.targets import Target
from referee.tools import ToolInstaller, get_tool

TOOLS = ("curl", "nmap", "wapiti")
PRESETS = {"curl": "quick", "nmap": None, "wapiti": None}


async def record_case(
    tool_name: str, case: str, targets: Sequence[Target], preset: str | None, folder: Path, tools_dir: Path
) -> None:
    """Run a tool on targets and keep what it wrote as a case."""
    tool = get_tool(tool_name)
    installer = ToolInstaller(tools_dir, advisories_dir=folder / "advisories")
    run = await run_on_targets(tool, installer, folder, targets, preset=preset)
    version = await tool.probe_version(await tool.ensure_installed(installer))
    place = SAMPLES_DIR / tool_name / version / case
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    for name, data in run.raw.streams.items():
        (place / name).write_bytes(data.replace(str(folder).encode(), b"/scratch"))
    parameters = {
        name: value
        for name, value in run.plan.parameters.items()
        if value != tool.describe().resolve_parameters({})[name]
    }
    record: dict[str, Any] = {
        "end": run.raw.end,
        "exit_code": run.raw.exit_code,
        "reason": run.raw.reason,
        "parameters": parameters,
        "files": [],
        "details": dict(run.plan.details),
        "expected": {},
    }
    write_record(place, record)
    report = tool.parse(*load_sample(place)[1:3])
    record["expected"] = {**summarise(report), "unreachable": report.unreachable is not None}
    write_record(place, record)
    print(tool_name, case, run.raw.end, run.raw.exit_code, record["expected"])


def write_record(place: Path, record: dict[str, Any]) -> None:
    """Write what must be known of a case besides its streams."""
    (place / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


async def _main() -> None:
    tools_dir = Path(os.environ.get("REFEREE_HOME") or ".referee").absolute() / "tools"
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        flawed = stack.enter_context(serving(FlawedHandler))
        sample_port = os.environ.get("SAMPLE_APP", "").rpartition(":")[2]
        cases = {
            "findings": [make_target("backend", int(sample_port)) if sample_port else flawed, flawed],
            "clean": [stack.enter_context(serving(CleanHandler))],
            "unreachable": [stack.enter_context(closed_port())],
        }
        for tool in sys.argv[1:] or TOOLS:
            for case, targets in cases.items():
                await record_case(tool, case, targets, PRESETS[tool], folder, tools_dir)


if __name__ == "__main__":
    asyncio.run(_main())
