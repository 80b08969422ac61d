"""A tool's report as SARIF is valid, whole, and the same each time."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.tools.python_samples import load_sample, sample_dirs

from referee.core.errors import IntegrityError
from referee.core.findings import Coverage, CoverageHole, Location, Measurement, ToolFinding, ToolReport
from referee.core.vocabulary import Confidence, Severity
from referee.tools import SarifInvocation, get_tool, render_sarif, validate_sarif

BANDIT = get_tool("bandit").describe()
FINDING = ToolFinding(
    rule_id="B307",
    message="eval is used.",
    severity=Severity.medium,
    location=Location("my app/%C3 #1?.py", 3, 5, 3, 9),
    tool_severity="MEDIUM",
    confidence=Confidence.high,
    cwe_ids=(78,),
    suppression="nosec",
    related=(Location("other.py", 1),),
)
REPORT = ToolReport(
    findings=(FINDING, replace(FINDING, location=None, suppression=None, related=())),
    rules=(),
    coverage=Coverage("file", 1, 1, 0, (CoverageHole("bad.py", "unreadable", "syntax error"),), 1),
    measurements=(Measurement("lines_count", 3, "lines", "neither"),),
    failure="The output ends before its end.",
    is_partial=True,
    notices=("A notice.",),
)
STOPPED = SarifInvocation(
    is_successful=False,
    reason="It was stopped after 5 s.",
    command=("$TOOL/bin/python", "-m", "bandit"),
    started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ended_at=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
)


def render(report: ToolReport, invocation: SarifInvocation = STOPPED) -> dict[str, Any]:
    return render_sarif(
        BANDIT,
        "1.9.4",
        report,
        invocation=invocation,
        code_line=lambda _path, line: f"eval({line})",
        automation_id="analysis_1/bandit",
        subject_digest="a" * 64,
    )


def test_report_with_everything_in_it_is_valid() -> None:
    validate_sarif(render(REPORT))


def test_run_without_a_report_is_valid_and_says_why() -> None:
    log = render(ToolReport((), (), Coverage("file", 0)))
    validate_sarif(log)
    invocation = log["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "It was stopped after 5 s."


def test_result_carries_fingerprint_suppression_snippet_and_escaped_address() -> None:
    result = render(REPORT)["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20app/%25C3%20%231%3F.py"
    assert place["region"]["snippet"]["text"] == "eval(3)"
    assert result["suppressions"] == [{"kind": "inSource", "status": "accepted", "justification": "nosec"}]
    assert list(result["partialFingerprints"]) == ["refereeFingerprint/v1"]


def test_same_report_renders_the_same_log() -> None:
    assert json.dumps(render(REPORT)) == json.dumps(render(REPORT))


@pytest.mark.parametrize("folder", sample_dirs("findings"), ids=lambda folder: folder.parts[-3])
def test_recorded_output_of_a_tool_becomes_a_valid_log_with_every_finding(folder: Path) -> None:
    tool, raw, plan, expected = load_sample(folder)
    report = get_tool(tool).parse(raw, plan)
    log = render_sarif(
        get_tool(tool).describe(),
        folder.parts[-2],
        report,
        invocation=SarifInvocation(is_successful=True, exit_code=raw.exit_code),
        code_line=lambda _path, _line: None,
    )
    validate_sarif(log)
    run: Any = log["runs"]
    assert len(run[0]["results"]) == expected["findings"]


def test_log_that_does_not_fit_names_the_place() -> None:
    log = copy.deepcopy(render(REPORT))
    log["runs"][0]["results"][1]["level"] = "terrible"
    with pytest.raises(IntegrityError, match="/runs/0/results/1/level"):
        validate_sarif(log)


def test_50_000_results_are_written_and_validated_within_five_seconds() -> None:
    findings = tuple(
        replace(FINDING, location=Location(f"src/{number % 300}.py", number % 900 + 1))
        for number in range(50_000)
    )
    started = time.process_time()
    log = render(replace(REPORT, findings=findings))
    validate_sarif(log)
    json.dumps(log)
    assert time.process_time() - started < 5
    assert len(log["runs"][0]["results"]) == 50_000
