"""jshint on a planted app: what it judges, what it leaves to others, and that its command line finds the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, TakeSnapshot, WriteApp
from tests.tools.web_samples import PLANTED_WEB_DIR

from referee.core.vocabulary import Severity
from referee.tools import ToolInstaller, get_tool
from referee.tools.jsx_detection import find_jsx_line
from referee.tools.node_runs import CONFIGS_DIR

ONE_LONG_LINE = "!function(){" + "var a=1;if(a==2){b()}" * 20_000 + "}()\n"


async def test_findings_equal_what_the_command_line_prints(
    run_tool: RunTool, installer: ToolInstaller, write_app: WriteApp
) -> None:
    app = write_app({"a.js": "var a = 1\nif (a == null) { b(); }\neval(a);\n", "b.js": "with (x) {}\n"})
    run = await run_tool("jshint", app)
    config = CONFIGS_DIR / "jshint" / "jshint.json"
    argv: list[str | Path] = [
        installer.node,
        run.installation.program,
        "--config",
        config,
        "--reporter",
        "unix",
        ".",
    ]
    done = subprocess.run(argv, cwd=app, capture_output=True, text=True, check=False)
    printed = [line for line in done.stdout.splitlines() if line.startswith(str(app)) or ".js:" in line]
    assert done.returncode == 2
    assert len(run.report.findings) == len(printed) > 4


async def test_jsx_in_a_plain_file_is_a_hole_and_not_a_list_of_errors(run_tool: RunTool) -> None:
    run = await run_tool("jshint", PLANTED_WEB_DIR)
    assert [(hole.name, hole.kind) for hole in run.report.coverage.holes] == [
        ("frontend/src/legacy.js", "skipped")
    ]
    assert "JSX (line 3)" in run.report.coverage.holes[0].reason
    assert "frontend/src/legacy.js" not in {f.location.path for f in run.report.findings if f.location}


async def test_comments_only_mark_what_they_would_hide(run_tool: RunTool, write_app: WriteApp) -> None:
    text = (
        "/* jshint ignore:start */\neval('1');\n/* jshint ignore:end */\n"
        "eval('2'); // jshint ignore:line\neval('3');\n/* jshint -W061 */\neval('4');\n"
        "/* jshint evil:true */\neval('5');\n"
    )
    run = await run_tool("jshint", write_app({"a.js": text}))
    marks = {f.location.start_line: f.suppression for f in run.report.findings if f.location}
    assert marks == {
        2: "jshint comment",
        4: "jshint comment",
        5: None,
        7: "jshint comment",
        9: "jshint comment",
    }
    assert run.report.coverage.suppressed_count == 4
    assert {finding.severity for finding in run.report.findings} == {Severity.high}


async def test_a_file_of_one_long_line_costs_nothing_and_is_named(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    run = await run_tool(
        "jshint",
        write_app(
            {"bundle.js": "// A comment of the usual length.\n" * 20_000 + ONE_LONG_LINE, "a.js": "f()\n"}
        ),
    )
    assert run.raw.cpu_ms < 10_000
    assert (run.raw.peak_memory_bytes or 0) < 400 * 1024 * 1024
    assert [hole.name for hole in run.report.coverage.holes] == ["bundle.js"]
    assert run.report.coverage.examined_count == 1


async def test_modules_are_told_from_scripts(run_tool: RunTool, write_app: WriteApp) -> None:
    files = {
        "a.js": 'import one from "./b";\none();\n',
        "b.mjs": "export default function one() {}\n",
        "c.cjs": "module.exports = {};\n",
    }
    run = await run_tool("jshint", write_app(files))
    assert run.report.findings == ()
    assert run.report.coverage.examined_count == 3


async def test_a_syntax_that_jshint_gives_up_on_is_unreadable(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("jshint", write_app({"a.js": "export class K { static z = 1; #p = 2; }\n"}))
    assert run.report.coverage.unreadable_count == 1
    assert run.report.coverage.holes[0].reason.startswith("JSHint gave up on it")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.py": ""}, "There is no JavaScript file."),
        ({"a.tsx": "", "b.ts": ""}, "There is no plain JavaScript file; there are 2 TypeScript files."),
        ({"a.jsx": "", "b.js": "f(<b />);\n"}, "There is no plain JavaScript file; there are 2 JSX files."),
    ],
)
def test_an_app_without_plain_scripts_is_not_applicable(
    snapshot_of: TakeSnapshot, write_app: WriteApp, files: dict[str, str], sentence: str
) -> None:
    assert get_tool("jshint").plan(snapshot_of(write_app(files)), {}).not_applicable == sentence


@pytest.mark.parametrize("preset", ["quick", "deep", "strict", "relaxed"])
async def test_every_preset_runs(run_tool: RunTool, preset: str) -> None:
    run = await run_tool("jshint", PLANTED_WEB_DIR, preset=preset)
    assert run.report.failure is None


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("const a = <p>x</p>;", 1),
        ("f(\n  <App />\n);", 2),
        ("return <></>;\n</x>", 1),
        ("x && <b>y</b>", 1),
        ("if (a < b && c > d) { e = '<p></p>'; }", None),
        ("// <p></p>\nlet a = 1;", None),
        ("const t = `<p>${a}</p>`;", None),
        ("for (i = 0; i <n; i++) {}", None),
        ('element.innerHTML = "<div/>";', None),
    ],
)
def test_jsx_is_told_from_comparisons_texts_and_comments(source: str, line: int | None) -> None:
    assert find_jsx_line(source) == line


async def test_output_never_holds_the_source(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("jshint", write_app({"a.js": "var secretText = 'abracadabra'\n"}))
    lines = [json.loads(line) for line in run.raw.streams["stdout"].splitlines()]
    assert [line["type"] for line in lines] == ["start", "file", "end"]
    assert b"abracadabra" not in run.raw.streams["stdout"]
