"""aiohttp and locust for real, in the sandbox, on an app that is fast, slow, broken or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tools.load_app import LoadApp, build_kit, find_free_port, serve_load_app

from referee.core.load import LoadProfile
from referee.tools import RawOutput, ToolInstaller, get_tool
from referee.tools.contract import RunKit
from referee.tools.exercising import ReadableUrl
from referee.tools.load_report import GeneratorOutput
from referee.tools.load_runs import read_generator_output, run_generator

OWN: dict[str, dict[str, Any]] = {
    "aiohttp": {"requests": 6, "concurrency": 2},
    "locust": {"users": 2, "spawn_rate": 2.0},
}
TOOLS = tuple(OWN)


@pytest.fixture
def app() -> Iterator[LoadApp]:
    with serve_load_app() as served:
        yield served


async def kit_of(tool: str, app: LoadApp, installer: ToolInstaller, folder: Path) -> RunKit:
    description = get_tool(tool).describe()
    installation = await get_tool(tool).ensure_installed(installer)
    return build_kit(folder, installation, installer, description, app.running)


async def load(
    tool: str, kit: RunKit, urls: Sequence[ReadableUrl], **given: object
) -> tuple[RawOutput, GeneratorOutput]:
    values = {"time_budget_s": 1, "timeout": 1, "warmup_requests": 3, **given}
    parameters = get_tool(tool).describe().resolve_parameters(values)
    raw = await run_generator(kit, f"run_{tool}.py", urls, parameters, OWN[tool])
    return raw, read_generator_output(raw, urls, concurrency_count=2)


def by_path(output: GeneratorOutput) -> dict[str, LoadProfile]:
    return {profile.address.path: profile for profile in output.profiles}


async def test_aiohttp_sends_what_it_was_told_to_and_the_warmup_is_in_no_number(
    app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    kit = await kit_of("aiohttp", app, installer, tmp_path)
    _, output = await load("aiohttp", kit, [app.url("/fast"), app.url("/slow")])
    assert output.failure is None
    assert {path: dict(profile.statuses) for path, profile in by_path(output).items()} == {
        "/fast": {"200": 6},
        "/slow": {"200": 6},
    }
    assert (app.count("/fast"), app.count("/slow")) == (9, 9)
    assert by_path(output)["/slow"].latency_ms["min"] >= 120
    assert by_path(output)["/slow"].per_second


@pytest.mark.parametrize(
    ("tool", "time_budget_s"), [("aiohttp", 2), pytest.param("locust", 4, marks=pytest.mark.slow)]
)
async def test_every_kind_of_failure_is_counted_by_its_name(
    tool: str, time_budget_s: int, app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    nobody = ReadableUrl(target="backend", url=f"http://127.0.0.1:{find_free_port()}/", route_path="/nobody")
    broken = [app.url(path) for path in ("/missing", "/silent", "/cut", "/hang", "/endless")]
    urls = [*broken[:3], nobody, *broken[3:]]
    kit = await kit_of(tool, app, installer, tmp_path)
    raw, output = await load(tool, kit, urls, time_budget_s=time_budget_s, warmup_requests=0)
    assert (raw.end, raw.exit_code, output.failure) == ("exited", 0, None)
    profiles = by_path(output)
    assert set(profiles["/missing"].statuses) == {"404"}
    assert {path: set(profile.errors) for path, profile in profiles.items()} == {
        "/missing": set(),
        "/silent": {"no_answer"},
        "/cut": {"answer_cut"},
        "/nobody": {"connection_refused"},
        "/hang": {"timeout"},
        "/endless": {"timeout"},
    }
    assert all(profile.failures_count == profile.requests_count > 0 for profile in profiles.values())
    assert profiles["/hang"].latency_ms == {}


@pytest.mark.parametrize("tool", TOOLS)
async def test_headers_are_sent_and_are_nowhere_in_what_is_kept(
    tool: str, app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    kit = await kit_of(tool, app, installer, tmp_path)
    raw, output = await load(tool, kit, [app.url("/slow", {"Authorization": "Bearer canary-7"})])
    assert by_path(output)["/slow"].requests_count > 0
    assert {header for _, header in app.seen} == {"Bearer canary-7"}
    assert "canary-7" not in " ".join(raw.command)
    assert not any(b"canary-7" in data for data in raw.streams.values())


async def test_locust_counts_only_what_all_its_users_sent(
    app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    kit = await kit_of("locust", app, installer, tmp_path)
    _, output = await load("locust", kit, [app.url("/slow")])
    profile = by_path(output)["/slow"]
    assert set(profile.statuses) == {"200"}
    assert 0 < profile.requests_count <= app.count("/slow") - 3
    assert profile.requests_count == sum(ended for _, ended, _ in profile.per_second)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
async def test_time_for_all_that_is_used_up_leaves_the_others_out(
    tool: str, app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    kit = await kit_of(tool, app, installer, tmp_path)
    _, output = await load(tool, kit, [app.url("/hang"), app.url("/fast")], warmup_requests=0)
    assert list(by_path(output)) == ["/hang"]
    assert output.failure is None


@pytest.mark.parametrize("tool", TOOLS)
async def test_whole_tool_finds_the_addresses_and_reports_on_each(
    tool: str, app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    load_tool = get_tool(tool)
    kit = await kit_of(tool, app, installer, tmp_path)
    given = {"time_budget_s": 2, "timeout": 2, "warmup_requests": 1}
    plan = load_tool.plan(kit.snapshot, load_tool.describe().resolve_parameters(given))
    raw = await load_tool.run(kit, plan)
    report = load_tool.parse(raw, plan)
    assert [profile.address.path for profile in report.loads] == ["/", "/fast", "/slow", "/worn"]
    assert [(finding.rule_id, str(finding.address)) for finding in report.findings] == [
        ("error-rate", "backend GET /worn")
    ]
    assert [hole.name for hole in report.coverage.holes] == ["backend GET /missing"]
    assert json.loads(raw.streams["exercise.exercise.json"])["kind"] == "exercise"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "own"),
    [("aiohttp", {"requests": 1000, "concurrency": 100}), ("locust", {"users": 500, "spawn_rate": 100.0})],
)
async def test_most_users_that_can_be_asked_for_fit_into_the_sandbox(
    tool: str, own: dict[str, Any], app: LoadApp, installer: ToolInstaller, tmp_path: Path
) -> None:
    kit = await kit_of(tool, app, installer, tmp_path)
    parameters = (
        get_tool(tool)
        .describe()
        .resolve_parameters({"time_budget_s": 10, "timeout": 60, "warmup_requests": 0})
    )
    urls = [app.url("/slow")]
    raw = await run_generator(kit, f"run_{tool}.py", urls, parameters, own)
    output = read_generator_output(raw, urls, concurrency_count=500)
    assert (raw.end, raw.exit_code, output.failure) == ("exited", 0, None)
    assert by_path(output)["/slow"].errors == {}
