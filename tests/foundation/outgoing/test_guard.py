"""The guard: what it lets pass, what never, and that a connection goes to the address that was judged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from unittest.mock import ANY

import httpx
import pytest
from tests.foundation.outgoing.payloads import listener, make_payloads

from referee.apps.importing_models import fetch_model_list
from referee.core.errors import Forbidden, InvalidInput, RefereeError, Unavailable
from referee.core.web_addresses import is_public_address, read_web_address
from referee.foundation.llm import ChatMessage, LlmClient, Purse
from referee.foundation.outgoing import GuardedTransport, OutgoingGuard, RefusedAddressError
from referee.foundation.settings import load_settings
from referee.tools.advisories.fetching import fetched_file


@contextmanager
def web_server(*hosts: str, location: str = "") -> Iterator[tuple[list[int], list[tuple[str, str]]]]:
    """Serve on each host; what was asked for is noted as host header and local address."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.headers["Host"], self.connection.getsockname()[0]))
            self.send_response(302 if location else 200)
            self.send_header("Location", location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            pass

    servers = [ThreadingHTTPServer((host, 0), Handler) for host in hosts]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield [server.server_port for server in servers], asked
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::127.0.0.1", False), ("::ffff:10.0.0.1", False), ("2002:7f00:1::1", False), ("::127.0.0.1", False),
        ("100.64.0.1", False), ("192.0.2.1", False), ("240.0.0.1", False), ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("168.63.129.16", False), ("2001:0:1::1", False), ("fec0::1", False), ("2001:4860::5:5efe:10.0.0.1", True),
        ("2001:4860::5efe:10.0.0.1", False), ("2001:4860::200:5efe:8.8.8.8", False), ("ff0e::1", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_public_internet_are_public(address: str, is_public: bool) -> None:
    assert is_public_address(ip_address(address)) is is_public


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://Hooks.Example/T0/B1?x=1", "hooks.example", 443),
        ("http://192.0.2.7:8080/", "192.0.2.7", 8080),
        ("http://[2001:DB8:0::7]/", "2001:db8::7", 80),
        ("https://xn--bcher-kva.example.", "xn--bcher-kva.example", 443),
    ],
)
def test_plain_addresses_are_read(url: str, host: str, port: int) -> None:
    address = read_web_address(url)
    assert (address.host, address.port, address.url) == (host, port, url)


async def test_no_payload_is_connected_to_from_any_place_that_takes_an_address(tmp_path: Path) -> None:
    guard = OutgoingGuard()
    reached: list[str] = []
    with listener() as seen:
        payloads = make_payloads(seen.port)
        for payload in payloads:
            with pytest.raises((RefereeError, httpx.HTTPError, httpx.InvalidURL)):
                async with httpx.AsyncClient(transport=GuardedTransport(guard)) as client:
                    await client.get(payload.url)
                    reached.append(payload.url)
            with pytest.raises(RefereeError):
                await fetch_model_list(payload.url, guard)
            with pytest.raises(RefereeError), fetched_file(payload.url, tmp_path, guard):
                reached.append(payload.url)
        assert len(payloads) >= 300
        assert (seen.connections, reached) == ([], [])


async def test_an_odd_spelling_in_a_setting_is_not_connected_to_either() -> None:
    with listener() as seen:
        odd = [payload for payload in make_payloads(seen.port) if not payload.is_plain]
        for payload in odd:
            with pytest.raises(RefereeError):
                async with LlmClient(
                    payload.url, "m", purse=Purse(10_000), max_attempts_count=1, timeout_s=0.05
                ) as client:
                    await client.complete_text([ChatMessage("user", "hello")], max_tokens=10)
            with (
                pytest.raises(InvalidInput)
                if not payload.url[7:].startswith(("[", "/"))
                else suppress(InvalidInput)
            ):
                load_settings(static_analyzer_urls=payload.url.replace("http://", "ws://"))
        assert (seen.connections, len(odd) >= 280) == ([], True)


