"""safety: real runs in the sandbox, real outputs kept as samples, and every way it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, WriteApp
from tests.tools.dependency_samples import PINNED, PLANTED, load_sample

from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Severity
from referee.tools import ToolInstaller, get_tool
from referee.tools.advisories import AdvisoryStore, advisory_digest, import_file
from referee.tools.contract import RawOutput
from referee.tools.reading import OutputUnreadable
from referee.tools.vulnerabilities import ADVISORIES_STREAM

TOOL = get_tool("safety")
VERSION = "3.8.1"


async def test_every_planted_vulnerability_is_found_where_it_is_declared(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    run = await run_tool("safety", write_app({"backend/requirements.txt": PINNED}))
    assert (run.raw.end, run.raw.exit_code) == ("exited", 64)
    assert {finding.identity for finding in run.report.findings} == PLANTED
    (pyyaml,) = [one for one in run.report.findings if one.identity[0] == "pyyaml"]
    assert pyyaml.location is not None
    assert (pyyaml.location.path, pyyaml.location.start_line) == ("backend/requirements.txt", 3)
    assert (pyyaml.severity, pyyaml.properties["fixed_versions"]) == (Severity.critical, ["5.4"])


async def test_the_result_says_how_much_was_judged_and_by_what(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    run = await run_tool("safety", write_app({"requirements.txt": PINNED + "requests>=2\n-e .\n"}))
    coverage = run.report.coverage
    assert (coverage.unit, coverage.examined_count, coverage.skipped_count) == ("dependency", 6, 2)
    assert (coverage.data_on, coverage.data_count) == ("2024-09-24", 27)
    assert run.report.notices[0] == "2 of 8 dependencies could not be judged."
    with AdvisoryStore.open(None) as store:
        assert run.plan.details["advisories_digest"] == store.digest


async def test_safe_versions_are_clean(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("safety", write_app({"requirements.txt": "flask==3.0.3\nclick==8.1.7\n"}))
    assert (run.raw.exit_code, run.report.findings, run.report.coverage.examined_count) == (0, (), 2)
    assert TOOL.describe().exit_codes[0] is ExitMeaning.clean


async def test_counts_equal_those_of_safety_itself(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app(
        {"requirements.txt": PINNED, "dev/requirements.txt": "jinja2==2.10\nurllib3==1.26.0\njinja2==3.1.2\n"}
    )
    run = await run_tool("safety", app)
    report = json.loads(run.raw.streams["report.json"])
    assert report["report_meta"]["vulnerabilities_found"] == len(
        {(*finding.identity, finding.properties["version"]) for finding in run.report.findings}
    )
    # safety counts names, we count versions: jinja2 is there in two.
    assert (report["report_meta"]["packages_found"], run.report.coverage.examined_count) == (7, 8)


async def test_a_prerelease_before_the_fix_is_found(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("safety", write_app({"requirements.txt": "PyYAML==5.4b1\n"}))
    assert [finding.identity for finding in run.report.findings] == [("pyyaml", "CVE-2020-14343")]


async def test_unpinned_dependencies_alone_say_nothing(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("safety", write_app({"requirements.txt": "flask\nrequests>=2\n"}))
    assert (run.report.coverage.examined_count, run.report.coverage.skipped_count) == (0, 2)
    assert (
        run.report.notices[0]
        == "None of the 2 dependencies could be judged, so this says nothing about them."
    )


async def test_the_apps_own_policy_file_is_not_obeyed(run_tool: RunTool, write_app: WriteApp) -> None:
    policy = (
        "version: '3.0'\nsecurity:\n  ignore-cvss-severity-below: 10\n  ignore-vulnerabilities:\n    90000:\n"
    )
    app = write_app({"requirements.txt": PINNED, ".safety-policy.yml": policy, "setup.cfg": "[options]\n"})
    run = await run_tool("safety", app)
    assert {finding.identity for finding in run.report.findings} == PLANTED


async def test_imported_advisories_are_used_and_change_the_digest(
    run_tool: RunTool, write_app: WriteApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    record = {
        "id": "GHSA-click", "modified": "2025-01-02T00:00:00Z", "summary": "Click is wrong.",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "click"}, "versions": ["8.1.7"]}],
    }  # fmt: skip
    before = advisory_digest(installer.advisories_dir)
    (tmp_path / "record.json").write_text(json.dumps(record), encoding="utf-8")
    import_file(tmp_path / "record.json", installer.advisories_dir)
    run = await run_tool("safety", write_app({"requirements.txt": PINNED}))
    assert [finding.identity for finding in run.report.findings] == [("click", "GHSA-click")]
    assert (run.report.coverage.data_on, run.report.coverage.data_count) == ("2025-01-02", 1)
    assert run.plan.details["advisories_digest"] == advisory_digest(installer.advisories_dir) != before


async def test_ignored_ids_are_kept_and_marked(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("safety", write_app({"requirements.txt": PINNED}), {"ignore": ["PYSEC-2023-62"]})
    marked = [finding.identity for finding in run.report.findings if finding.suppression]
    assert marked == [("flask", "CVE-2023-30861")]
    assert run.report.coverage.suppressed_count == 1


def test_an_app_without_python_dependencies_is_not_applicable(
    write_app: WriteApp, snapshot_of: Callable[[Path], SourceSnapshot]
) -> None:
    snapshot = snapshot_of(write_app({"package.json": "{}", "app.py": "print()"}))
    plan = TOOL.plan(snapshot, TOOL.describe().resolve_parameters({}))
    assert plan.not_applicable is not None
    assert plan.not_applicable.startswith("None of requirements*.txt, pyproject.toml")


@pytest.mark.parametrize(
    ("case", "findings_count", "examined_count", "has_failed"),
    [("findings", 7, 6, False), ("clean", 0, 2, False), ("empty", 0, 0, False), ("crash", 0, 0, True)],
)
def test_kept_outputs_parse_to_what_they_meant(
    case: str, findings_count: int, examined_count: int, has_failed: bool
) -> None:
    report = TOOL.parse(*load_sample("safety", VERSION, case))
    assert (len(report.findings), report.coverage.examined_count) == (findings_count, examined_count)
    assert (report.failure is not None) == has_failed


def test_a_crash_is_told_in_safetys_own_words_and_leaves_nothing_judged() -> None:
    report = TOOL.parse(*load_sample("safety", VERSION, "crash"))
    assert report.failure is not None
    assert report.failure.startswith("safety ended with exit code 1: httpx.ConnectError")
    assert report.coverage.skipped_count == 6


@pytest.mark.parametrize("name", ["report.json", ADVISORIES_STREAM])
def test_output_cut_at_any_byte_is_never_taken_for_a_result(name: str) -> None:
    raw, plan = load_sample("safety", VERSION, "findings")
    whole = raw.streams[name].rstrip()
    for length in range(0, len(whole), max(1, len(whole) // 400)):
        with pytest.raises(OutputUnreadable):
            TOOL.parse(replace_stream(raw, name, whole[:length], total=len(whole)), plan)
        with pytest.raises(OutputUnreadable):
            TOOL.parse(replace_stream(raw, name, whole[:length], total=length), plan)


def test_a_package_that_safety_left_out_is_a_hole() -> None:
    raw, plan = load_sample("safety", VERSION, "clean")
    document = json.loads(raw.streams["report.json"])
    del document["scanned_packages"]["click"]
    report = TOOL.parse(replace_stream(raw, "report.json", json.dumps(document).encode()), plan)
    assert [(hole.name, hole.reason) for hole in report.coverage.holes] == [
        ("click==8.1.7", "safety did not report on it")
    ]
    assert report.coverage.examined_count == 1


def replace_stream(raw: RawOutput, name: str, data: bytes, *, total: int | None = None) -> RawOutput:
    return replace(
        raw,
        streams={**raw.streams, name: data},
        total_bytes={**raw.total_bytes, name: len(data) if total is None else total},
    )
