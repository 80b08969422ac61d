"""Recorded outputs of the Python tools parse to what they must, and cut ones never to less in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.python_samples import load_sample, sample_dirs, summarise

from referee.tools import OutputUnreadable, RawOutput, ToolPlan, get_tool

READABLE = [*sample_dirs("findings"), *sample_dirs("clean"), *sample_dirs("empty")]


def name_of(folder: Path) -> str:
    return "-".join(folder.parts[-3:])


@pytest.mark.parametrize("folder", READABLE, ids=name_of)
def test_recorded_output_parses_to_the_expected_counts(folder: Path) -> None:
    tool, raw, plan, expected = load_sample(folder)
    assert summarise(get_tool(tool).parse(raw, plan)) == expected


@pytest.mark.parametrize("folder", sample_dirs("crash"), ids=name_of)
def test_output_of_a_crash_is_unreadable(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    with pytest.raises(OutputUnreadable):
        get_tool(tool).parse(raw, plan)


@pytest.mark.parametrize("folder", sample_dirs("findings"), ids=name_of)
def test_parsing_twice_gives_equal_reports(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    assert get_tool(tool).parse(raw, plan) == get_tool(tool).parse(raw, plan)


@pytest.mark.parametrize("folder", sample_dirs("findings"), ids=name_of)
def test_every_finding_lies_in_a_planned_file_and_has_a_rule(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    report = get_tool(tool).parse(raw, plan)
    assert {finding.location.path for finding in report.findings if finding.location} <= set(plan.files)
    assert {finding.rule_id for finding in report.findings} == {rule.rule_id for rule in report.rules}
    assert all(finding.location and (finding.location.start_line or 0) >= 1 for finding in report.findings)


@pytest.mark.parametrize("folder", sample_dirs("findings"), ids=name_of)
@pytest.mark.parametrize("is_marked", [True, False], ids=["counted", "uncounted"])
def test_output_cut_at_any_byte_never_passes_for_whole(folder: Path, is_marked: bool) -> None:
    tool, raw, plan, expected = load_sample(folder)
    stream = "report.json" if "report.json" in raw.streams else "stdout"
    data = raw.streams[stream]
    whole_length = len(data.rstrip())
    lengths = range(0, whole_length, 1 if tool == "bandit" else 37)
    passed = [
        length for length in lengths if is_silently_less(tool, raw, plan, stream, length, is_marked, expected)
    ]
    assert passed == []


def is_silently_less(
    tool: str,
    raw: RawOutput,
    plan: ToolPlan,
    stream: str,
    length: int,
    is_marked: bool,
    expected: dict[str, object],
) -> bool:
    """Whether a cut stream parses to a report that claims to be whole and is not."""
    data = raw.streams[stream]
    total = len(data) if is_marked else length
    cut = replace(
        raw,
        streams={**raw.streams, stream: data[:length]},
        total_bytes={**raw.total_bytes, stream: total},
    )
    try:
        report = get_tool(tool).parse(cut, plan)
    except OutputUnreadable:
        return False
    return not report.is_partial and summarise(report) != expected


def test_bandit_second_report_that_is_cut_is_unreadable() -> None:
    tool, raw, plan, _ = load_sample(
        next(folder for folder in sample_dirs("findings") if "bandit" in folder.parts)
    )
    name = "unsuppressed.unsuppressed.json"
    cut = replace(raw, streams={**raw.streams, name: raw.streams[name][:100]})
    with pytest.raises(OutputUnreadable):
        get_tool(tool).parse(cut, plan)
