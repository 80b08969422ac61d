"""Listening analyzers that the settings of a server name: called, tried in turn, given up, and shown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select
from tests.analysis.analyzers.relay import Cut, open_relay
from tests.analysis.analyzers.site import (
    QUICK,
    SMALL,
    Kitchen,
    Site,
    find_odd,
    open_job_application,
    open_site,
)
from websockets.asyncio.server import ServerConnection, serve

from referee.analysis import AnalysisRequest, AnalysisRoom, create_analysis
from referee.analysis.analyzers.client import AnalyzerClient, AnalyzerProfile, Execute
from referee.analysis.analyzers.listening import ClassicAnalyzer, serve_classic
from referee.analysis.analyzers.protocol import AnalyzerLimits, ToolOffer
from referee.analysis.analyzers.queries import find_remote_services
from referee.analysis.analyzers.replica_records import Replica, list_replicas
from referee.analysis.analyzers.replicas import keep_replicas
from referee.analysis.analyzers.spool import Spool
from referee.analysis.analyzers.stations import Station, make_station
from referee.analysis.analyzers.tables import AnalyzerRequestRow
from referee.app import Application
from referee.core.ids import new_id
from referee.core.vocabulary import Service
from referee.foundation.settings import Settings

LIMITS = replace(SMALL, ttl_s=1.0, heartbeat_s=0.2)
OFFERS = (
    ToolOffer(name="vulture", service=Service.static, is_available=True),
    ToolOffer(name="ruff", service=Service.static, is_available=True),
)


def find_dead_url() -> str:
    """Return an address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{taken.getsockname()[1]}"


def with_urls(
    room: AnalysisRoom, urls: Sequence[str], key: str | None = None, breaker_pause_s: float = 0.2
) -> AnalysisRoom:
    """Return a room whose settings name these analyzers of the static service."""
    secret = None if key is None else SecretStr(key)
    changes = {"static_analyzer_urls": list(urls), "analyzer_key": secret, "breaker_pause_s": breaker_pause_s}
    return replace(room, settings=room.settings.model_copy(update=changes))


def make_kitchen_station(
    spool_dir: Path, execute: Execute, key: str | None, find_trouble: Callable[[], str]
) -> Station:
    analyzer_id = new_id()

    async def look() -> str:
        return find_trouble()

    def make_client(server_id: UUID) -> AnalyzerClient:
        profile = AnalyzerProfile(
            analyzer_id=uuid5(analyzer_id, "static"),
            name=spool_dir.name,
            services=(Service.static,),
            tools=OFFERS,
        )
        return AnalyzerClient(
            profile, None, Spool(spool_dir / server_id.hex), execute, backoff=QUICK, find_trouble=look
        )

    return Station(make_client, key=key, is_keyless_allowed=key is None)


@asynccontextmanager
async def listen(
    application: Application, project_id: UUID, station: Station, port: int = 0
) -> AsyncIterator[int]:
    """Have an analyzer listen for the static service on a free port, or a given one; the port."""
    classic = ClassicAnalyzer.create(
        application.analysis,
        application.apps,
        project_id,
        root=application.settings.home,
        allowed_targets=[],
        services=(Service.static,),
        tools=OFFERS,
    )
    stations = {Service.static: station}
    async with serve_classic(classic, "127.0.0.1", {Service.static: port}, stations) as ports:
        try:
            yield ports[Service.static]
        finally:
            await station.close()


