"""Real outputs of the load tools, kept in ``tests/samples/<tool>/<version>/<case>/``.

A case is ``run.json`` (how the run ended, parameters, what must come out) and one file per
stream. They were recorded by real runs on ``load_app``; ``python -m tests.tools.load_samples``
records them again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.tools.load_app import build_kit, find_free_port, serve_load_app

from referee.core.findings import ToolReport
from referee.core.targets import Target
from referee.tools import RawOutput, ToolInstaller, ToolPlan, get_tool
from referee.tools.contract import RunningApp, Tool

SAMPLES_DIR = Path(__file__).parents[1] / "samples"
TOOLS = ("ab", "aiohttp", "locust")
CASES = ("answers", "failures", "unreachable", "cut")

_SHORT = {"time_budget_s": 2, "timeout": 2, "warmup_requests": 2}
_PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("ab", "cut"): {"requests": 200, "warmup_requests": 0},
    ("aiohttp", "cut"): {"requests": 100, "warmup_requests": 0},
    ("locust", "cut"): {"time_budget_s": 8, "warmup_requests": 0},
}


def sample_dirs(case: str) -> list[Path]:
    """Return the folders of one case of every load tool."""
    return sorted(folder for tool in TOOLS for folder in (SAMPLES_DIR / tool).glob(f"*/{case}"))


def load_sample(folder: Path) -> tuple[Tool, RawOutput, ToolPlan, dict[str, Any]]:
    """Return tool, raw output, plan and what must come out of a case."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tool = get_tool(folder.parts[-3])
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
    parameters = tool.describe().resolve_parameters(run["parameters"])
    return tool, raw, ToolPlan(parameters=parameters), run["expected"]


def summarise(report: ToolReport) -> dict[str, Any]:
    """Return what a report says, as ``expected`` has it; times are left to other tests."""
    return {
        "findings": [f"{finding.rule_id} {finding.address}" for finding in report.findings],
        "loads": {
            str(profile.address): {
                "requests": profile.requests_count,
                "failures": profile.failures_count,
                "statuses": dict(profile.statuses),
                "errors": dict(profile.errors),
            }
            for profile in report.loads
        },
        "examined": report.coverage.examined_count,
        "holes": [f"{hole.kind} {hole.name}: {hole.reason}" for hole in report.coverage.holes],
        "measurements": len(report.measurements),
        "is_partial": report.is_partial,
        "unreachable": report.unreachable,
    }


@contextmanager
def _serve_case(case: str) -> Iterator[RunningApp]:
    if case == "unreachable":
        port = find_free_port()
        target = Target(name="backend", url=f"http://127.0.0.1:{port}", port=port)
        yield RunningApp(targets=(target,), network=None, app_run_id="test")
        return
    with serve_load_app() as app:
        app.delay_s = 0.02
        app.worn_after = 3 if case == "failures" else 1_000_000
        yield app.running


async def record_sample(name: str, case: str, scratch: Path, tools_dir: Path) -> None:
    """Run a tool on the app and keep what it wrote as a case."""
    tool = get_tool(name)
    installer = ToolInstaller(tools_dir, advisories_dir=scratch / "advisories")
    installation = await tool.ensure_installed(installer)
    given = _PARAMETERS.get((name, case), _SHORT)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    with _serve_case(case) as running:
        kit = build_kit(folder, installation, installer, tool.describe(), running)
        if case == "cut":
            kit = replace(kit, limits=replace(kit.limits, wall_s=2.5))
        plan = tool.plan(kit.snapshot, tool.describe().resolve_parameters(given))
        raw = await tool.run(kit, plan)
    kept = SAMPLES_DIR / name / await tool.probe_version(installation) / case
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.iterdir():
        old.unlink()
    for stream, data in raw.streams.items():
        (kept / stream).write_bytes(data)
    run: dict[str, Any] = {
        "end": raw.end,
        "exit_code": raw.exit_code,
        "reason": raw.reason,
        "parameters": given,
        "expected": {},
    }
    (kept / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    _, recorded, recorded_plan, _ = load_sample(kept)
    try:
        run["expected"] = summarise(tool.parse(recorded, recorded_plan))
    except Exception as error:
        run["expected"] = {"error": type(error).__name__}
    (kept / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(name, case, raw.end, raw.exit_code, json.dumps(run["expected"], indent=1))


async def _main() -> None:
    tools_dir = Path(os.environ.get("REFEREE_HOME") or ".referee").absolute() / "tools"
    with tempfile.TemporaryDirectory() as name:
        for tool in sys.argv[1:] or TOOLS:
            for case in CASES:
                await record_sample(tool, case, Path(name), tools_dir)


if __name__ == "__main__":
    asyncio.run(_main())
