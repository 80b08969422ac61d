"""Real outputs of the Python tools, kept in ``tests/samples/<tool>/<version>/<case>/``.

A case is ``run.json`` (how the run ended, what was planned, what must come out) and one
file per stream. They were recorded by real runs on ``tests/samples/planted_python`` and on
small folders; ``python -m tests.tools.python_samples`` records them again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.findings import ToolReport
from referee.foundation.sandbox import run_command
from referee.tools import RawOutput, RunKit, ToolInstaller, ToolPlan, get_tool

SAMPLES_DIR = Path(__file__).parents[1] / "samples"
PLANTED_DIR = SAMPLES_DIR / "planted_python"
TOOLS = ("bandit", "pylint", "mypy", "vulture", "ruff", "radon", "detect-secrets")
ROOT = "/subject"
"""Stands for the folder of the snapshot in recorded output."""

CLEAN = {"app.py": '"""Fine."""\n\n\ndef main() -> int:\n    """Return one."""\n    return 1\n\n\nmain()\n'}
EMPTY = {"empty.py": ""}


def sample_dirs(case: str) -> list[Path]:
    """Return the folders of one case of every tool."""
    return sorted(folder for tool in TOOLS for folder in (SAMPLES_DIR / tool).glob(f"*/{case}"))


def load_sample(folder: Path) -> tuple[str, RawOutput, ToolPlan, dict[str, Any]]:
    """Return tool, raw output, plan and what must come out of a case."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tool = folder.parts[-3]
    streams = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "run.json"}
    raw = RawOutput(
        streams=streams,
        total_bytes={name: len(data) for name, data in streams.items()},
        end=run["end"],
        exit_code=run["exit_code"],
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
        reason=run["reason"],
    )
    parameters = get_tool(tool).describe().resolve_parameters(run["parameters"])
    plan = ToolPlan(parameters=parameters, files=tuple(run["files"]), details=run["details"])
    return tool, raw, plan, run["expected"]


def summarise(report: ToolReport) -> dict[str, Any]:
    """Return the counts of a report, as ``expected`` has them."""
    rules: dict[str, int] = {}
    for finding in report.findings:
        rules[finding.rule_id] = rules.get(finding.rule_id, 0) + 1
    coverage = report.coverage
    return {
        "findings": len(report.findings),
        "suppressed": coverage.suppressed_count,
        "examined": coverage.examined_count,
        "skipped": coverage.skipped_count,
        "unreadable": coverage.unreadable_count,
        "is_partial": report.is_partial,
        "rules": dict(sorted(rules.items())),
    }


async def record_sample(tool_name: str, case: str, source: Path, scratch: Path, tools_dir: Path) -> None:
    """Run a tool on a folder and keep what it wrote as a case."""
    tool = get_tool(tool_name)
    installer = ToolInstaller(tools_dir, advisories_dir=scratch / "advisories")
    installation = await tool.ensure_installed(installer)
    limits = SourceLimits(files_count=1000, total_bytes=10**8, file_bytes=10**7)
    snapshot = take_snapshot(source, scratch / "snapshots", limits, name="sample")
    description = tool.describe()
    plan = tool.plan(snapshot, description.resolve_parameters({}))
    run_dir = Path(tempfile.mkdtemp(dir=scratch))
    limits_of_run = description.limits
    if case == "crash":
        limits_of_run = replace(
            limits_of_run, memory_bytes=2 * 1024 * 1024 if tool_name == "ruff" else 6 * 1024 * 1024
        )
    kit = RunKit(
        snapshot=snapshot,
        installation=installation,
        install_kit=installer,
        scratch_dir=run_dir,
        limits=limits_of_run,
        cores_count=1,
        run_command=run_command,
    )
    raw = await tool.run(kit, plan)
    folder = SAMPLES_DIR / tool_name / await tool.probe_version(installation) / case
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in raw.streams.items():
        text = data.replace(str(snapshot.root).encode(), ROOT.encode()).replace(
            str(run_dir).encode(), b"/scratch"
        )
        (folder / name).write_bytes(text.replace(str(tools_dir).encode(), b"/tools"))
    details = json.loads(json.dumps(dict(plan.details)).replace(str(snapshot.root), ROOT))
    run: dict[str, Any] = {
        "end": raw.end,
        "exit_code": raw.exit_code,
        "reason": raw.reason,
        "parameters": {},
        "files": list(plan.files),
        "details": details,
        "expected": {},
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    try:
        run["expected"] = summarise(tool.parse(*load_sample(folder)[1:3]))
    except Exception as error:
        run["expected"] = {"error": type(error).__name__}
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(tool_name, case, raw.end, raw.exit_code, run["expected"])


async def _main() -> None:
    tools_dir = Path(os.environ.get("REFEREE_HOME") or ".referee").absolute() / "tools"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folders = {"findings": PLANTED_DIR, "crash": PLANTED_DIR}
        for case, files in (("clean", CLEAN), ("empty", EMPTY)):
            folders[case] = scratch / case
            folders[case].mkdir()
            for path, text in files.items():
                (folders[case] / path).write_text(text, encoding="utf-8")
        for tool in sys.argv[1:] or TOOLS:
            for case, source in folders.items():
                await record_sample(tool, case, source, scratch, tools_dir)


if __name__ == "__main__":
    asyncio.run(_main())
