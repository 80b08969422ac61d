"""An analyzer and its server: who does what, what survives a restart, and what is taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update
from tests.analysis.analyzers.relay import open_relay
from tests.analysis.analyzers.site import Kitchen, Site, find_odd, make_output, open_analyzer, open_site
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from referee.analysis.analyzers.connecting import Backoff, ServerAddress
from referee.analysis.analyzers.dispatch import end_request
from referee.analysis.analyzers.protocol import AnalyzerLimits
from referee.analysis.analyzers.queries import find_remote_services
from referee.analysis.analyzers.spool import Spool
from referee.analysis.analyzers.tables import AnalyzerRequestRow, AnalyzerRow, AnalyzerTransferRow
from referee.analysis.finding_queries import list_findings
from referee.analysis.running import ToolOutput
from referee.app import Application
from referee.core.errors import InvalidInput
from referee.core.ids import new_id
from referee.core.vocabulary import Outcome, Service
from referee.foundation.access.tables import ProjectRow
from referee.tools.contract import RawOutput, ToolPlan

WAIT_S = 20.0


async def wait_until(condition, timeout_s: float = WAIT_S) -> None:  # type: ignore[no-untyped-def]  # any callable
    """Wait until an asynchronous condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)


async def get_request(site: Site, analysis_id: UUID) -> AnalyzerRequestRow:
    async with site.application.database.reading() as session:
        rows = await session.scalars(
            select(AnalyzerRequestRow).where(AnalyzerRequestRow.analysis_id == analysis_id)
        )
        return rows.one()


async def test_service_runs_elsewhere_and_the_server_reads_its_output(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    room = site.application.analysis
    assert await find_remote_services(room, project_id, site.limits) == frozenset()
    kitchen = Kitchen()
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute):
        analysis_id = await site.ask(project_id, subject, "vulture", "bandit")
        runs = await site.wait_for_outcomes(analysis_id)
        assert await find_remote_services(room, project_id, site.limits) == {Service.static}

    async def is_gone() -> bool:
        return not await find_remote_services(room, project_id, site.limits)

    await wait_until(is_gone)
    assert find_odd(runs, 200) == []
    vulture = runs["vulture"]
    assert (vulture.outcome, vulture.findings_count, vulture.version) == ("succeeded", 1, "1.2.3")
    assert vulture.cache_key is None
    async with site.application.database.reading() as session:
        (finding,) = (await list_findings(session, project_id)).items
    assert (finding.tool, finding.path, finding.start_line) == ("vulture", "main.py", 13)
    request = await get_request(site, analysis_id)
    assert (request.state, request.attempts_count) == ("completed", 1)
    (order,) = kitchen.requests
    assert order.service is Service.static
    assert sorted(run.tool for run in order.tool_runs) == ["bandit", "vulture"]


async def test_each_result_is_committed_before_the_service_ends(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    kitchen = Kitchen(gate=asyncio.Event())
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute):
        analysis_id = await site.ask(project_id, subject, "vulture", "bandit")

        async def has_first() -> bool:
            return sum(run.outcome is not None for run in await site.list_runs(analysis_id)) == 1

        await wait_until(has_first)
        assert (await get_request(site, analysis_id)).state == "assigned"
        assert kitchen.gate is not None
        kitchen.gate.set()
        await site.wait_for_outcomes(analysis_id)