class World:
    """A server without an API, and analyzers that listen."""

    def __init__(
        self, application: Application, project_id: UUID, folder: Path, stack: AsyncExitStack
    ) -> None:
        self.application = application
        self.project_id = project_id
        self.folder = folder
        self.stack = stack
        self.site = Site(application, 0, LIMITS)

    async def listen(
        self,
        name: str,
        kitchen: Kitchen,
        *,
        key: str | None = None,
        find_trouble: Callable[[], str] = str,
        port: int = 0,
    ) -> int:
        """Have one more analyzer; its port."""
        station = make_kitchen_station(self.folder / name, kitchen.execute, key, find_trouble)
        return await self.stack.enter_async_context(listen(self.application, self.project_id, station, port))

    async def call(
        self,
        *urls: str,
        key: str | None = None,
        limits: AnalyzerLimits = LIMITS,
        breaker_pause_s: float = 0.2,
    ) -> AnalysisRoom:
        """Let the server call these addresses; its room."""
        room = with_urls(self.application.analysis, urls, key, breaker_pause_s)
        await self.stack.enter_async_context(keep_replicas(room, limits, QUICK))
        return room

    async def see(self, room: AnalysisRoom) -> tuple[Replica, ...]:
        async with room.database.reading() as session:
            return await list_replicas(session, room.settings.analyzer_urls)

    async def wait_for(self, room: AnalysisRoom, *states: str) -> tuple[Replica, ...]:
        """Wait until the analyzers of the settings are in these states, in their order."""
        seen: tuple[Replica, ...] = ()
        try:
            async with asyncio.timeout(20):
                while tuple(replica.state for replica in seen) != states:
                    await asyncio.sleep(0.02)
                    seen = await self.see(room)
        except TimeoutError:
            pytest.fail(f"seen: {seen}")
        return seen

    async def get_request(self, analysis_id: UUID) -> AnalyzerRequestRow:
        async with self.application.database.reading() as session:
            statement = select(AnalyzerRequestRow).where(AnalyzerRequestRow.analysis_id == analysis_id)
            return (await session.execute(statement)).scalar_one()

    async def wait_for_assigned(self, analysis_id: UUID) -> None:
        async with asyncio.timeout(20):
            while (await self.get_request(analysis_id)).state != "assigned":
                await asyncio.sleep(0.02)


