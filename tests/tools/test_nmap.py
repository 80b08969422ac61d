"""nmap: its XML read without entities, and a scan without an open target never taken for clean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.dynamic_apps import CleanHandler, FlawedHandler, closed_port, serving
from tests.tools.dynamic_runs import list_silent_cuts, run_on_targets
from tests.tools.python_samples import SAMPLES_DIR, load_sample, summarise

from referee.core.errors import InvalidInput
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import Severity
from referee.tools import OutputUnreadable, RawOutput, ToolInstaller, ToolPlan
from referee.tools.nmap import create_tool

VERSION_DIR = next((SAMPLES_DIR / "nmap").glob("*"))
CASES = sorted(VERSION_DIR.glob("*"))
STREAM = "scan.stdout"


def with_xml(text: str) -> tuple[RawOutput, ToolPlan]:
    """Return the clean case with other XML."""
    _, raw, plan, _ = load_sample(VERSION_DIR / "clean")
    data = text.encode()
    return replace(
        raw, streams={**raw.streams, STREAM: data}, total_bytes={**raw.total_bytes, STREAM: len(data)}
    ), plan


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_recorded_output_parses_to_the_expected_counts(folder: Path) -> None:
    _, raw, plan, expected = load_sample(folder)
    report = create_tool().parse(raw, plan)
    assert {**summarise(report), "unreachable": report.unreachable is not None} == expected


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "uncounted"])
def test_output_cut_at_any_byte_never_passes_for_whole(is_counted: bool) -> None:
    _, raw, plan, _ = load_sample(VERSION_DIR / "unreachable")
    assert list_silent_cuts(create_tool(), raw, plan, STREAM, is_counted=is_counted) == []


def test_open_ports_besides_the_targets_are_findings_in_the_apps_own_network() -> None:
    _, raw, plan, _ = load_sample(VERSION_DIR / "own_network")
    report = create_tool().parse(raw, plan)
    assert [(one.rule_id, one.severity, str(one.address), one.identity) for one in report.findings] == [
        ("unexpected-service", Severity.medium, "tcp/6379", ("tcp/6379",)),
        ("unexpected-port", Severity.low, "tcp/8000", ("tcp/8000",)),
    ]
    assert [hole.name for hole in report.coverage.holes] == ["frontend http://127.0.0.1:5173"]
    assert report.unreachable is None


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE nmaprun [<!ENTITY big "boo">]>',
        '<!DOCTYPE nmaprun SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE nmaprun [<!ENTITY % more SYSTEM "http://127.0.0.1/x"> %more;]>',
    ],
)
def test_document_type_with_declarations_is_refused(prolog: str) -> None:
    raw, plan = with_xml(f'<?xml version="1.0"?>{prolog}<nmaprun><runstats/></nmaprun>')
    with pytest.raises(OutputUnreadable, match="document type with declarations"):
        create_tool().parse(raw, plan)


def test_nesting_without_end_is_refused() -> None:
    raw, plan = with_xml("<a>" * 500 + "</a>" * 500)
    with pytest.raises(OutputUnreadable, match="nested"):
        create_tool().parse(raw, plan)


def test_scan_that_did_not_finish_is_unreadable() -> None:
    raw, plan = with_xml(
        '<nmaprun><runstats><finished exit="error" errormsg="no route"/></runstats></nmaprun>'
    )
    with pytest.raises(OutputUnreadable, match="no route"):
        create_tool().parse(raw, plan)


def test_scan_without_a_host_is_unreachable_and_not_clean() -> None:
    raw, plan = with_xml('<nmaprun><runstats><finished exit="success"/><hosts up="0"/></runstats></nmaprun>')
    report = create_tool().parse(raw, plan)
    assert report.unreachable is not None
    assert report.coverage.examined_count == 0


@pytest.mark.parametrize("word", ["0", "65536", "80-", "90-80", "http", "80 443", "-p-", "T:80"])
def test_what_is_no_port_is_refused_before_anything_runs(word: str) -> None:
    parameters = create_tool().describe().resolve_parameters({"ports": [word]})
    with pytest.raises(InvalidInput, match="no port"):
        create_tool().plan(SourceSnapshot(root=Path("/"), source_digest="", files=()), parameters)


@pytest.mark.apt
async def test_open_target_is_examined(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(CleanHandler) as target, closed_port() as gone:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target, gone], preset="quick")
    assert run.report.findings == ()
    assert run.report.coverage.examined_count == 1
    assert [hole.reason for hole in run.report.coverage.holes] == [f"port {gone.port} is closed"]
    assert run.report.notices == (
        "backend has the title 'Tasks'.",
        "The app shares the machine's network, so only its own ports were looked at.",
    )


@pytest.mark.apt
async def test_trace_is_told_and_put_is_not(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(FlawedHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target], preset="quick")
    assert run.identities == {("risky-http-methods", "backend OPTIONS /", ("",))}


@pytest.mark.apt
async def test_closed_port_is_unreachable_and_not_clean(installer: ToolInstaller, tmp_path: Path) -> None:
    with closed_port() as gone:
        run = await run_on_targets(create_tool(), installer, tmp_path, [gone], preset="quick")
    assert run.report.unreachable == f"The target gone gave no answer: port {gone.port} is closed."
