"""Reports and results as a tool could give them, for tests that need no tool."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from referee.analysis.results import PreparedOccurrence, ToolRunResult
from referee.core.findings import Coverage, Location, Rule, ToolFinding, ToolReport
from referee.core.vocabulary import ExitMeaning, Outcome, ParseState, Severity
from referee.tools.fingerprints import compute_cluster_key, compute_fingerprints
from referee.tools.registry import get_tool

BANDIT = get_tool("bandit").describe()


def make_finding(
    *,
    rule_id: str = "B602",
    message: str = "A shell runs this.",
    path: str | None = "main.py",
    line: int | None = 7,
    severity: Severity = Severity.high,
    suppression: str | None = None,
    cwe_ids: tuple[int, ...] = (78,),
) -> ToolFinding:
    """Return a finding."""
    return ToolFinding(
        rule_id=rule_id,
        message=message,
        severity=severity,
        location=None if path is None else Location(path, line),
        tool_severity=severity.value.upper(),
        cwe_ids=cwe_ids,
        suppression=suppression,
    )


def make_report(*findings: ToolFinding) -> ToolReport:
    """Return a report of these findings, one rule for each id."""
    rules = {finding.rule_id: finding for finding in findings}
    return ToolReport(
        findings=findings,
        rules=tuple(Rule(rule_id, rule_id, rule_id, rules[rule_id].severity) for rule_id in sorted(rules)),
        coverage=Coverage("file", 1),
    )


def make_result(report: ToolReport, lines: Mapping[tuple[str, int], str] | None = None) -> ToolRunResult:
    """Return the result of a bandit run that succeeded with this report."""
    known = lines or {}

    def code_line(path: str, number: int) -> str | None:
        return known.get((path, number))

    fingerprints = compute_fingerprints(BANDIT, report.findings, code_line)
    return ToolRunResult(
        outcome=Outcome.succeeded,
        reason="",
        did_run=True,
        exit_meaning=ExitMeaning.findings,
        parse_state=ParseState.parsed,
        exit_code=1,
        is_counted=True,
        rules=report.rules,
        coverage=report.coverage,
        version="1.0",
        occurrences=tuple(
            PreparedOccurrence(
                finding=finding,
                fingerprint=fingerprint,
                cluster_key=None
                if finding.location is None
                else compute_cluster_key(finding.location.path, finding.location.start_line, finding.cwe_ids),
                code_line="",
            )
            for finding, fingerprint in zip(report.findings, fingerprints, strict=True)
        ),
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
findings = st.builds(
    make_finding,
    rule_id=st.sampled_from(["B602", "B105", ""]),
    message=texts,
    path=st.sampled_from([None, "", "main.py", "a b/ü.py"]),
    line=st.sampled_from([None, 1, 7]),
    severity=st.sampled_from(Severity),
    suppression=st.sampled_from([None, "nosec"]),
    cwe_ids=st.sampled_from([(), (78,), (95, 78), (9999,)]),
)
reports = st.lists(findings, max_size=12).map(lambda found: make_report(*found))
"""Reports with many equal findings: few rules, paths and lines."""