async def test_results_on_disk_are_handed_over_by_the_next_process(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    first, analyzer_id, spool = Kitchen(size_bytes=9_000), new_id(), tmp_path / "spool"
    async with open_relay(site.port) as relay:
        analysis_id = await site.ask(project_id, subject, "vulture", "bandit")

        async def execute(request, report):  # type: ignore[no-untyped-def]  # wraps one that is typed
            relay.is_refusing = True
            relay.break_all()
            async for pair in first.execute(request, report):
                yield pair

        async with open_analyzer(relay.own_port, spool, execute, analyzer_id=analyzer_id) as analyzer:

            async def has_both() -> bool:
                return analyzer.waiting_count == 2

            await wait_until(has_both)
        assert all(run.outcome is None for run in await site.list_runs(analysis_id))
    second = Kitchen()
    async with open_analyzer(site.port, spool, second.execute, analyzer_id=analyzer_id):
        runs = await site.wait_for_outcomes(analysis_id)
    assert find_odd(runs, 9_000) == []
    assert second.executed == []
    assert await site.count_accepted(analysis_id) == {"vulture": 1, "bandit": 1}


async def test_result_that_the_connection_does_not_survive_goes_by_put(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    kitchen = Kitchen(size_bytes=50_000)
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute, cuts_before_put_count=0):
        analysis_id = await site.ask(project_id, subject, "vulture", "bandit")
        runs = await site.wait_for_outcomes(analysis_id)
    assert find_odd(runs, 50_000) == []


async def test_cancelled_request_is_taken_from_the_analyzer(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    kitchen = Kitchen(gate=asyncio.Event())
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute) as analyzer:
        analysis_id = await site.ask(project_id, subject, "vulture", "bandit")

        async def is_at_it() -> bool:
            return analyzer.working_count == 1 and bool(kitchen.executed)

        await wait_until(is_at_it)
        async with site.application.database.transaction() as session:
            await end_request(session, analysis_id, "static", state="cancelled", reason="not wanted")

        async def is_free() -> bool:
            return analyzer.working_count == 0

        await wait_until(is_free)
    assert kitchen.executed.count("bandit") + kitchen.executed.count("vulture") == 1


async def test_analyzer_that_leaves_gives_its_work_to_another(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    stuck, other = Kitchen(gate=asyncio.Event()), Kitchen()
    analysis_id = await site.ask(project_id, subject, "vulture", "bandit")
    async with open_analyzer(site.port, tmp_path / "one", stuck.execute):

        async def has_first() -> bool:
            return any(run.outcome for run in await site.list_runs(analysis_id))

        await wait_until(has_first)
    async with open_analyzer(site.port, tmp_path / "two", other.execute):
        runs = await site.wait_for_outcomes(analysis_id)
    assert len(other.executed) == 1
    assert find_odd(runs, 200) == []
    assert (await get_request(site, analysis_id)).attempts_count == 2


async def test_analyzer_that_was_started_anew_gets_its_request_again(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    stuck, again, analyzer_id = Kitchen(gate=asyncio.Event()), Kitchen(), new_id()
    analysis_id = await site.ask(project_id, subject, "vulture", "bandit")
    async with (
        open_relay(site.port) as relay,
        open_analyzer(relay.own_port, tmp_path / "spool", stuck.execute, analyzer_id=analyzer_id),
    ):

        async def has_first() -> bool:
            return any(run.outcome for run in await site.list_runs(analysis_id))

        await wait_until(has_first)
        relay.is_refusing = True
        relay.break_all()  # it ends without a farewell
    async with open_analyzer(site.port, tmp_path / "spool", again.execute, analyzer_id=analyzer_id):
        runs = await site.wait_for_outcomes(analysis_id)
    assert len(again.executed) == 1
    assert find_odd(runs, 200) == []


async def test_tool_that_did_not_run_elsewhere_keeps_its_outcome_and_reason(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    kitchen = Kitchen(outputs={"bandit": ToolOutput(outcome=Outcome.unavailable, reason="No bandit there.")})
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute):
        analysis_id = await site.ask(project_id, subject, "bandit")
        runs = await site.wait_for_outcomes(analysis_id)
    assert (runs["bandit"].outcome, runs["bandit"].reason) == ("unavailable", "No bandit there.")


async def test_result_over_the_limit_fails_its_tool_run_with_the_reason(
    application: Application, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    limit_bytes = application.settings.raw_output_max_bytes
    raw = make_output("bandit").raw
    assert raw is not None
    big = RawOutput(
        streams={"stdout": bytes(limit_bytes + 1)},
        total_bytes={"stdout": limit_bytes + 1},
        end="exited",
        exit_code=0,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )
    kitchen = Kitchen(outputs={"bandit": ToolOutput(raw=big, plan=ToolPlan(parameters={}), version="1")})
    async with (
        open_site(application, AnalyzerLimits(look_s=0.05)) as site,
        open_analyzer(site.port, tmp_path / "spool", kitchen.execute) as analyzer,
    ):
        analysis_id = await site.ask(project_id, subject, "bandit")
        runs = await site.wait_for_outcomes(analysis_id)

        async def is_forgotten() -> bool:
            return analyzer.waiting_count == 0

        await wait_until(is_forgotten)
    assert runs["bandit"].outcome == "failed"
    assert "stdout has 33,554,433 bytes, and at most 33,554,432 are taken" in runs["bandit"].reason


async def test_execution_that_crashes_gives_the_request_back_until_it_was_tried_often_enough(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    tries = 0

    async def execute(request, report):  # type: ignore[no-untyped-def]  # of the type Execute
        nonlocal tries
        tries += 1
        raise InvalidInput("test.broken", "This analyzer is broken.")
        yield  # type: ignore[unreachable]  # makes it a generator

    async with open_analyzer(site.port, tmp_path / "spool", execute):
        analysis_id = await site.ask(project_id, subject, "bandit")

        async def is_given_up() -> bool:
            request = await get_request(site, analysis_id)
            return request.attempts_count == site.limits.attempts_count and request.state == "waiting"

        await wait_until(is_given_up)
    assert tries == site.limits.attempts_count
    assert (await get_request(site, analysis_id)).reason == "This analyzer is broken."


async def test_newer_connection_of_an_analyzer_replaces_the_older(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    analyzer_id = new_id()
    old, new = Kitchen(), Kitchen()
    async with (
        open_relay(site.port) as relay,
        open_analyzer(relay.own_port, tmp_path / "old", old.execute, analyzer_id=analyzer_id),
    ):

        async def is_there() -> bool:
            return bool(await find_remote_services(site.application.analysis, project_id, site.limits))

        await wait_until(is_there)
        relay.is_refusing = True
        async with open_analyzer(site.port, tmp_path / "new", new.execute, analyzer_id=analyzer_id):

            async def is_alone() -> bool:
                return not relay.is_busy

            await wait_until(is_alone)
            analysis_id = await site.ask(project_id, subject, "vulture")
            await site.wait_for_outcomes(analysis_id)
    assert (old.executed, new.executed) == ([], ["vulture"])


async def test_work_of_another_project_is_not_given_out(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    other_project = new_id()
    analysis_id = await site.ask(project_id, subject, "vulture")
    async with site.application.database.transaction() as session:
        session.add(ProjectRow(project_id=other_project, slug="other", name="Other"))
        await session.flush()
        await session.execute(
            update(AnalyzerRequestRow)
            .where(AnalyzerRequestRow.analysis_id == analysis_id)
            .values(project_id=other_project)
        )
    kitchen = Kitchen()
    async with open_analyzer(site.port, tmp_path / "spool", kitchen.execute):
        own = await site.ask(project_id, subject, "bandit")
        await site.wait_for_outcomes(own)
    assert kitchen.executed == ["bandit"]
    assert (await get_request(site, analysis_id)).state == "waiting"


async def test_result_of_work_that_was_given_to_another_is_refused(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    await site.ask(project_id, subject, "vulture", "bandit")
    stuck = Kitchen(gate=asyncio.Event())
    async with open_analyzer(site.port, tmp_path / "owner", stuck.execute) as owner:

        async def is_at_it() -> bool:
            return owner.working_count == 1 and bool(stuck.requests)

        await wait_until(is_at_it)
        order = stuck.requests[0].tool_runs[1]
        spool = Spool(tmp_path / "thief")
        spool.open()
        spool.put(
            transfer_id=order.transfer_id,
            request_id=new_id(),
            tool_run_id=order.tool_run_id,
            service="static",
            output=make_output(order.tool),
        )
        async with open_analyzer(site.port, tmp_path / "thief", Kitchen().execute) as thief:

            async def is_forgotten() -> bool:
                return thief.is_started and thief.waiting_count == 0

            await wait_until(is_forgotten)
        async with site.application.database.reading() as session:
            row = await session.get_one(AnalyzerTransferRow, order.transfer_id)
        assert row.state == "expected"


async def test_browser_and_missing_key_are_refused(application: Application) -> None:
    async with open_site(application) as site:
        url = f"ws://127.0.0.1:{site.port}/v1/analyzers/connect"
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(url, origin=f"http://127.0.0.1:{site.port}"):  # type: ignore[arg-type]  # a NewType
                pass
        assert refusal.value.response.status_code == 403
    async with open_site(application, has_keys=True) as site:
        url = f"ws://127.0.0.1:{site.port}/v1/analyzers/connect"
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(url, additional_headers={"Authorization": "Bearer rfr_wrong"}):
                pass
        assert refusal.value.response.status_code == 401


async def test_first_message_must_be_a_registration(site: Site) -> None:
    async with connect(f"ws://127.0.0.1:{site.port}/v1/analyzers/connect") as connection:
        await connection.send('{"type": "ping", "id": "1", "timestamp": ""}')
        assert "analyzer.not_registered" in str(await connection.recv())
        await connection.wait_closed()
    async with site.application.database.reading() as session:
        assert (await session.scalars(select(AnalyzerRow))).all() == []


async def test_overview_and_page_show_who_is_there(
    site: Site, project_id: UUID, subject: Path, tmp_path: Path
) -> None:
    base = f"http://127.0.0.1:{site.port}"
    await site.ask(project_id, subject, "vulture")
    async with httpx.AsyncClient(base_url=base) as client:
        empty = (await client.get("/v1/analyzers")).json()
        assert (empty["services"], empty["analyzers"], empty["requests_count"]) == ([], [], 1)
        assert empty["requests"][0]["state"] == "waiting"
        async with open_analyzer(site.port, tmp_path / "spool", Kitchen(gate=asyncio.Event()).execute):

            async def is_there() -> bool:
                return bool((await client.get("/v1/analyzers")).json()["services"])

            await wait_until(is_there)
            told = (await client.get("/v1/analyzers")).json()
            page = (await client.get("/ui/analyzers")).text
    (analyzer,) = told["analyzers"]
    assert (analyzer["name"], analyzer["is_connected"], analyzer["services"]) == (
        "elsewhere",
        True,
        ["static"],
    )
    assert analyzer["tools"][0]["version"] == "1.2.3"
    for text in ("elsewhere", "vulture", "1.2.3", "connected"):
        assert text in page


def test_address_of_a_server_is_read_in_any_form() -> None:
    for text in ("wss://host:8443", "https://host:8443/", "wss://host:8443/v1/analyzers/connect"):
        address = ServerAddress.parse(text, "rfr_key")
        assert address.websocket_url == "wss://host:8443/v1/analyzers/connect"
        assert address.http_url == "https://host:8443"
        assert address.headers == {"Authorization": "Bearer rfr_key"}
    for text in ("", "host", "ftp://host", "wss://user:password@host", "wss://host?x=1"):
        with pytest.raises(InvalidInput):
            ServerAddress.parse(text, None)


def test_key_is_not_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(InvalidInput, match="in the clear"):
        ServerAddress.parse("ws://referee.example", "rfr_key")
    assert ServerAddress.parse("ws://127.0.0.1:8765", "rfr_key").key == "rfr_key"
    assert ServerAddress.parse("ws://referee.example", None).key is None


def test_pauses_grow_and_stay_within_the_limit() -> None:
    backoff = Backoff(first_s=1.0, longest_s=8.0)
    for failures_count, longest_s in ((1, 1.0), (2, 2.0), (4, 8.0), (1_000, 8.0)):
        assert longest_s / 2 <= backoff.pause_s(failures_count) <= longest_s
