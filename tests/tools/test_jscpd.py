"""jscpd on planted copies: findings, the measured share, and that its command line finds the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, TakeSnapshot, WriteApp
from tests.tools.web_samples import PLANTED_WEB_DIR

from referee.tools import ToolInstaller, get_tool


async def test_findings_and_share_equal_what_the_command_line_prints(
    run_tool: RunTool, installer: ToolInstaller, tmp_path: Path
) -> None:
    run = await run_tool("jscpd", PLANTED_WEB_DIR)
    argv: list[str | Path] = [
        installer.node,
        run.installation.program,
        "-r",
        "json",
        "-o",
        tmp_path,
        "--no-gitignore",
        ".",
    ]
    subprocess.run(argv, cwd=run.snapshot.root, capture_output=True, check=True)
    report = json.loads((tmp_path / "jscpd-report.json").read_bytes())
    total = report["statistics"]["total"]
    measured = {measurement.name: measurement.value for measurement in run.report.measurements}
    assert len(run.report.findings) == len(report["duplicates"]) == 1
    assert measured["duplicated_lines_share"] == total["duplicatedLines"] / total["lines"]


async def test_a_copy_is_reported_once_and_names_the_other_place(run_tool: RunTool) -> None:
    run = await run_tool("jscpd", PLANTED_WEB_DIR)
    (finding,) = run.report.findings
    assert finding.location is not None
    assert finding.location.path == "backend/report.py"
    assert finding.identity == ("backend/app.py",)
    assert finding.related[0].path == "backend/app.py"
    assert finding.cwe_ids == (1041,)


async def test_an_app_without_copies_has_a_share_of_zero(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("jscpd", write_app({"a.py": "x = 1\n"}))
    assert run.report.findings == ()
    assert run.report.measurements[0].value == 0.0
    assert run.report.notices == ("1 files are too short to hold a copy, or were left out.",)


async def test_a_file_above_the_limit_is_a_hole(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app({"a.py": "x = 1\n", "b.py": "y = 2\n" * 400})
    run = await run_tool("jscpd", app, {"max_size_bytes": 1000})
    assert [(hole.name, hole.kind) for hole in run.report.coverage.holes] == [("b.py", "skipped")]


@pytest.mark.parametrize("preset", ["quick", "deep"])
async def test_every_preset_runs(run_tool: RunTool, preset: str) -> None:
    assert (await run_tool("jscpd", PLANTED_WEB_DIR, preset=preset)).report.failure is None


def test_an_app_without_code_is_not_applicable(snapshot_of: TakeSnapshot, write_app: WriteApp) -> None:
    plan = get_tool("jscpd").plan(snapshot_of(write_app({"a.md": "# x\n"})), {})
    assert plan.not_applicable == "There is no Python, JavaScript, TypeScript, HTML or CSS file."
