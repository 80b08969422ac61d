"""A fingerprint stays with its problem while code moves, and no two findings share one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from referee.core.findings import Location, ToolFinding
from referee.core.vocabulary import Severity
from referee.tools import compute_cluster_key, compute_fingerprint, compute_fingerprints, get_tool

BANDIT = get_tool("bandit").describe()
RADON = get_tool("radon").describe()

code = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=12)
sources = st.lists(code, min_size=1, max_size=12)
rule_ids = st.sampled_from(["B101", "B307", "B608"])


def found(line: int, rule_id: str = "B307", path: str = "app.py") -> ToolFinding:
    return ToolFinding(rule_id, f"found at {line}", Severity.medium, Location(path, line))


@st.composite
def reports(draw: st.DrawFn) -> tuple[list[str], list[ToolFinding]]:
    source = draw(sources)
    places = st.tuples(st.integers(1, len(source)), rule_ids)
    return source, [found(line, rule_id) for line, rule_id in draw(st.lists(places, max_size=20))]


def fingerprints(findings: list[ToolFinding], source: list[str]) -> tuple[str, ...]:
    return compute_fingerprints(
        BANDIT, findings, lambda _, line: source[line - 1] if line <= len(source) else None
    )


@given(reports())
def test_no_two_findings_of_a_report_share_a_fingerprint(report: tuple[list[str], list[ToolFinding]]) -> None:
    source, findings = report
    assert len(set(fingerprints(findings, source))) == len(findings)


@given(reports(), st.integers(0, 5))
def test_reading_the_same_report_again_changes_nothing(
    report: tuple[list[str], list[ToolFinding]], times: int
) -> None:
    source, findings = report
    assert {fingerprints(findings, source) for _ in range(times + 1)} == {fingerprints(findings, source)}


@given(reports())
def test_order_of_a_report_does_not_matter(report: tuple[list[str], list[ToolFinding]]) -> None:
    source, findings = report
    turned = findings[::-1]
    assert sorted(fingerprints(turned, source)) == sorted(fingerprints(findings, source))


@given(reports(), st.lists(code, max_size=6))
@settings(max_examples=200)
def test_lines_put_above_keep_every_fingerprint(
    report: tuple[list[str], list[ToolFinding]], above: list[str]
) -> None:
    source, findings = report
    moved = [
        replace(finding, location=Location("app.py", line_of(finding) + len(above))) for finding in findings
    ]
    assert fingerprints(moved, above + source) == fingerprints(findings, source)


@given(code, st.text(" \t", max_size=6))
def test_indenting_a_line_keeps_its_fingerprint(line: str, indent: str) -> None:
    assert fingerprints([found(1)], [indent + line]) == fingerprints([found(1)], [line])


def test_another_text_of_the_line_is_another_problem() -> None:
    assert fingerprints([found(1)], ["eval(a)"]) != fingerprints([found(1)], ["eval(b)"])


def test_parts_of_a_fingerprint_cannot_run_into_one_another() -> None:
    assert compute_fingerprint("t", "r", "ab", "c") != compute_fingerprint("t", "r", "a", "bc")
    assert compute_fingerprint("t", "r", "p", "c", identity=("a", "b")) != compute_fingerprint(
        "t", "r", "p", "c", identity=("ab",)
    )


def test_fingerprint_version_1_is_what_stored_findings_have() -> None:
    fingerprint = compute_fingerprint(
        "bandit", "B307", "app.py", "  eval( x )", occurrence_index=1, identity=("a",)
    )
    assert fingerprint == "b600033cb0ec84d991acfd086091cfaeeebdc7aa17097cf0a5ef9bcfcea7ee07"


def test_tool_without_line_identity_ignores_the_code_line() -> None:
    finding = replace(found(1), identity=("Shop.order",))
    first = compute_fingerprints(RADON, [finding], lambda _path, _line: "def order(self):")
    assert first == compute_fingerprints(RADON, [finding], lambda _path, _line: "def order(self, id):")


def test_same_eval_of_three_tools_is_one_cluster() -> None:
    keys = {compute_cluster_key("app.py", 7, [cwe]) for cwe in (78, 94, 95)}
    assert len(keys) == 1
    assert None not in keys


def test_other_line_other_family_or_no_cwe_is_no_common_cluster() -> None:
    here = compute_cluster_key("app.py", 7, [89])
    assert compute_cluster_key("app.py", 8, [89]) != here
    assert compute_cluster_key("app.py", 7, [79]) != here
    assert compute_cluster_key("app.py", 7, []) is None
    assert compute_cluster_key(None, None, [89]) is None


def line_of(finding: ToolFinding) -> int:
    assert finding.location is not None
    assert finding.location.start_line is not None
    return finding.location.start_line
