"""npm-advisories: our own matching of real lock files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.conftest import RunTool, WriteApp

from referee.core.vocabulary import Severity
from referee.tools import ToolInstaller, get_tool
from referee.tools.reading import OutputUnreadable

SAMPLES = Path(__file__).parents[1] / "samples" / "npm-advisories" / "1"
TOOL = get_tool("npm-advisories")
PLANTED = {
    ("lodash", "CVE-2021-23337"),
    ("lodash", "CVE-2019-10744"),
    ("minimist", "CVE-2021-44906"),
    ("express", "CVE-2024-29041"),
    ("vite", "CVE-2023-34092"),
    ("body-parser", "CVE-2024-45590"),
    ("send", "CVE-2024-43799"),
    ("qs", "CVE-2022-24999"),
}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("package-lock.json", "package-lock-v3.json"),
        ("package-lock.json", "package-lock-v1.json"),
        ("yarn.lock", "yarn-v1.lock"),
        ("yarn.lock", "yarn-v10.lock"),
        ("pnpm-lock.yaml", "pnpm-lock-v9.yaml"),
    ],
)
async def test_planted_vulnerabilities_are_found_in_each_kind_of_lock(
    run_tool: RunTool, write_app: WriteApp, name: str, file: str
) -> None:
    app = write_app({f"frontend/{name}": (SAMPLES / file).read_text(encoding="utf-8")})
    run = await run_tool("npm-advisories", app)
    assert {finding.identity for finding in run.report.findings} >= PLANTED
    assert {one.location.path for one in run.report.findings if one.location} == {f"frontend/{name}"}
    assert run.report.coverage.examined_count >= 93
    assert (run.report.coverage.data_on, run.report.coverage.data_count) == ("2024-09-11", 24)


async def test_two_versions_of_a_package_are_two_findings(run_tool: RunTool, write_app: WriteApp) -> None:
    lock = (SAMPLES / "package-lock-v3.json").read_text(encoding="utf-8")
    run = await run_tool("npm-advisories", write_app({"package-lock.json": lock}))
    found = [one.properties["version"] for one in run.report.findings if one.rule_id == "CVE-2021-23337"]
    assert found == ["4.17.11", "4.17.20"]


async def test_a_word_is_used_where_an_advisory_has_no_vector(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app({"package.json": '{"dependencies": {"jsonwebtoken": "8.5.1"}}'})
    run = await run_tool("npm-advisories", app)
    assert {(one.severity, one.tool_severity) for one in run.report.findings} == {
        (Severity.medium, "MODERATE")
    }


async def test_safe_versions_are_clean_and_ranges_are_holes(run_tool: RunTool, write_app: WriteApp) -> None:
    app = write_app({"package.json": '{"dependencies": {"lodash": "4.17.21", "express": "^4.17.1"}}'})
    run = await run_tool("npm-advisories", app)
    assert (run.raw.exit_code, run.report.findings) == (0, ())
    assert (run.report.coverage.examined_count, run.report.coverage.skipped_count) == (1, 1)


async def test_the_version_names_the_date_of_the_data(installer: ToolInstaller) -> None:
    installation = await TOOL.ensure_installed(installer)
    assert await TOOL.probe_version(installation) == "1+2024-09-11"


async def test_cut_output_is_never_taken_for_a_result(run_tool: RunTool, write_app: WriteApp) -> None:
    run = await run_tool(
        "npm-advisories", write_app({"package.json": '{"dependencies": {"lodash": "4.17.20"}}'})
    )
    whole = run.raw.streams["report.json"]
    for length in range(len(whole)):
        cut = {**run.raw.streams, "report.json": whole[:length]}
        with pytest.raises(OutputUnreadable):
            TOOL.parse(replace(run.raw, streams=cut), run.plan)
