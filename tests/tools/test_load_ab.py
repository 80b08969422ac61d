"""ab for real, and what its files can hide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.programs import skip_for_system
from tests.tools.load_app import LoadApp, build_kit, find_free_port, serve_load_app
from tests.tools.load_samples import load_sample, sample_dirs

from referee.core.errors import Unavailable
from referee.tools import OutputUnreadable, RawOutput, ToolInstaller, ToolPlan, get_tool
from referee.tools.ab import load_addresses
from referee.tools.ab_output import read_profiles
from referee.tools.contract import Installation, RunKit
from referee.tools.exercising import ReadableUrl

TOOL = get_tool("ab")
ANSWERS = sample_dirs("answers")[0]
URL = ReadableUrl(target="backend", url="http://127.0.0.1:1/", route_path="/")


@pytest.fixture
def app() -> Iterator[LoadApp]:
    with serve_load_app() as served:
        yield served


@pytest.fixture
async def installation(installer: ToolInstaller) -> Installation:
    try:
        return await TOOL.ensure_installed(installer)
    except Unavailable as error:
        skip_for_system(error.message)


@pytest.fixture
def kit(app: LoadApp, installation: Installation, installer: ToolInstaller, tmp_path: Path) -> RunKit:
    return build_kit(tmp_path, installation, installer, TOOL.describe(), app.running)


def plan_of(**given: object) -> ToolPlan:
    values = {"time_budget_s": 4, "timeout": 1, "requests": 6, "warmup_requests": 3, **given}
    return ToolPlan(parameters=TOOL.describe().resolve_parameters(values))


def made_up(
    times: list[tuple[int, int]],
    *,
    percentiles: list[float] | None = None,
    failed: str = "Failed requests:        0\n",
    exit_code: int = 0,
    transferred: int = 1000,
    stderr: str = "",
) -> RawOutput:
    """Return what ab would write about these (second, milliseconds)."""
    stdout = (
        f"Time taken for tests:   2.000 seconds\nComplete requests:      {len(times)}\n{failed}"
        f"Total transferred:      {transferred} bytes\n"
        f"Requests per second:    {len(times) / 2:.2f} [#/sec] (mean)\n"
    )
    rows = "".join(
        f"Wed Nov 25 10:00:00 2026\t{second}\t0\t{time}\t{time}\t{time}\n" for second, time in times
    )
    values = percentiles or [float(time) for _, time in times[:1]] * 101
    lines = "".join(f"{percent},{value:.3f}\n" for percent, value in enumerate(values))
    run = {"end": "exited", "exit_code": exit_code, "duration_ms": 2000, "cpu_ms": 100}
    run |= {"requests": 6, "concurrency": 2}
    streams = {
        "runs.json": json.dumps([run]).encode(),
        "0.stdout": stdout.encode(),
        "0.stderr": stderr.encode(),
        "0.times.tsv": f"starttime\tseconds\tctime\tdtime\tttime\twait\n{rows}".encode(),
        "0.percentiles.csv": f"Percentage served,Time in ms\n{lines}".encode(),
    }
    _, sample, _, _ = load_sample(ANSWERS)
    return replace(sample, streams=streams, total_bytes={name: len(data) for name, data in streams.items()})


@pytest.mark.apt
async def test_requests_are_as_many_as_were_asked_for_and_the_warmup_is_in_no_number(
    app: LoadApp, kit: RunKit
) -> None:
    plan, urls = plan_of(), [app.url("/fast"), app.url("/slow")]
    output = read_profiles(await load_addresses(kit, plan, urls), plan, urls)
    assert [(profile.address.path, profile.requests_count) for profile in output.profiles] == [
        ("/fast", 6),
        ("/slow", 6),
    ]
    assert (app.count("/fast"), app.count("/slow")) == (9, 9)
    assert output.profiles[1].latency_ms["min"] >= 120 > output.profiles[0].latency_ms["min"]
    assert output.profiles[0].latency_ms["min"] != round(output.profiles[0].latency_ms["min"])


@pytest.mark.apt
async def test_failures_hangs_and_absence_are_told_apart(app: LoadApp, kit: RunKit) -> None:
    nobody = ReadableUrl(target="backend", url=f"http://127.0.0.1:{find_free_port()}/", route_path="/nobody")
    plan = plan_of(warmup_requests=0)
    urls = [app.url("/missing"), app.url("/silent"), nobody, app.url("/hang")]
    output = read_profiles(await load_addresses(kit, plan, urls), plan, urls)
    assert [(dict(profile.statuses), dict(profile.errors)) for profile in output.profiles] == [
        ({"non_2xx": 6}, {}),
        ({}, {"no_answer": 6}),
        ({}, {"connection_refused": 6}),
        ({}, {"timeout": 2}),
    ]
    assert all(profile.failures_count == profile.requests_count for profile in output.profiles)
    assert output.notices == ("ab gave up at backend GET /hang and then keeps no times.",)


@pytest.mark.slow
@pytest.mark.apt
async def test_answer_without_an_end_is_no_answer_in_time(app: LoadApp, kit: RunKit) -> None:
    plan, urls = plan_of(warmup_requests=0, time_budget_s=1), [app.url("/endless")]
    raw = await load_addresses(kit, plan, urls)
    [profile] = read_profiles(raw, plan, urls).profiles
    assert raw.end == "exited"
    assert (profile.requests_count, dict(profile.errors)) == (2, {"timeout": 2})


@pytest.mark.apt
async def test_address_that_the_warmup_cannot_get_past_is_not_loaded(app: LoadApp, kit: RunKit) -> None:
    plan, urls = plan_of(), [app.url("/hang"), app.url("/fast")]
    output = read_profiles(await load_addresses(kit, plan, urls), plan, urls)
    assert app.count("/hang") == 1
    assert [(profile.requests_count, profile.failures_count) for profile in output.profiles] == [
        (1, 1),
        (6, 0),
    ]


@pytest.mark.apt
async def test_header_values_are_sent_and_are_nowhere_in_what_is_kept(app: LoadApp, kit: RunKit) -> None:
    plan, urls = plan_of(), [app.url("/fast", {"Authorization": "Bearer canary-7", "X-One": "1"})]
    raw = await load_addresses(kit, plan, urls)
    assert {header for _, header in app.seen} == {"Bearer canary-7"}
    assert [word for word in raw.command if word.startswith(("Auth", "X-"))] == [
        "Authorization: …",
        "X-One: …",
    ]
    assert not any(b"canary-7" in data for data in raw.streams.values())


@pytest.mark.apt
async def test_whole_tool_finds_the_addresses_and_reports_on_each(kit: RunKit) -> None:
    plan = TOOL.plan(kit.snapshot, plan_of().parameters)
    report = TOOL.parse(await TOOL.run(kit, plan), plan)
    assert [profile.address.path for profile in report.loads] == ["/", "/fast", "/slow", "/worn"]
    assert [(finding.rule_id, str(finding.address)) for finding in report.findings] == [
        ("error-rate", "backend GET /worn")
    ]


@pytest.mark.apt
async def test_version_is_what_ab_says(installation: Installation) -> None:
    assert (await TOOL.probe_version(installation))[0].isdigit()


def test_times_are_exact_where_the_percentile_file_has_them_and_what_lies_beyond_is_ignored() -> None:
    exact = [10.123, 20.456]
    percentiles = [exact[0]] * 25 + [exact[1]] * 50 + [0.257] * 20 + [-9e14] * 5 + [exact[1]]
    output = read_profiles(made_up([(5, 10), (5, 20)], percentiles=percentiles), plan_of(), [URL])
    latency = output.profiles[0].latency_ms
    assert (latency["min"], latency["p50"], latency["p99"]) == (10.123, 10.123, 20.456)


def test_series_has_the_second_in_which_each_request_ended() -> None:
    output = read_profiles(made_up([(100, 500), (100, 1500), (101, 100), (102, 10)]), plan_of(), [URL])
    assert output.profiles[0].per_second == ((0.0, 1, 0), (1.0, 2, 0), (2.0, 1, 0))


def test_series_is_left_out_when_it_is_not_known_which_requests_failed() -> None:
    raw = made_up([(5, 10)] * 4, failed="Failed requests:        0\nNon-2xx responses:      1\n")
    [profile] = read_profiles(raw, plan_of(), [URL]).profiles
    assert (profile.failures_count, dict(profile.statuses)) == (1, {"2xx": 3, "non_2xx": 1})
    assert profile.per_second == ()


def test_requests_that_lost_their_connection_are_failures_and_their_zero_times_no_latencies() -> None:
    failed = "Failed requests:        3\n   (Connect: 0, Receive: 2, Length: 0, Exceptions: 1)\n"
    raw = made_up(
        [(5, 0), (5, 0), (5, 10), (5, 30)],
        failed=failed,
        stderr="apr_socket_recv: Connection refused (111)\napr_socket_recv: Connection reset by peer (104)\n",
    )
    [profile] = read_profiles(raw, plan_of(), [URL]).profiles
    assert (profile.requests_count, profile.failures_count) == (4, 2)
    assert profile.latency_ms["min"] == 10
    assert dict(profile.errors) == {"connection_refused": 1, "connection_reset": 1}


def test_run_that_ab_gave_up_keeps_what_was_answered_before() -> None:
    raw = made_up([], exit_code=119)
    raw = replace(
        raw,
        streams={**raw.streams, "0.stdout": b"Total of 4 requests completed\n"},
        total_bytes={**raw.total_bytes, "0.stdout": 30},
    )
    [profile] = read_profiles(raw, plan_of(), [URL]).profiles
    assert (profile.requests_count, profile.failures_count, dict(profile.errors)) == (6, 2, {"timeout": 2})
    assert (profile.requests_per_s, dict(profile.latency_ms)) == (2.0, {})


@pytest.mark.parametrize("name", ["0.times.tsv", "0.percentiles.csv", "0.stdout", "runs.json"])
def test_absent_file_is_unreadable(name: str) -> None:
    raw = made_up([(5, 10)])
    streams = {key: data for key, data in raw.streams.items() if key != name}
    with pytest.raises(OutputUnreadable):
        read_profiles(replace(raw, streams=streams), plan_of(), [URL])
