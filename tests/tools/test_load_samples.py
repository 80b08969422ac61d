"""Recorded outputs of the load tools give what they gave, and cut ones are never taken for whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.load_samples import CASES, TOOLS, load_sample, sample_dirs, summarise

from referee.core.findings import ToolReport
from referee.tools import OutputUnreadable, RawOutput, Tool, ToolPlan

FOLDERS = [folder for case in CASES for folder in sample_dirs(case)]


def identify(folder: Path) -> str:
    return f"{folder.parts[-3]}-{folder.name}"


def parse_or_none(tool: Tool, raw: RawOutput, plan: ToolPlan) -> ToolReport | None:
    try:
        return tool.parse(raw, plan)
    except OutputUnreadable:
        return None


def test_every_load_tool_has_every_case() -> None:
    assert sorted(identify(folder) for folder in FOLDERS) == sorted(
        f"{tool}-{case}" for tool in TOOLS for case in CASES
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=identify)
def test_recorded_output_gives_what_it_must(folder: Path) -> None:
    tool, raw, plan, expected = load_sample(folder)
    assert summarise(tool.parse(raw, plan)) == expected


@pytest.mark.parametrize("folder", sample_dirs("answers"), ids=identify)
def test_profiles_of_recorded_output_are_whole(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    for profile in tool.parse(raw, plan).loads:
        latency = profile.latency_ms
        assert 0 < latency["min"] <= latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
        assert sum(count for _, count in profile.histogram) == profile.requests_count
        assert sum(ended for _, ended, _ in profile.per_second) == profile.requests_count
        assert sum(profile.statuses.values()) == profile.requests_count
        assert profile.requests_per_s == pytest.approx(profile.requests_count / profile.duration_s)


@pytest.mark.parametrize("folder", sample_dirs("answers"), ids=identify)
def test_route_that_waits_is_measured_as_slow_as_it_is_and_the_others_are_not(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    fastest = {profile.address.path: profile.latency_ms["min"] for profile in tool.parse(raw, plan).loads}
    assert 120 <= fastest["/slow"] < 140
    assert all(20 <= fastest[path] < 60 for path in ("/", "/fast", "/worn"))


@pytest.mark.parametrize("folder", sample_dirs("failures"), ids=identify)
def test_output_that_lost_bytes_is_never_clean(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    needed = [name for name, data in raw.streams.items() if data and not name.endswith("stderr")]
    for name in needed:
        data = raw.streams[name]
        for size in {0, 1, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1} - {len(data)}:
            cut = replace(raw, streams={**raw.streams, name: data[: max(0, size)]})
            report = parse_or_none(tool, cut, plan)
            assert report is None or report.is_partial, (name, size)


@pytest.mark.parametrize("folder", sample_dirs("failures"), ids=identify)
def test_output_that_lost_its_end_unnoticed_gives_the_same_or_nothing_whole(folder: Path) -> None:
    tool, raw, plan, _ = load_sample(folder)
    whole = tool.parse(raw, plan)
    for name, data in raw.streams.items():
        for size in range(0, len(data), max(1, len(data) // 97)):
            cut_data = data[:size]
            totals = {**raw.total_bytes, name: size}
            cut = replace(raw, streams={**raw.streams, name: cut_data}, total_bytes=totals)
            report = parse_or_none(tool, cut, plan)
            assert report is None or report.is_partial or report == whole, (name, size)


@pytest.mark.parametrize("folder", sample_dirs("answers"), ids=identify)
@pytest.mark.parametrize("junk", [b"", b"\x00\xff\n", b"[]\n", b'{"kind":"address","index":0}\n'])
def test_foreign_output_is_unreadable(folder: Path, junk: bytes) -> None:
    tool, raw, plan, _ = load_sample(folder)
    streams = {
        name: data if name.startswith("exercise.") or name.endswith("stderr") else junk
        for name, data in raw.streams.items()
    }
    totals = {name: len(data) for name, data in streams.items()}
    report = parse_or_none(tool, replace(raw, streams=streams, total_bytes=totals), plan)
    assert report is None or (report.coverage.examined_count == 0 and not report.findings)
