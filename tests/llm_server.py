"""A server that speaks OpenAI's chat completions on loopback and answers as a test scripts it.

It is real as far as the client can see: a socket, HTTP/1.1, headers, bodies.
A script is a function of the request; ``answer`` and its siblings make the
usual ones. What was asked is kept in ``requests``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

__all__ = ["LlmServer", "Request", "Response", "Script", "answer", "failure", "in_turn", "serve_llm"]


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message["content"] for message in self.body["messages"])


@dataclass(frozen=True)
class Response:
    """What the server sends back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_silent: bool = False
    """Whether it never answers: the connection stays open until the server is closed."""
    is_cut: bool = False
    """Whether the connection ends in the middle of the body."""
    repeat: int = 1
    """How often the body is sent, for one that is too large to hold."""


Script: TypeAlias = Callable[[Request], Response]


def answer(
    value: object,
    *,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = (100, 20),
    refusal: str | None = None,
) -> Response:
    """Return a chat completion whose text is ``value``: as it is for a text, else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    document: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "scripted-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": refusal},
                "finish_reason": finish_reason,
            }
        ],
    }
    if usage is not None:
        document["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return Response(body=json.dumps(document).encode())


def failure(status: int, message: str, **headers: str) -> Response:
    """Return an error as providers write it."""
    return Response(
        status=status,
        body=json.dumps({"error": {"message": message, "type": "error"}}).encode(),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def in_turn(*responses: Response | Script) -> Script:
    """Return a script that goes through ``responses``, and stays with the last."""
    numbers = iter(range(len(responses)))

    def script(request: Request) -> Response:
        response = responses[next(numbers, len(responses) - 1)]
        return response if isinstance(response, Response) else response(request)

    return script


@dataclass
class LlmServer:
    """A running server."""

    url: str
    """Base address for a client."""
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serve_llm(script: Script) -> Iterator[LlmServer]:
    """Serve ``script`` on a free port until the block ends."""
    is_closing = threading.Event()
    server = LlmServer(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            request = Request(
                self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(content)
            )
            server.requests.append(request)
            response = script(request)
            if response.is_silent:
                is_closing.wait()
                self.close_connection = True
                return
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(response.body) * response.repeat))
            self.end_headers()
            if response.is_cut:
                self.wfile.write(response.body[: len(response.body) // 2])
                self.close_connection = True
                return
            for _ in range(response.repeat):
                self.wfile.write(response.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a client that stops reading is part of the tests."""

    http_server = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http_server.server_address[1]}/v1"
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        is_closing.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join()