@pytest.fixture
async def world(application: Application, project_id: UUID, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(application, project_id, tmp_path, stack)


async def test_second_analyzer_does_the_work_when_the_first_is_dead(
    world: World, project_id: UUID, subject: Path
) -> None:
    kitchen, dead = Kitchen(), find_dead_url()
    port = await world.listen("alive", kitchen)
    room = await world.call(dead, f"ws://127.0.0.1:{port}")
    first, second = await world.wait_for(room, "unreachable", "connected")
    assert (first.reason, second.reason) == ("Nothing listens there: the connection was refused.", "")
    assert first.failures_count >= 1
    assert first.next_try_at is not None
    analysis_id = await world.site.ask(project_id, subject, "vulture", "bandit")
    runs = await world.site.wait_for_outcomes(analysis_id)
    assert find_odd(runs, 200) == []
    assert await world.site.count_accepted(analysis_id) == {"vulture": 1, "bandit": 1}
    assert sorted(kitchen.executed) == ["bandit", "vulture"]
    assert (await world.get_request(analysis_id)).attempts_count == 1


async def test_connection_cut_within_a_request_is_opened_again_and_nothing_runs_twice(
    world: World, project_id: UUID, subject: Path
) -> None:
    kitchen = Kitchen(size_bytes=20_000)
    relay = await world.stack.enter_async_context(open_relay(await world.listen("one", kitchen)))
    relay.add(
        Cut(direction=direction, frames_count=count, is_midway=count % 2 == 0, is_reset=count % 3 == 0)
        for count in range(1, 12)
        for direction in ("to_server", "to_analyzer")
    )
    await world.call(f"ws://127.0.0.1:{relay.own_port}")
    analysis_id = await world.site.ask(project_id, subject, "vulture", "bandit", "ruff")
    runs = await world.site.wait_for_outcomes(analysis_id)
    assert find_odd(runs, 20_000) == []
    assert sorted(kitchen.executed) == ["bandit", "ruff", "vulture"]
    assert len(relay.made) >= 10


async def test_request_that_was_cut_off_before_it_was_taken_goes_to_the_next_at_once(
    world: World, project_id: UUID, subject: Path
) -> None:
    cut_off, busy = Kitchen(), Kitchen(gate=asyncio.Event())
    relay = await world.stack.enter_async_context(open_relay(await world.listen("cut-off", cut_off)))
    relay.is_refusing = True
    other = f"ws://127.0.0.1:{await world.listen('busy', busy)}"
    calm = replace(LIMITS, heartbeat_s=30.0, ttl_s=60.0)
    room = await world.call(f"ws://127.0.0.1:{relay.own_port}", other, limits=calm)
    await world.wait_for(room, "unreachable", "connected")
    earlier = await world.site.ask(project_id, subject, "vulture", "bandit")
    await world.wait_for_assigned(earlier)
    # Registration, health and the first heartbeat pass; of the word that the request was taken only half.
    relay.add([Cut(direction="to_analyzer", frames_count=3, is_midway=True)])
    relay.is_refusing = False
    await world.wait_for(room, "connected", "connected")
    relay.is_refusing = True
    later = await world.site.ask(project_id, subject, "vulture", "ruff")
    async with asyncio.timeout(20):
        while not relay.made or (await world.get_request(later)).state == "assigned":
            await asyncio.sleep(0.02)
    request = await world.get_request(later)
    assert (request.state, request.attempts_count) == ("waiting", 0)
    assert request.reason == "The analyzer was cut off before it took the request."
    assert busy.gate is not None
    busy.gate.set()
    await world.site.wait_for_outcomes(later)
    assert cut_off.executed == []
    assert sorted(busy.executed) == ["bandit", "ruff", "vulture", "vulture"]


async def test_analyzer_that_is_not_well_gets_no_work_until_it_is(
    world: World, project_id: UUID, subject: Path
) -> None:
    trouble = ["no sandbox here"]
    sick, well = Kitchen(), Kitchen()
    sick_port = await world.listen("sick", sick, find_trouble=lambda: trouble[0])
    room = await world.call(f"ws://127.0.0.1:{sick_port}")
    (seen,) = await world.wait_for(room, "unhealthy")
    assert seen.reason == "It says that it is unhealthy: no sandbox here."
    other = await world.call(f"ws://127.0.0.1:{await world.listen('well', well)}")
    await world.wait_for(other, "connected")
    analysis_id = await world.site.ask(project_id, subject, "vulture")
    await world.site.wait_for_outcomes(analysis_id)
    assert (sick.executed, well.executed) == ([], ["vulture"])
    trouble[0] = ""
    await world.wait_for(room, "connected")
    trouble[0] = "the disk is full"  # found at the next question after its health
    (seen,) = await world.wait_for(room, "unhealthy")
    assert seen.reason == "It says that it is unhealthy: the disk is full."


async def test_source_comes_over_the_connection_and_real_tools_run_on_it(
    world: World, project_id: UUID, subject: Path
) -> None:
    application = world.application
    station = make_station(
        application.analysis,
        application.apps,
        project_id,
        Service.static,
        tools=OFFERS,
        analyzer_id=new_id(),
        name="lab",
        turns=asyncio.Semaphore(1),
        key=None,
        is_keyless_allowed=True,
    )
    port = await world.stack.enter_async_context(listen(application, project_id, station))
    room = await world.call(f"ws://127.0.0.1:{port}")
    await world.wait_for(room, "connected")
    analysis_id = await world.site.ask(project_id, subject, "vulture", "ruff")
    runs = await world.site.wait_for_outcomes(analysis_id)
    assert {tool: run.outcome for tool, run in runs.items()} == {"vulture": "succeeded", "ruff": "succeeded"}
    assert sum(run.findings_count or 0 for run in runs.values()) > 0


async def test_key_is_asked_for_and_a_wrong_one_is_refused(
    world: World, project_id: UUID, subject: Path
) -> None:
    kitchen = Kitchen()
    url = f"ws://127.0.0.1:{await world.listen('locked', kitchen, key='right')}"
    room = await world.call(url, key="wrong")
    (seen,) = await world.wait_for(room, "refused")
    assert seen.reason == "It does not accept the key of this server (REFEREE_ANALYZER_KEY)."
    await world.stack.aclose()
    again = await world.listen("unlocked", kitchen, key="right")
    await world.wait_for(await world.call(f"ws://127.0.0.1:{again}", key="right"), "connected")
    await world.site.wait_for_outcomes(await world.site.ask(project_id, subject, "vulture"))


async def test_analyzer_that_others_reach_takes_no_server_without_a_key(
    application: Application, project_id: UUID, world: World
) -> None:
    station = make_kitchen_station(world.folder / "open", Kitchen().execute, None, str)
    station._is_keyless_allowed = False
    port = await world.stack.enter_async_context(listen(application, project_id, station))
    room = await world.call(f"ws://127.0.0.1:{port}")
    (seen,) = await world.wait_for(room, "refused")
    assert seen.failures_count >= 1


async def test_address_that_leads_elsewhere_or_is_no_analyzer_is_refused(world: World) -> None:
    kitchen = Kitchen()
    port = await world.listen("elsewhere", kitchen)

    def redirect(connection, _):  # type: ignore[no-untyped-def]  # as the library calls it
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = f"ws://127.0.0.1:{port}"
        return response

    async def ignore(connection: ServerConnection) -> None:
        await connection.wait_closed()

    leading = await world.stack.enter_async_context(serve(ignore, "127.0.0.1", 0, process_request=redirect))
    other = await world.stack.enter_async_context(serve(ignore, "127.0.0.1", 0))
    urls = [f"ws://127.0.0.1:{next(iter(one.sockets)).getsockname()[1]}" for one in (leading, other)]
    first, second = await world.wait_for(await world.call(*urls), "refused", "refused")
    assert first.reason == "It answered 302 where a WebSocket was asked for."
    assert second.reason == "What listens there is no analyzer of this version of Referee."
    assert kitchen.requests == []


async def test_analyzer_that_was_given_up_is_called_as_soon_as_work_waits_for_it(
    world: World, project_id: UUID, subject: Path
) -> None:
    kitchen, url = Kitchen(), find_dead_url()
    room = await world.call(url, limits=replace(LIMITS, recall_s=0.1), breaker_pause_s=600.0)
    async with asyncio.timeout(20):
        while (await world.see(room))[0].failures_count < room.settings.breaker_failures_count:
            await asyncio.sleep(0.02)
    analysis_id = await world.site.ask(project_id, subject, "vulture")
    await world.listen("back again", kitchen, port=int(url.rpartition(":")[2]))

    runs = await world.site.wait_for_outcomes(analysis_id)

    assert find_odd(runs, 200) == []
    assert kitchen.executed == ["vulture"]


async def test_one_process_of_a_server_calls_and_another_takes_over(world: World) -> None:
    url = f"ws://127.0.0.1:{await world.listen('one', Kitchen())}"
    room = with_urls(world.application.analysis, [url])
    async with AsyncExitStack() as first:
        await first.enter_async_context(keep_replicas(room, LIMITS, QUICK))
        (seen,) = await world.wait_for(room, "connected")
        await world.stack.enter_async_context(keep_replicas(room, LIMITS, QUICK))
        await asyncio.sleep(0.5)
        assert (await world.see(room))[0].changed_at == seen.changed_at
    (later,) = await world.wait_for(room, "connected")
    assert later.changed_at != seen.changed_at


async def test_service_of_the_settings_never_runs_on_this_machine(world: World, project_id: UUID) -> None:
    room = with_urls(world.application.analysis, [find_dead_url()])
    assert await find_remote_services(room, project_id) == {Service.static}
    assert await find_remote_services(room, new_id()) == frozenset()


async def test_page_and_api_show_each_with_its_health(world: World) -> None:
    dead, url = find_dead_url(), f"ws://127.0.0.1:{await world.listen('one', Kitchen())}"
    room = await world.call(dead, url)
    await world.wait_for(room, "unreachable", "connected")
    shown = replace(world.application, settings=room.settings, analysis=room)
    async with (
        open_site(shown) as site,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}") as client,
    ):
        answer = (await client.get("/v1/analyzers")).json()
        page = (await client.get("/ui/analyzers")).text
    assert [(one["url"], one["state"]) for one in answer["replicas"]] == [
        (dead, "unreachable"),
        (url, "connected"),
    ]
    assert answer["replicas"][1]["analyzer_id"] == answer["analyzers"][0]["analyzer_id"]
    assert "Nothing listens there: the connection was refused." in page
    assert url in page


