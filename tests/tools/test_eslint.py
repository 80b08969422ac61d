"""eslint on a planted app: what it finds, what comments hide, and that its command line finds the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, TakeSnapshot, WriteApp
from tests.tools.web_samples import PLANTED_WEB_DIR

from referee.core.vocabulary import Severity
from referee.tools import ToolInstaller, get_tool
from referee.tools.node_runs import CONFIGS_DIR


async def count_by_hand(installer: ToolInstaller, folder: Path, scratch: Path) -> int:
    """Return the number of messages that eslint's own command line prints with our configuration."""
    installation = await get_tool("eslint").ensure_installed(installer)
    scratch.mkdir()
    config = scratch / "eslint.config.mjs"
    config.write_text(
        (CONFIGS_DIR / "eslint" / "eslint.config.mjs").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (scratch / "options.json").write_text(json.dumps(get_tool("eslint").describe().resolve_parameters({})))
    (scratch / "node_modules").symlink_to(installation.root / "node_modules")
    argv: list[str | Path] = [
        installer.node,
        installation.program,
        "--no-config-lookup",
        "-c",
        config,
        "--no-inline-config",
        "-f",
        "json",
        ".",
    ]
    done = subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    return sum(len(file["messages"]) for file in json.loads(done.stdout))


async def test_findings_equal_what_the_command_line_prints(
    run_tool: RunTool, installer: ToolInstaller, tmp_path: Path
) -> None:
    run = await run_tool("eslint", PLANTED_WEB_DIR)
    assert run.report.failure is None
    assert len(run.report.findings) == await count_by_hand(installer, run.snapshot.root, tmp_path / "by-hand")


async def test_dangerous_calls_are_high_and_name_their_weakness(run_tool: RunTool) -> None:
    run = await run_tool("eslint", PLANTED_WEB_DIR)
    found = {finding.rule_id: (finding.severity, finding.cwe_ids) for finding in run.report.findings}
    assert found["security/detect-child-process"] == (Severity.high, (78,))
    assert found["no-unsanitized/property"] == (Severity.high, (79,))
    assert found["@eslint-react/dom-no-dangerously-set-innerhtml"] == (Severity.high, (79,))
    assert found["no-unused-vars"] == (Severity.low, (563,))


async def test_a_component_used_only_in_jsx_is_not_unused(run_tool: RunTool, write_app: WriteApp) -> None:
    text = 'import React from "react";\nimport Card from "./Card";\n\nexport const Page = () => <Card />;\n'
    run = await run_tool("eslint", write_app({"Page.jsx": text, "Page.js": text}))
    assert run.report.findings == ()
    assert run.report.coverage.examined_count == 2


SILENCED = """\
/* eslint no-alert: "off", no-debugger: 0 */
debugger;
eval("1"); // eslint-disable-line no-eval
eval("2"); // eslint-disable-line no-console
// eslint-disable-next-line -- it is fine
eval("3");
/* eslint-disable no-eval */
eval("4");
/* eslint-enable no-eval */
eval("5");
/* eslint-disable */
eval("6");
/* eslint-enable no-eval */
eval("7");
"""


async def test_comments_only_mark_what_they_would_hide(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("eslint", write_app({"a.js": SILENCED}), {"extends": []})
    marks = {f.location.start_line: f.suppression for f in run.report.findings if f.location}
    assert marks == {
        2: "eslint",
        3: "eslint-disable-line",
        4: None,
        6: "eslint-disable-next-line",
        8: "eslint-disable",
        10: None,
        12: "eslint-disable",
        14: None,
    }
    assert run.report.coverage.suppressed_count == 5


async def test_a_file_that_cannot_be_parsed_is_a_finding_and_a_hole(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    run = await run_tool(
        "eslint", write_app({"bad.ts": "const = 1;\n", "good.ts": "export const one = 1;\n"})
    )
    assert [finding.rule_id for finding in run.report.findings] == ["parse-error"]
    assert [hole.name for hole in run.report.coverage.holes] == ["bad.ts"]
    assert run.report.coverage.examined_count == 1


async def test_an_unknown_rule_is_a_failure_with_its_name(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("eslint", write_app({"a.js": "f();\n"}), {"rules": {"no-such-rule": "error"}})
    assert run.report.failure is not None
    assert "no-such-rule" in run.report.failure
    assert run.report.coverage.examined_count == 0


async def test_files_left_out_by_a_pattern_are_holes(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app({"a.js": "eval('1');\n", "gen/b.js": "eval('1');\n"})
    run = await run_tool("eslint", app, {"ignore_patterns": ["gen/**"]})
    assert {finding.location.path for finding in run.report.findings if finding.location} == {"a.js"}
    assert [(hole.name, hole.kind) for hole in run.report.coverage.holes] == [("gen/b.js", "skipped")]


async def test_odd_names_are_only_names(run_tool: RunTool, write_app: WriteApp) -> None:
    names = ["-rf.js", "a b.js", "[x].js", "{a,b}.js", "!x.js", "*.js", "ü.js", ".hidden/x.js"]
    run = await run_tool("eslint", write_app(dict.fromkeys(names, "eval('1');\n")), {"extends": []})
    assert run.report.coverage.examined_count == len(names)
    assert sorted(f.location.path for f in run.report.findings if f.location) == sorted(names)


@pytest.mark.parametrize("preset", ["quick", "deep", "strict", "relaxed"])
async def test_every_preset_runs(run_tool: RunTool, preset: str) -> None:
    run = await run_tool("eslint", PLANTED_WEB_DIR, preset=preset)
    assert run.report.failure is None
    assert run.report.findings


def test_an_app_without_scripts_is_not_applicable(snapshot_of: TakeSnapshot, write_app: WriteApp) -> None:
    plan = get_tool("eslint").plan(snapshot_of(write_app({"a.py": "x = 1\n"})), {})
    assert plan.not_applicable == "There is no JavaScript or TypeScript file."
