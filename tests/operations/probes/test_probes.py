"""Probes find what is broken, end at their time, never pile up, and leave nothing among anybody's data."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update

from referee.alerts.queries import list_rules
from referee.alerts.rules import read_rule
from referee.alerts.service import create_rule, try_rule
from referee.alerts.workflows import _ensure_rules
from referee.analysis.tables import AnalysisRow, ToolRunRow
from referee.app import Application, open_application
from referee.core.errors import Forbidden, InvalidInput, RefereeError
from referee.core.ids import new_id
from referee.core.pages import Page
from referee.foundation.access import Principal, create_project, get_project
from referee.foundation.metrics import REGISTRY
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore
from referee.operations.integrity import verify_everything
from referee.operations.probes.checks import Check, ProbeFailed, Stopwatch
from referee.operations.probes.queries import (
    get_result,
    list_results,
    read_latencies,
    summarize_probes,
)
from referee.operations.probes.room import ProbesRoom
from referee.operations.probes.service import ProbeRunner, forget_probes, is_due, start_probe
from referee.operations.probes.tables import ProbeResultRow
from referee.operations.probes.words import Probe, ProbeOutcome, ProbeResult
from referee.operations.windows import make_window
from referee.pipelines.success_rates import read_success_rates


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """The whole application, carrying jobs out."""
    async with open_application(database_settings, is_worker=True) as opened:
        yield opened


@pytest.fixture
async def idle(database_settings: Settings) -> AsyncIterator[Application]:
    """The whole application, with nobody who carries jobs out."""
    settings = database_settings.model_copy(update={"probe_trace_timeout_s": 0.2})
    async with open_application(settings, is_worker=False) as opened:
        yield opened


async def run(application: Application, probe: Probe) -> ProbeResult:
    started = await start_probe(application.probes, application.engine, probe)
    assert started.job_id is not None
    await application.engine.wait(started.job_id, 60)
    async with application.database.reading() as session:
        return await get_result(session, started.probe_result_id)


async def run_here(application: Application, check: Check) -> ProbeResult:
    """Carry a check out in this process, in place of the one of traces."""
    started = await start_probe(application.probes, application.engine, Probe.trace)
    await ProbeRunner(application.probes, {Probe.trace: check}).run(Probe.trace, started.probe_result_id)
    async with application.database.reading() as session:
        return await get_result(session, started.probe_result_id)


async def list_all(application: Application) -> Page[ProbeResult]:
    async with application.database.reading() as session:
        return await list_results(session)


@pytest.mark.parametrize(
    ("probe", "steps"),
    [
        (Probe.trace, ["write", "read"]),
        (Probe.artifact, ["upload", "download", "verify"]),
        (Probe.analysis, ["create", "finish", "verify"]),
    ],
)
async def test_probe_of_a_whole_installation_succeeds_and_times_its_steps(
    application: Application, probe: Probe, steps: list[str]
) -> None:
    result = await run(application, probe)

    assert (result.outcome, result.error) == (ProbeOutcome.succeeded, "")
    assert [step.name for step in result.steps] == steps
    assert result.latency_ms is not None
    assert 0 < sum(step.latency_ms for step in result.steps) <= result.latency_ms


async def test_probe_that_hangs_has_timed_out_and_is_not_begun_again_in_this_process(
    idle: Application,
) -> None:
    async def hang(_: ProbesRoom, __: UUID, watch: Stopwatch) -> None:
        async with watch.step("write"):
            await asyncio.to_thread(is_over.wait)

    is_over = threading.Event()
    runner = ProbeRunner(idle.probes, {Probe.trace: hang})
    ends = []
    try:
        for _ in range(3):
            started = await start_probe(idle.probes, idle.engine, Probe.trace)
            await runner.run(Probe.trace, started.probe_result_id)
            async with idle.database.reading() as session:
                ends.append(await get_result(session, started.probe_result_id))
    finally:
        is_over.set()

    assert [end.outcome for end in ends] == [
        ProbeOutcome.timed_out,
        ProbeOutcome.failed,
        ProbeOutcome.failed,
    ]
    assert ends[0].error == "The probe was not through after 0.2 s; it hangs at the step write."
    assert ends[0].latency_ms is not None
    assert 200 <= ends[0].latency_ms < 3_000
    assert ends[2].error == "The check of an earlier probe still hangs in this process."


async def test_probe_that_is_asked_for_while_one_is_open_is_that_one(idle: Application) -> None:
    asked = await asyncio.gather(*(start_probe(idle.probes, idle.engine, Probe.trace) for _ in range(8)))

    assert len({one.probe_result_id for one in asked}) == 1
    assert (await list_all(idle)).total_count == 1


async def test_probe_that_nobody_takes_up_has_timed_out_when_the_next_one_is_due(idle: Application) -> None:
    first = await start_probe(idle.probes, idle.engine, Probe.trace)
    async with idle.database.transaction() as session:
        await session.execute(update(ProbeResultRow).values(requested_at=func.now() - timedelta(minutes=5)))

    second = await start_probe(idle.probes, idle.engine, Probe.trace)

    async with idle.database.reading() as session:
        ended = await get_result(session, first.probe_result_id)
    assert second.probe_result_id != first.probe_result_id
    assert (ended.outcome, ended.error) == (
        ProbeOutcome.timed_out,
        "No worker took the probe up: it was not through 60.2 s after it was asked for.",
    )


async def test_probe_says_why_it_failed_and_at_which_step(idle: Application) -> None:
    async def fail(_: ProbesRoom, __: UUID, watch: Stopwatch) -> None:
        async with watch.step("write"):
            raise RefereeError("storage.disk_failed", "The disk failed.")

    async def crash(_: ProbesRoom, __: UUID, watch: Stopwatch) -> None:
        raise KeyError("a secret")

    async def lack(_: ProbesRoom, __: UUID, watch: Stopwatch) -> None:
        raise ProbeFailed("vulture is not installed.", ProbeOutcome.unavailable)

    ends = [await run_here(idle, check) for check in (fail, crash, lack)]

    assert [(end.outcome, end.error) for end in ends] == [
        (ProbeOutcome.failed, "The disk failed."),
        (ProbeOutcome.failed, "The probe crashed: KeyError."),
        (ProbeOutcome.unavailable, "vulture is not installed."),
    ]
    assert [step.name for step in ends[0].steps] == ["write"]


async def test_probe_whose_worker_died_has_failed_when_another_takes_it_over(idle: Application) -> None:
    async def never(_: ProbesRoom, __: UUID, ___: Stopwatch) -> None:
        raise AssertionError("it must not be tried a second time")

    started = await start_probe(idle.probes, idle.engine, Probe.trace)
    async with idle.database.transaction() as session:
        await session.execute(update(ProbeResultRow).values(started_at=func.now()))

    await ProbeRunner(idle.probes, {Probe.trace: never}).run(Probe.trace, started.probe_result_id)

    async with idle.database.reading() as session:
        ended = await get_result(session, started.probe_result_id)
    assert (ended.outcome, ended.error) == (
        ProbeOutcome.failed,
        "The worker that carried the probe out died in it.",
    )


async def test_probe_whose_job_is_cancelled_is_open_no_more(idle: Application) -> None:
    started = await start_probe(idle.probes, idle.engine, Probe.trace)
    assert started.job_id is not None

    await idle.engine.cancel(started.job_id)

    async with idle.database.reading() as session:
        ended = await get_result(session, started.probe_result_id)
    assert (ended.outcome, ended.error) == (ProbeOutcome.failed, "The job of the probe was cancelled.")


async def test_artifact_probe_notices_a_store_that_gives_other_bytes(idle: Application) -> None:
    class Lying:
        def __getattr__(self, name: str) -> object:
            return getattr(idle.artifacts, name)

        async def read_bytes(self, sha256: str, *, max_bytes: int | None = None) -> bytes:
            del sha256, max_bytes
            return b"other"

    lying = replace(idle.probes, artifacts=cast(ArtifactStore, Lying()))  # the store, but for one method
    started = await start_probe(idle.probes, idle.engine, Probe.artifact)

    await ProbeRunner(lying).run(Probe.artifact, started.probe_result_id)

    async with idle.database.reading() as session:
        ended = await get_result(session, started.probe_result_id)
    assert (ended.outcome, ended.error) == (
        ProbeOutcome.failed,
        "The store gave other bytes than it was given.",
    )


async def test_probes_are_in_nobodys_counts_rules_and_rates(application: Application) -> None:
    creations_count = read_creations_count()
    for probe in Probe:
        assert (await run(application, probe)).outcome is ProbeOutcome.succeeded
    await _ensure_rules(application.alerts)

    default = await get_project(application.database, "default")
    probes = await get_project(application.database, application.settings.probe_project)
    async with application.database.reading() as session:
        owners = (await session.scalars(select(AnalysisRow.project_id))).all()
        rates = await read_success_rates(session, default.project_id, days_count=1)
        ours = await list_rules(session, default.project_id)
        theirs = await list_rules(session, probes.project_id)
    assert list(owners) == [probes.project_id]
    assert rates.sum_up("static").total_count == 0
    assert ours.total_count > 0
    assert theirs.total_count == 0
    assert read_creations_count() == creations_count


def read_creations_count() -> float:
    """Return how many creations of analyses this process has counted."""
    return REGISTRY.get_sample_value("referee_analysis_creation_seconds_count") or 0.0


async def test_failures_of_probes_fire_a_rule_of_the_operators_project_only(idle: Application) -> None:
    default = await get_project(idle.database, "default")
    other = await create_project(
        idle.database, Principal(default.project_id, "default", None, frozenset({"admin"})), "other", "Other"
    )
    now = datetime.now(UTC)
    rows = [
        {
            "probe_result_id": new_id(), "probe": "trace", "outcome": outcome, "is_scheduled": True, "error": "",
            "latency_ms": 12.0, "requested_at": now - timedelta(minutes=minute),
            "started_at": now - timedelta(minutes=minute), "finished_at": now - timedelta(minutes=minute),
        }
        for minute, outcome in enumerate(("failed", "succeeded", "unavailable", "timed_out"), start=1)
    ]  # fmt: skip
    async with idle.database.transaction() as session:
        await session.execute(insert(ProbeResultRow), rows)
    rule = read_rule(
        {"name": "Probes fail", "condition": "probe_failure_rate > 50%", "window": "15m", "every": "1m"},
        idle.alerts.sources,
    )

    trial = await try_rule(idle.alerts, default.project_id, rule, windows_count=1, to_at=now)
    await create_rule(idle.alerts, default.project_id, rule)
    with pytest.raises((Forbidden, InvalidInput)):
        await create_rule(idle.alerts, other.project_id, rule)

    assert [round(point.value or 0, 3) for point in trial.points] == [0.667]


async def test_old_results_are_forgotten_with_the_analyses_of_probes_and_their_files(
    application: Application,
) -> None:
    first = await run(application, Probe.analysis)
    old = timedelta(days=application.settings.probe_keep_days + 1)
    async with application.database.transaction() as session:
        await session.execute(update(ProbeResultRow).values(requested_at=func.now() - old))
        await session.execute(update(AnalysisRow).values(finished_at=func.now() - old))
    second = await run(application, Probe.analysis)
    folders = list_result_folders(application.settings.results_dir)

    gone_count = await forget_probes(application.probes)

    async with application.database.reading() as session:
        analyses_count = await session.scalar(select(func.count()).select_from(AnalysisRow))
        runs_count = await session.scalar(select(func.count()).select_from(ToolRunRow))
    left = await list_all(application)
    report = await verify_everything(application.integrity_checks)
    assert report.problems == []
    assert (gone_count, analyses_count, runs_count) == (1, 1, 1)
    assert [result.probe_result_id for result in left.items] == [second.probe_result_id]
    assert first.probe_result_id != second.probe_result_id
    assert len(folders) - len(list_result_folders(application.settings.results_dir)) == 1


def list_result_folders(folder: Path) -> list[Path]:
    return sorted({path.parent for path in folder.rglob("manifest.json")})


async def test_window_sums_up_what_the_rows_say(idle: Application) -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    rows = [
        {
            "probe_result_id": new_id(), "probe": "trace", "outcome": "succeeded" if number else "failed",
            "is_scheduled": True, "error": "", "latency_ms": 10.0 * number,
            "requested_at": now - timedelta(minutes=5 * number), "finished_at": now,
        }
        for number in range(5)
    ]  # fmt: skip
    window = make_window("1h", now)
    async with idle.database.transaction() as session:
        await session.execute(insert(ProbeResultRow), rows)
    async with idle.database.reading() as session:
        trace, artifact, _ = await summarize_probes(session, window)
        latencies = await read_latencies(session, window)

    assert (trace.succeeded_count, trace.failed_count, trace.p50_ms, trace.success_rate) == (4, 1, 25.0, 0.8)
    assert trace.last_failure is not None
    assert (artifact.judged_count, artifact.success_rate, artifact.last) == (0, None, None)
    assert [(point.at, point.p50_ms) for point in latencies] == [
        (now - timedelta(minutes=5 * number), 10.0 * number) for number in (4, 3, 2, 1)
    ]


def test_probe_is_due_once_in_its_interval_whoever_asks() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    minutes = [start + timedelta(minutes=minute) for minute in range(120)]

    assert sum(is_due(300, at) for at in minutes) == 24
    assert sum(is_due(60, at) for at in minutes) == 120
    assert sum(is_due(61, at) for at in minutes) == 60
    assert sum(is_due(0, at) for at in minutes) == 0