@asynccontextmanager
async def open_jobs(settings: Settings, urls: Sequence[str]) -> AsyncIterator[Site]:
    """Have a server that carries out jobs and calls these addresses."""
    changed = settings.model_copy(update={"static_analyzer_urls": list(urls), "breaker_pause_s": 0.2})
    limits = replace(LIMITS, patience_s=1.0)
    async with (
        open_job_application(changed, limits) as application,
        keep_replicas(application.analysis, limits, QUICK),
    ):
        yield Site(application, 0, limits)


async def run_job(site: Site, project_id: UUID, subject: Path, *tools: str) -> tuple[UUID, UUID]:
    application = site.application
    request = AnalysisRequest(path=str(subject), tools=tools)
    analysis = await create_analysis(application.analysis, application.engine, project_id, request)
    assert analysis.job_id is not None
    return analysis.analysis_id, analysis.job_id


async def test_when_all_are_down_every_tool_is_a_hole_that_says_why(
    database_settings: Settings, project_id: UUID, subject: Path
) -> None:
    urls = [find_dead_url(), find_dead_url()]
    async with open_jobs(database_settings, urls) as site:
        analysis_id, job_id = await run_job(site, project_id, subject, "vulture", "bandit")
        await site.application.engine.wait(job_id, 40)
        runs = await site.wait_for_outcomes(analysis_id)
    assert {run.outcome for run in runs.values()} == {"failed"}
    assert {run.reason for run in runs.values()} == {
        "The remote static service: None of the 2 analyzers of REFEREE_STATIC_ANALYZER_URLS could be used for 1 s."
        f" {urls[0]}: Nothing listens there: the connection was refused."
        f" {urls[1]}: Nothing listens there: the connection was refused."
    }