async def test_connection_goes_to_the_address_that_was_judged_and_names_its_host() -> None:
    with web_server("127.0.0.2") as ((port,), asked), listener() as seen:
        answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
        guard = OutgoingGuard(("127.0.0.2/32",), resolve=lambda *_: next(answers))
        async with httpx.AsyncClient(transport=GuardedTransport(guard)) as client:
            first = await client.get(f"http://rebinding.example:{port}/")
            with pytest.raises(RefusedAddressError):
                await client.get(f"http://rebinding.example:{port}/")
        assert (first.status_code, asked) == (200, [(f"rebinding.example:{port}", "127.0.0.2")])
        assert seen.connections == []


async def test_a_name_with_one_private_address_is_refused_and_an_unknown_one_told() -> None:
    mixed = OutgoingGuard(resolve=lambda *_: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Forbidden):
        await mixed.pin("mixed.example", 443)

    def fail(*_: object) -> list[str]:
        raise OSError

    with pytest.raises(Unavailable):
        await OutgoingGuard(resolve=fail).pin("nobody.example", 443)


async def test_what_the_setting_names_is_let_pass_and_nothing_beside_it() -> None:
    settings = load_settings(outgoing_allowed="127.0.0.1, 10.0.0.0/8,Hooks.Lab.Example.")
    assert settings.outgoing_allowed == ["127.0.0.1", "10.0.0.0/8", "hooks.lab.example"]
    places = {"hooks.lab.example": ["192.168.7.7"], "evil.example": ["192.168.7.7"], "lab": ["10.9.9.9"]}
    guard = OutgoingGuard(tuple(settings.outgoing_allowed), resolve=lambda host, _: places[host])
    assert (await guard.pin("127.0.0.1", 1)).addresses == ("127.0.0.1",)
    assert (await guard.pin("hooks.lab.example", 1)).addresses == ("192.168.7.7",)
    assert (await guard.pin("lab", 1)).addresses == ("10.9.9.9",)
    for host in ("evil.example", "127.0.0.2", "[::1]", "192.168.7.7"):
        with pytest.raises(Forbidden):
            await guard.pin(host, 1)


async def test_no_name_of_a_setting_leads_to_a_clouds_metadata() -> None:
    guard = OutgoingGuard(resolve=lambda *_: ["169.254.169.254"]).allowing("http://judge.example/v1")
    with pytest.raises(Forbidden):
        await guard.pin("judge.example", 80)
    with pytest.raises(Forbidden):
        await OutgoingGuard().allowing("http://169.254.169.254/v1").pin("169.254.169.254", 80)
    assert await OutgoingGuard(("169.254.0.0/16",)).pin("169.254.169.254", 80) == ANY


@pytest.mark.parametrize("entry", ["10.0.0.0/40", "http://host", "127.1", "a b", "*", "10.0.0.1/8"])
def test_odd_entries_of_the_setting_are_refused(entry: str) -> None:
    with pytest.raises(InvalidInput, match="outgoing_allowed"):
        load_settings(outgoing_allowed=entry)


async def test_no_redirect_leads_past_the_guard(tmp_path: Path) -> None:
    with (
        listener() as seen,
        web_server("127.0.0.2", location=f"http://127.0.0.1:{seen.port}/") as ((port,), _),
    ):
        guard = OutgoingGuard(("127.0.0.2",))
        with pytest.raises(Unavailable, match="answered 302"):
            await fetch_model_list(f"http://127.0.0.2:{port}/", guard)
        with (
            pytest.raises(InvalidInput, match="leads on"),
            fetched_file(f"http://127.0.0.2:{port}/", tmp_path, guard),
        ):
            pass
        with pytest.raises(RefereeError):
            async with LlmClient(
                f"http://127.0.0.2:{port}", "m", purse=Purse(10_000), max_attempts_count=1
            ) as client:
                await client.complete_text([ChatMessage("user", "hello")], max_tokens=10)
        assert seen.connections == []
