"""Breakers: opened by too many failures of a service, tried out after a pause, closed by a result."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from referee.analysis import AnalysisRoom
from referee.analysis.breakers import (
    Breaker,
    BreakerState,
    ServiceGate,
    find_closed_services,
    list_breakers,
    record_service_failure,
    record_service_result,
    reset_breaker,
)
from referee.core.vocabulary import Outcome, Service
from referee.foundation.settings import Settings
from referee.foundation.store import Database, open_artifacts
from referee.tools.install import ToolInstaller

FAILURES = 3


@pytest.fixture
def room(database_settings: Settings, database: Database) -> AnalysisRoom:
    """An analysis room whose breakers open at the third failure."""
    settings = database_settings.model_copy(
        update={"breaker_failures_count": FAILURES, "breaker_window_s": 60.0, "breaker_pause_s": 60.0}
    )
    return AnalysisRoom(
        settings=settings,
        database=database,
        artifacts=open_artifacts(settings),
        install_kit=ToolInstaller(settings.tools_path, advisories_dir=settings.advisories_dir),
    )


async def fail(room: AnalysisRoom, times: int) -> list[BreakerState]:
    """Record failures of the dynamic service and return where its breaker stood after each."""
    return [
        await record_service_failure(room, Service.dynamic, "No network could be made.") for _ in range(times)
    ]


async def find_refused(room: AnalysisRoom, *services: Service) -> dict[Service, str]:
    """Ask as the acceptance of an analysis does."""
    async with room.database.transaction() as session:
        return await find_closed_services(session, room, services or (Service.dynamic, Service.static))


async def look(room: AnalysisRoom) -> Breaker:
    """Return the breaker of the dynamic service."""
    async with room.database.reading() as session:
        breakers = await list_breakers(session, window_s=room.settings.breaker_window_s)
    return next(breaker for breaker in breakers if breaker.service is Service.dynamic)


async def let_pass(room: AnalysisRoom, seconds: int) -> None:
    """Move everything recorded so far into the past."""
    async with room.database.transaction() as session:
        for statement in (
            "UPDATE service_breakers SET changed_at = changed_at - make_interval(secs => :seconds),"
            " probing_until = probing_until - make_interval(secs => :seconds)",
            "UPDATE service_failures SET at = at - make_interval(secs => :seconds)",
        ):
            await session.execute(text(statement), {"seconds": seconds})


async def test_breaker_opens_at_the_last_failure_that_is_too_many(room: AnalysisRoom) -> None:
    states = await fail(room, FAILURES)

    assert states == [BreakerState.closed, BreakerState.closed, BreakerState.open]
    assert (await look(room)).reason == "it failed 3 times in 60 s, last with: No network could be made."


async def test_failures_outside_the_window_do_not_add_up(room: AnalysisRoom) -> None:
    await fail(room, FAILURES - 1)
    await let_pass(room, 61)

    assert await fail(room, 1) == [BreakerState.closed]
    assert (await look(room)).failures_count == 1


async def test_open_breaker_refuses_its_service_alone_and_says_why_and_until_when(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 20)

    refused = await find_refused(room)

    assert list(refused) == [Service.dynamic]
    assert refused[Service.dynamic].startswith(
        "The dynamic service gets no new work: it failed 3 times in 60 s, last with: No network could be made;"
        " it is tried again in "
    )


async def test_after_the_pause_one_analysis_tries_and_others_wait(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 61)

    first = await find_refused(room)
    second = await find_refused(room)

    assert first == {}
    assert second[Service.dynamic].endswith("; another analysis is trying it out now.")
    assert (await look(room)).state is BreakerState.half_open


async def test_trial_without_any_word_does_not_keep_others_out_for_ever(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 61)
    await find_refused(room)
    await let_pass(room, 901)

    assert await find_refused(room) == {}


@pytest.mark.parametrize("outcome", [Outcome.succeeded, Outcome.not_applicable])
async def test_trial_that_succeeds_closes_the_breaker_and_forgets_its_failures(
    room: AnalysisRoom, outcome: Outcome
) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 1)
    patient = room.settings
    eager = AnalysisRoom(
        settings=patient.model_copy(update={"breaker_pause_s": 0.1}),
        database=room.database,
        artifacts=room.artifacts,
        install_kit=room.install_kit,
    )
    await find_refused(eager)

    await record_service_result(room, Service.dynamic, outcome.value)

    closed = await look(room)
    assert (closed.state, closed.failures_count) == (BreakerState.closed, 0)
    assert await fail(room, 1) == [BreakerState.closed]


async def test_trial_that_fails_opens_the_breaker_again_at_once(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 61)
    await find_refused(room)

    assert await fail(room, 1) == [BreakerState.open]
    assert (await look(room)).reason == "its trial failed, last with: No network could be made."
    assert list(await find_refused(room)) == [Service.dynamic]


async def test_trial_on_an_app_that_does_not_run_leaves_the_next_analysis_to_try(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)
    await let_pass(room, 61)
    await find_refused(room)

    await record_service_result(room, Service.dynamic, Outcome.target_unreachable.value)

    assert (await look(room)).state is BreakerState.half_open
    assert await find_refused(room) == {}


async def test_results_do_not_close_a_breaker_that_nobody_tries(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)

    await record_service_result(room, Service.dynamic, Outcome.succeeded.value)

    assert (await look(room)).state is BreakerState.open


async def test_breaker_is_closed_by_hand(room: AnalysisRoom) -> None:
    await fail(room, FAILURES)

    async with room.database.transaction() as session:
        await reset_breaker(session, Service.dynamic)

    assert await find_refused(room) == {}
    assert (await look(room)).failures_count == 0


@dataclass
class Checked:
    """A clock that stands still, and a check that counts how often it was asked."""

    now_s: float = 100.0
    answers: list[str] = field(default_factory=lambda: ["no network", ""])
    asked_count: int = 0

    def monotonic_s(self) -> float:
        return self.now_s

    async def check(self) -> str:
        self.asked_count += 1
        return self.answers.pop(0)


async def test_gate_remembers_an_answer_for_five_seconds() -> None:
    checked = Checked()
    gate = ServiceGate({Service.dynamic: checked.check}, monotonic_s=checked.monotonic_s)

    first = await gate.find_trouble(Service.dynamic)
    checked.now_s += 4.9
    remembered = await gate.find_trouble(Service.dynamic)
    checked.now_s += 0.1
    fresh = await gate.find_trouble(Service.dynamic)

    assert (first, remembered, fresh, checked.asked_count) == ("no network", "no network", "", 2)


async def test_gate_keeps_services_apart_and_trusts_what_it_cannot_check() -> None:
    checked = Checked()
    gate = ServiceGate({Service.dynamic: checked.check}, monotonic_s=checked.monotonic_s)

    answers = [await gate.find_trouble(service) for service in (Service.dynamic, Service.performance)]

    assert answers == ["no network", ""]
