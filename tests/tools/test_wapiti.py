"""wapiti: its report read, and a crawl without a page never taken for clean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.tools.dynamic_apps import FlawedHandler, closed_port, serving
from tests.tools.dynamic_runs import list_silent_cuts, run_on_targets
from tests.tools.python_samples import SAMPLES_DIR, load_sample, summarise

from referee.core.vocabulary import Severity
from referee.tools import OutputUnreadable, RawOutput, ToolInstaller, ToolPlan
from referee.tools.wapiti import create_tool

VERSION_DIR = next((SAMPLES_DIR / "wapiti").glob("*"))
CASES = sorted(VERSION_DIR.glob("*"))


def with_streams(changes: dict[str, bytes]) -> tuple[RawOutput, ToolPlan]:
    """Return the case with findings with other streams; empty bytes take one away."""
    _, raw, plan, _ = load_sample(VERSION_DIR / "findings")
    streams = {name: data for name, data in {**raw.streams, **changes}.items() if data or name not in changes}
    return replace(
        raw, streams=streams, total_bytes={name: len(data) for name, data in streams.items()}
    ), plan


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_recorded_output_parses_to_the_expected_counts(folder: Path) -> None:
    _, raw, plan, expected = load_sample(folder)
    report = create_tool().parse(raw, plan)
    assert {**summarise(report), "unreachable": report.unreachable is not None} == expected


def test_recorded_script_injection_has_severity_place_and_cwe() -> None:
    _, raw, plan, _ = load_sample(VERSION_DIR / "findings")
    found = [
        one
        for one in create_tool().parse(raw, plan).findings
        if one.rule_id == "reflected-cross-site-scripting"
    ]
    assert [(one.severity, one.cwe_ids, str(one.address), one.identity) for one in found] == [
        (Severity.high, (79,), "backend GET /search (q)", ("",))
    ]


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "uncounted"])
def test_report_cut_anywhere_never_passes_for_whole(is_counted: bool) -> None:
    _, raw, plan, _ = load_sample(VERSION_DIR / "clean")
    assert (
        list_silent_cuts(create_tool(), raw, plan, "backend.report.json", step=41, is_counted=is_counted)
        == []
    )


def test_one_report_of_two_is_partial() -> None:
    raw, plan = with_streams({"backend2.report.json": b""})
    report = create_tool().parse(raw, plan)
    assert report.is_partial
    assert report.failure is not None
    assert report.findings


def test_no_report_at_all_is_unreadable() -> None:
    raw, plan = with_streams({"backend.report.json": b"", "backend2.report.json": b""})
    with pytest.raises(OutputUnreadable):
        create_tool().parse(raw, plan)


def test_time_limits_that_only_the_log_tells_are_told() -> None:
    log = (
        b"Max scan time was reached, stopping.\n"
        b"Max attack time was reached for module sql, stopping.\n"
        b"3 requests were skipped due to network issues\n"
        b"[!] Module xss seems broken and will be skipped\n"
    )
    raw, plan = with_streams({"backend.stdout": log, "backend2.stdout": b"x"})
    assert create_tool().parse(raw, plan).notices == (
        "backend: crawling was stopped at its time limit.",
        "backend: stopped at their time limit: sql.",
        "backend: 3 requests got no answer.",
        "backend: could not be loaded: xss.",
    )


def test_category_that_is_not_known_is_kept_as_medium() -> None:
    document: dict[str, Any] = json.loads((VERSION_DIR / "clean" / "backend.report.json").read_text())
    entry = {"method": "GET", "path": "/api/tasks/17", "info": "Odd.", "level": 4, "parameter": "q"}
    document["vulnerabilities"]["Brand New Weakness"] = [entry]
    raw, plan = with_streams({"backend.report.json": json.dumps(document).encode()})
    found = [one for one in create_tool().parse(raw, plan).findings if one.rule_id == "brand-new-weakness"]
    assert [(one.severity, one.tool_severity, str(one.address)) for one in found] == [
        (Severity.medium, "critical", "backend GET /api/tasks/:id (q)")
    ]


def test_nothing_outside_of_the_app_is_named_on_the_command_line() -> None:
    description = create_tool().describe()
    assert set(description.presets) >= {"quick", "baseline", "full", "deep"}
    options = next(one.options for one in description.parameters if one.name == "modules")
    assert {"ssrf", "xxe", "log4shell", "wapp", "cms", "nikto", "takeover"}.isdisjoint(options)


@pytest.mark.slow
async def test_flawed_app_is_attacked_with_success(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(FlawedHandler) as target, closed_port() as gone:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target, gone])
    assert {
        "reflected-cross-site-scripting",
        "cookie-without-httponly",
        "content-security-policy",
    } <= run.rule_ids
    assert [hole.name for hole in run.report.coverage.holes] == ["gone GET /"]
    assert b"dns.wapiti3" not in b"".join(run.raw.streams.values())


@pytest.mark.slow
async def test_query_fields_of_the_source_are_attacked(installer: ToolInstaller, tmp_path: Path) -> None:
    source = (
        "from flask import Flask, request\napp = Flask(__name__)\n\n\n"
        '@app.route("/search")\ndef search():\n    return request.args.get("q", "")\n'
    )
    with serving(FlawedHandler) as target:
        run = await run_on_targets(
            create_tool(),
            installer,
            tmp_path,
            [target],
            files={"backend/app.py": source},
            parameters={"modules": ["xss"], "max_links_per_page": 1},
        )
    assert run.plan.details["seeds"] == [{"target": "backend", "path": "/search?q=1"}]
    assert run.rule_ids == {"reflected-cross-site-scripting"}


@pytest.mark.slow
async def test_refused_connection_is_unreachable_and_not_clean(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    with closed_port() as gone:
        run = await run_on_targets(create_tool(), installer, tmp_path, [gone], preset="quick")
    assert run.report.unreachable == "The target gone gave no answer: ConnectError."
