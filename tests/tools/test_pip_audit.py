"""pip-audit: real runs in the sandbox against the loopback server, and kept outputs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.tools.conftest import RunTool, WriteApp
from tests.tools.dependency_samples import PINNED, PLANTED, load_sample

from referee.tools import get_tool
from referee.tools.reading import OutputUnreadable

TOOL = get_tool("pip-audit")
VERSION = "2.10.1"


async def test_every_planted_vulnerability_is_found(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool("pip-audit", write_app({"requirements.txt": PINNED}))
    assert {finding.identity for finding in run.report.findings} == PLANTED
    document = json.loads(run.raw.streams["report-1.json"])
    assert sum(len(one["vulns"]) for one in document["dependencies"]) == len(run.report.findings)
    assert (run.raw.exit_code, run.report.coverage.examined_count) == (1, 6)


async def test_a_package_with_several_versions_is_judged_in_each(
    run_tool: RunTool, write_app: WriteApp
) -> None:
    files = {f"{version}/requirements.txt": f"PyYAML=={version}\n" for version in ("5.1", "5.3", "6.0")}
    run = await run_tool("pip-audit", write_app(files))
    assert [one.location.path for one in run.report.findings if one.location] == [
        "5.1/requirements.txt",
        "5.3/requirements.txt",
    ]
    assert (run.report.coverage.examined_count, run.report.failure) == (3, None)


async def test_it_says_the_same_as_safety(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app(
        {"requirements.txt": PINNED + "fastapi==0.65.1\npython-multipart==0.0.6\naiohttp==3.9.0\n"}
    )
    safety, pip_audit = await run_tool("safety", app), await run_tool("pip-audit", app)
    assert safety.report.findings == pip_audit.report.findings
    assert safety.report.rules == pip_audit.report.rules
    assert safety.report.coverage == pip_audit.report.coverage


@pytest.mark.parametrize(
    ("case", "findings_count", "examined_count", "has_failed"),
    [("findings", 7, 6, False), ("clean", 0, 2, False), ("empty", 0, 0, False), ("crash", 0, 0, True)],
)
def test_kept_outputs_parse_to_what_they_meant(
    case: str, findings_count: int, examined_count: int, has_failed: bool
) -> None:
    report = TOOL.parse(*load_sample("pip-audit", VERSION, case))
    assert (len(report.findings), report.coverage.examined_count) == (findings_count, examined_count)
    assert (report.failure is not None) == has_failed


def test_when_everything_was_skipped_the_result_is_not_clean() -> None:
    raw, plan = load_sample("pip-audit", VERSION, "clean")
    skipped = {"dependencies": [{"name": name, "skip_reason": "not found"} for name in ("flask", "click")]}
    data = json.dumps(skipped).encode()
    report = TOOL.parse(
        replace(
            raw,
            streams={**raw.streams, "report-1.json": data},
            total_bytes={**raw.total_bytes, "report-1.json": len(data)},
        ),
        plan,
    )
    assert (
        report.failure == "pip-audit judged none of the dependencies, so that it found nothing means nothing."
    )
    assert [hole.reason for hole in report.coverage.holes] == ["skipped by pip-audit: not found"] * 2


def test_output_cut_at_any_byte_is_never_taken_for_a_result() -> None:
    raw, plan = load_sample("pip-audit", VERSION, "findings")
    whole = raw.streams["report-1.json"].rstrip()
    for length in range(len(whole)):
        cut = {**raw.streams, "report-1.json": whole[:length]}
        with pytest.raises(OutputUnreadable):
            TOOL.parse(
                replace(raw, streams=cut, total_bytes={**raw.total_bytes, "report-1.json": length}), plan
            )
