"""What is no HTTP, or too long of it, is answered in the words of every other error."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from referee.operations.http_protocol import HttpProtocol


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        PlainTextResponse("well"),
        http=HttpProtocol,
        log_config=None,
        h11_max_incomplete_event_size=64 * 1024,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def ask(address: tuple[str, int], request: bytes) -> tuple[bytes, dict[str, Any] | str]:
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, json.loads(body) if b"problem+json" in head else body.decode()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n", "request.not_http"),
        (b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n", "request.not_http"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", "request.not_http"),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "request.not_http"),
        (b"GET /?a=" + b"b" * 8_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "request.head_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"b" * 8_000_000 + b"\r\n\r\n", "request.head_too_long"),
    ],
    ids=["tls", "spaces", "byte", "header", "address", "headers"],
)
def test_request_that_cannot_be_read_gets_problem_details(
    address: tuple[str, int], request_bytes: bytes, code: str
) -> None:
    for _ in range(5):
        head, problem = ask(address, request_bytes)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert isinstance(problem, dict)
        assert (problem["status"], problem["code"], problem["type"]) == (400, code, f"/problems/{code}")
        assert problem["detail"] and problem["hint"] and problem["request_id"]


def test_other_requests_are_answered_meanwhile(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as noisy:
        noisy.sendall(b"nonsense\r\n\r\n")
        head, body = ask(address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == "well"
