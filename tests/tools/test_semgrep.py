"""semgrep on a planted app, its rules on annotated code, and that its command line finds the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, TakeSnapshot, WriteApp
from tests.tools.python_samples import SAMPLES_DIR
from tests.tools.web_samples import PLANTED_WEB_DIR

from referee.core.errors import InvalidInput
from referee.core.vocabulary import Confidence, Severity
from referee.tools import ToolInstaller, get_tool
from referee.tools.semgrep_rules import RULES_DIR, build_environment, ensure_rules, load_rules, pick_rules

ANNOTATED_DIR = SAMPLES_DIR / "semgrep" / "rules"
ANNOTATION = re.compile(r"\b(ruleid|ok): (\S+)")
Mark = tuple[str, str, int]


def read_marks(word: str) -> set[Mark]:
    """Return (file, rule, line) of each line that an annotation of this word speaks of."""
    return {
        (path.name, match[2], number + 1)
        for path in ANNOTATED_DIR.iterdir()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := ANNOTATION.search(line)) and match[1] == word
    }


async def test_own_rules_find_what_is_annotated_and_nothing_else(run_tool: RunTool) -> None:
    run = await run_tool("semgrep", ANNOTATED_DIR, {"config": "referee"}, cores_count=2)
    found = {(f.location.path, f.rule_id, f.location.start_line) for f in run.report.findings if f.location}
    assert found == read_marks("ruleid")


async def test_every_own_rule_has_a_place_to_find_and_one_to_leave_alone(installer: ToolInstaller) -> None:
    installation = await get_tool("semgrep").ensure_installed(installer)
    rules = [
        rule
        for rule in load_rules(await ensure_rules(installation)).rules
        if rule["id"].startswith("referee.")
    ]
    assert {rule["id"] for rule in rules} == {mark[1] for mark in read_marks("ruleid")}
    assert {rule["id"] for rule in rules} == {mark[1] for mark in read_marks("ok")}
    assert all(re.match(r"CWE-\d+: ", rule["metadata"]["cwe"][0]) for rule in rules)
    assert all(rule["metadata"]["owasp"][0].startswith("A") for rule in rules)
    assert all(rule["metadata"]["references"][0].startswith("https://") for rule in rules)


async def test_no_rule_was_refused_and_each_states_a_permissive_licence(installer: ToolInstaller) -> None:
    installation = await get_tool("semgrep").ensure_installed(installer)
    compiled = load_rules(await ensure_rules(installation))
    assert len(compiled.rules) > 80
    assert [
        reason for reason in compiled.dropped.values() if not reason.startswith("Finds the same as referee.")
    ] == []
    assert {rule["metadata"]["license"] for rule in compiled.rules} == {"Apache-2.0", "MIT"}
    assert "Semgrep Rules License" not in json.dumps(compiled.rules)


async def test_findings_equal_what_the_command_line_prints(run_tool: RunTool, tmp_path: Path) -> None:
    run = await run_tool("semgrep", PLANTED_WEB_DIR, {"config": "referee"})
    argv: list[str | Path] = [run.installation.program, "scan", "--config", RULES_DIR, "--json", "--quiet"]
    argv += ["--metrics=off", "--disable-nosem", "--no-git-ignore", "--no-rewrite-rule-ids", "."]
    environment = build_environment(run.installation, tmp_path)
    done = subprocess.run(argv, cwd=run.snapshot.root, env=environment, capture_output=True, check=True)
    printed = sorted(
        (r["path"], r["check_id"], r["start"]["line"]) for r in json.loads(done.stdout)["results"]
    )
    found = [(f.location.path, f.rule_id, f.location.start_line) for f in run.report.findings if f.location]
    assert sorted(found) == printed


async def test_a_finding_carries_severity_confidence_weakness_and_help(run_tool: RunTool) -> None:
    run = await run_tool("semgrep", PLANTED_WEB_DIR)
    (finding,) = (f for f in run.report.findings if f.rule_id == "referee.python.flask-debug-enabled")
    assert (finding.severity, finding.tool_severity, finding.confidence) == (
        Severity.high,
        "ERROR",
        Confidence.high,
    )
    assert finding.cwe_ids == (489,)
    assert finding.properties["owasp"] == ["A05:2021 - Security Misconfiguration"]
    assert finding.help_url == "https://flask.palletsprojects.com/en/stable/debugging/"


async def test_ignored_folders_are_scanned_and_comments_only_mark(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    text = (
        "import os\nos.system(a)  # nosem\nos.system(b)\n# nosemgrep: referee.python.shell-command\nos.system(c)\n"
        "os.system(d)  # nosemgrep: other.rule\n"
    )
    app = write_app({"tests/a.py": text, "b.py": "eval(x)\n", ".semgrepignore": "*\n", ".gitignore": "*\n"})
    run = await run_tool("semgrep", app)
    marks = {
        f.location.start_line: f.suppression
        for f in run.report.findings
        if f.location and f.location.path != "b.py"
    }
    assert marks == {2: "nosem", 3: None, 5: "nosem", 6: None}
    assert run.report.coverage.examined_count == 2
    assert run.report.coverage.suppressed_count == 2


async def test_a_file_above_the_limit_is_a_hole(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app({"a.py": "eval(x)\n", "big.py": "x = 1\n" * 3000})
    run = await run_tool("semgrep", app, {"max_target_bytes": 10_000})
    assert [(hole.name, hole.kind) for hole in run.report.coverage.holes] == [("big.py", "skipped")]
    assert run.report.coverage.examined_count == 1


async def test_a_file_that_cannot_be_parsed_is_unreadable(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("semgrep", write_app({"a.js": "const = = ;\n{{{\n", "b.js": "eval(x);\n"}))
    assert [(hole.name, hole.kind) for hole in run.report.coverage.holes] == [("a.js", "unreadable")]
    assert run.report.failure is None


async def test_rules_are_picked_by_source_id_severity_and_language(installer: ToolInstaller) -> None:
    installation = await get_tool("semgrep").ensure_installed(installer)
    compiled = load_rules(await ensure_rules(installation))
    resolve = get_tool("semgrep").describe().resolve_parameters
    python = pick_rules(compiled, resolve({}), {"python"})
    assert all("python" in rule["languages"] for rule in python)
    assert len(pick_rules(compiled, resolve({}), {"python", "javascript", "typescript"})) == len(
        compiled.rules
    )
    assert {
        r["id"] for r in pick_rules(compiled, resolve({"rules": ["referee.python.ssrf"]}), {"python"})
    } == {"referee.python.ssrf"}
    assert {r["severity"] for r in pick_rules(compiled, resolve({"severity": "ERROR"}), {"python"})} == {
        "ERROR"
    }
    with pytest.raises(InvalidInput, match="no semgrep rule 'nope'"):
        pick_rules(compiled, resolve({"rules": ["nope"]}), {"python"})


@pytest.mark.parametrize("preset", ["quick", "deep"])
async def test_every_preset_runs(run_tool: RunTool, preset: str) -> None:
    run = await run_tool("semgrep", PLANTED_WEB_DIR, preset=preset)
    assert run.report.failure is None
    assert run.report.findings


def test_an_app_without_code_is_not_applicable(snapshot_of: TakeSnapshot, write_app: WriteApp) -> None:
    plan = get_tool("semgrep").plan(snapshot_of(write_app({"a.md": "# x\n"})), {})
    assert plan.not_applicable == "There is no Python, JavaScript or TypeScript file."