async def test_analyzer_killed_within_a_request_leaves_the_rest_to_another(
    database_settings: Settings, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    first, second = Kitchen(gate=asyncio.Event()), Kitchen()
    urls = [find_dead_url(), find_dead_url()]
    ports = [int(url.rpartition(":")[2]) for url in urls]
    async with open_jobs(database_settings, urls) as site, AsyncExitStack() as stack:
        application = site.application
        stations = [
            make_kitchen_station(tmp_path / str(number), kitchen.execute, None, str)
            for number, kitchen in enumerate((first, second))
        ]
        relay = await stack.enter_async_context(
            open_relay(
                await stack.enter_async_context(listen(application, project_id, stations[0])), ports[0]
            )
        )
        analysis_id, job_id = await run_job(site, project_id, subject, "vulture", "bandit")
        async with asyncio.timeout(20):
            while not any(run.outcome for run in await site.list_runs(analysis_id)):
                await asyncio.sleep(0.02)
        await stack.enter_async_context(listen(application, project_id, stations[1], ports[1]))
        relay.is_refusing = True
        relay.break_all()
        await application.engine.wait(job_id, 40)
        runs = await site.wait_for_outcomes(analysis_id)
        assert await site.count_accepted(analysis_id) == {"vulture": 1, "bandit": 1}
    assert find_odd(runs, 200) == []
    assert len(first.executed) == 1
    assert sorted(first.executed + second.executed) == ["bandit", "vulture"]
