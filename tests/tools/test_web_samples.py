"""Recorded outputs of the web tools parse to what they must, and cut ones never to less in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.python_samples import load_sample, summarise
from tests.tools.web_samples import web_sample_dirs

from referee.core.findings import ToolReport
from referee.tools import OutputUnreadable, RawOutput, ToolPlan, get_tool

READABLE = [*web_sample_dirs("findings"), *web_sample_dirs("clean"), *web_sample_dirs("empty")]


def name_of(folder: Path) -> str:
    return "-".join(folder.parts[-3:])


def find_report_stream(raw: RawOutput) -> str:
    return next((name for name in raw.streams if name.endswith(".json")), "stdout")


def parse_cut(
    tool: str, raw: RawOutput, plan: ToolPlan, length: int, *, is_marked: bool
) -> ToolReport | None:
    """Return the report of output cut at a byte, None when it is refused."""
    stream = find_report_stream(raw)
    data = raw.streams[stream]
    cut = replace(
        raw,
        streams={**raw.streams, stream: data[:length]},
        total_bytes={**raw.total_bytes, stream: len(data) if is_marked else length},
    )
    try:
        return get_tool(tool).parse(cut, plan)
    except OutputUnreadable:
        return None


@pytest.mark.parametrize("folder", READABLE, ids=name_of)
def test_recorded_output_parses_to_the_expected_counts(folder: Path) -> None:
    tool, raw, plan, expected = load_sample(folder)
    assert summarise(get_tool(tool).parse(raw, plan)) == expected


@pytest.mark.parametrize("folder", web_sample_dirs("crash"), ids=name_of)
def test_output_of_a_crash_is_unreadable(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    with pytest.raises(OutputUnreadable):
        get_tool(tool).parse(raw, plan)


@pytest.mark.parametrize("folder", web_sample_dirs("findings"), ids=name_of)
def test_every_finding_lies_in_a_planned_file_and_has_a_rule(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    report = get_tool(tool).parse(raw, plan)
    assert {finding.location.path for finding in report.findings if finding.location} <= set(plan.files)
    assert {finding.rule_id for finding in report.findings} == {rule.rule_id for rule in report.rules}
    assert all(finding.location and (finding.location.start_line or 0) >= 1 for finding in report.findings)
    assert all(rule.help_url and rule.summary for rule in report.rules if rule.rule_id != "parse-error")


@pytest.mark.parametrize("folder", web_sample_dirs("findings"), ids=name_of)
@pytest.mark.parametrize("is_marked", [True, False], ids=["counted", "uncounted"])
def test_output_cut_at_any_byte_never_passes_for_whole(folder: Path, is_marked: bool) -> None:
    tool, raw, plan, _ = load_sample(folder)
    whole_length = len(raw.streams[find_report_stream(raw)].rstrip())
    lengths = range(0, whole_length, 1 if tool == "jshint" else 41)
    reports = [parse_cut(tool, raw, plan, length, is_marked=is_marked) for length in lengths]
    assert [report for report in reports if report is not None and report.failure is None] == []


@pytest.mark.parametrize("folder", web_sample_dirs("findings"), ids=name_of)
def test_no_placeholder_for_people_without_an_account_reaches_a_report(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    assert "requires login" not in repr(get_tool(tool).parse(raw, plan))


def test_lines_before_the_cut_are_kept_and_the_rest_is_a_hole() -> None:
    (folder,) = (path for path in web_sample_dirs("findings") if path.parts[-3] == "eslint")
    tool, raw, plan, expected = load_sample(folder)
    third_line = [index for index, byte in enumerate(raw.streams["stdout"]) if byte == ord("\n")][2]
    report = parse_cut(tool, raw, plan, third_line + 1, is_marked=True)
    assert report is not None
    assert report.is_partial
    assert 0 < len(report.findings) < expected["findings"]
    assert report.coverage.examined_count + report.coverage.unreadable_count == 2
    assert report.coverage.skipped_count == len(plan.files) - 2
