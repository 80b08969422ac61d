"""The classic servers: what programs of the earlier system say, and what they are told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.foundation.outgoing.payloads import listener, make_payloads
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from referee import __version__
from referee.analysis.analyzers.listening import CLASSIC_PORTS, ClassicAnalyzer, serve_classic
from referee.analysis.analyzers.protocol import ToolOffer
from referee.app import Application
from referee.core.errors import InvalidInput
from referee.core.vocabulary import Service

SAMPLES = Path(__file__).parents[3] / "samples" / "apps" / "models"
MODEL = "pico-coder"
ALLOWED = "http://127.0.0.1:5001"
FREE_PORTS = {Service.static: 0, Service.dynamic: 0}


def make_analyzer(application: Application, project_id: UUID, root: Path = SAMPLES) -> ClassicAnalyzer:
    offers = (("ruff", Service.static), ("vulture", Service.static), ("curl", Service.dynamic))
    return ClassicAnalyzer.create(
        application.analysis,
        application.apps,
        project_id,
        root=root,
        allowed_targets=[ALLOWED],
        services=(Service.static, Service.dynamic),
        tools=tuple(ToolOffer(name=name, service=service, is_available=True) for name, service in offers),
    )


@pytest.fixture
async def ports(application: Application, project_id: UUID) -> AsyncIterator[dict[Service, int]]:
    """Ports of servers that listen on this machine."""
    async with serve_classic(make_analyzer(application, project_id), "127.0.0.1", FREE_PORTS) as taken:
        yield taken


@asynccontextmanager
async def call(
    ports: dict[Service, int], service: Service = Service.static
) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{ports[service]}") as connection:
        yield connection


async def ask(connection: ClientConnection, type: str, **fields: Any) -> dict[str, Any]:
    """Send a message; the next that comes back."""
    await connection.send(json.dumps({"type": type, **fields}))
    answer: dict[str, Any] = json.loads(await connection.recv())
    return answer


async def analyze(connection: ClientConnection, type: str, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """Ask for an analysis; its result, and what was said before."""
    answer = await ask(connection, type, **fields)
    told = []
    while not answer["type"].endswith("analysis_result"):
        told.append(f"{answer['tool']} {answer['message']}")
        answer = json.loads(await connection.recv())
    return answer, told


async def test_ping_health_and_status_are_answered(ports: dict[Service, int]) -> None:
    async with call(ports, Service.dynamic) as connection:
        pong = await ask(connection, "ping", id="7")
        assert (pong["type"], pong["correlation_id"]) == ("pong", "7")
        health = await ask(connection, "health_check")
        assert {
            name: health[name] for name in ("type", "status", "service", "version", "available_tools")
        } == {
            "type": "health_response",
            "status": "healthy",
            "service": "dynamic-analyzer",
            "version": __version__,
            "available_tools": ["curl"],
        }
        status = await ask(connection, "server_status")
        assert (status["type"], status["is_busy"]) == ("server_status", False)
        error = await ask(connection, "static_analyze", model_slug=MODEL, app_number=1)
        assert (error["type"], error["code"]) == ("error", "analyzer.message_unknown")


async def test_health_is_answered_by_plain_http(ports: dict[Service, int]) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{ports[Service.static]}/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert answer.json()["available_tools"] == ["ruff", "vulture"]


async def test_request_runs_its_tools_and_the_connection_stays_open(ports: dict[Service, int]) -> None:
    async with call(ports) as connection:
        result, told = await analyze(
            connection, "static_analyze", model_slug=MODEL, app_number=1, tools=["ruff", "vulture"], id="a1"
        )
        assert (result["type"], result["correlation_id"]) == ("static_analysis_result", "a1")
        assert (result["status"], result["service"]) == ("success", "static-analyzer")
        assert told == ["ruff running", "ruff success", "vulture running", "vulture success"]
        tools = result["analysis"]["tool_results"]
        assert list(tools) == ["ruff", "vulture"]
        assert tools["ruff"]["total_issues"] == len(tools["ruff"]["issues"]) > 0
        assert {issue["file_path"][0] for issue in tools["ruff"]["issues"]} != {"/"}
        total_count = sum(tool["total_issues"] for tool in tools.values())
        assert result["analysis"]["summary"]["total_issues"] == total_count
        assert (await ask(connection, "ping"))["type"] == "pong"


async def test_content_of_an_envelope_is_read_too(ports: dict[Service, int]) -> None:
    async with call(ports) as connection:
        data = {"model_slug": MODEL, "app_number": 1, "tools": ["vulture"]}
        result, _ = await analyze(connection, "static_analyze", id="a2", data=data)
    assert (result["status"], list(result["analysis"]["tool_results"])) == ("success", ["vulture"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model_slug": "../pico-coder"}, "analyzer.message_invalid"),
        ({"model_slug": ".."}, "analyzer.message_invalid"),
        ({"model_slug": "/etc"}, "analyzer.message_invalid"),
        ({"app_number": 0}, "analyzer.message_invalid"),
        ({"app_number": "1/../../aurora-large/app1"}, "analyzer.message_invalid"),
        ({"tools": ["curl"]}, "tool.unknown"),
        ({"target_urls": ["http://127.0.0.1:5002"]}, "analyzer.target_refused"),
        ({"target_urls": ["https://127.0.0.1:5001"]}, "analyzer.target_refused"),
        ({"target_urls": ["http://127.0.0.1:5001@example.org"]}, "analyzer.target_invalid"),
        ({"target_urls": ["file:///etc/passwd"]}, "analyzer.target_invalid"),
    ],
)
async def test_request_for_what_it_may_not_have_is_refused(
    ports: dict[Service, int], fields: dict[str, Any], code: str
) -> None:
    async with call(ports) as connection:
        request = {"model_slug": MODEL, "app_number": 1, "tools": ["vulture"], **fields}
        result, told = await analyze(connection, "static_analyze", **request)
    assert (result["status"], result["analysis"]["code"]) == ("error", code)
    assert told == []


async def test_no_spelling_of_a_private_address_is_a_target(ports: dict[Service, int]) -> None:
    answers = []
    with listener() as seen:
        payloads = make_payloads(seen.port)
        async with call(ports, Service.dynamic) as connection:
            for payload in payloads:
                request = {
                    "model_slug": MODEL,
                    "app_number": 1,
                    "tools": ["curl"],
                    "target_urls": [payload.url],
                }
                answers.append((await analyze(connection, "dynamic_analyze", **request))[0])
    assert len(payloads) >= 300
    assert {answer["status"] for answer in answers} == {"error"}
    assert {answer["analysis"]["code"] for answer in answers} == {
        "analyzer.target_invalid",
        "analyzer.target_refused",
    }
    assert seen.connections == []


async def test_app_that_is_a_link_out_of_the_folder_is_refused(
    application: Application, project_id: UUID, tmp_path: Path
) -> None:
    (tmp_path / "apps" / "model").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "main.py").write_text("secret = 1\n")
    (tmp_path / "apps" / "model" / "app1").symlink_to(tmp_path / "outside")
    analyzer = make_analyzer(application, project_id, tmp_path / "apps")
    async with serve_classic(analyzer, "127.0.0.1", FREE_PORTS) as ports, call(ports) as connection:
        result, told = await analyze(connection, "static_analyze", model_slug="model", app_number=1)
    assert (result["status"], told) == ("error", [])


async def test_second_request_on_a_connection_waits_for_nothing_and_a_cancelled_one_says_so(
    ports: dict[Service, int],
) -> None:
    async with call(ports) as connection:
        await connection.send(
            json.dumps({"type": "static_analyze", "model_slug": MODEL, "app_number": 1, "tools": ["ruff"]})
        )
        assert (await ask(connection, "static_analyze", model_slug=MODEL, app_number=1))[
            "code"
        ] == "analyzer.busy"
        result, _ = await analyze(connection, "cancel")
        assert (result["status"], result["analysis"]["code"]) == ("error", "analyzer.cancelled")
        assert (await ask(connection, "ping"))["type"] == "pong"


async def test_page_in_a_browser_is_refused(ports: dict[Service, int]) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"ws://127.0.0.1:{ports[Service.static]}", origin="http://evil.example"):  # type: ignore[arg-type]  # a NewType
            pass
    assert refusal.value.response.status_code == 403


async def test_folder_that_is_none_is_refused(
    application: Application, project_id: UUID, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="is no folder"):
        make_analyzer(application, project_id, tmp_path / "nothing")


def test_ports_are_those_of_the_earlier_system() -> None:
    assert {service.value: port for service, port in CLASSIC_PORTS.items()} == {
        "static": 2001,
        "dynamic": 2002,
        "performance": 2003,
        "ai": 2004,
    }
