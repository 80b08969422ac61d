"""Small apps on loopback for tools that talk to a running app: one clean, one flawed, one that answers everything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from referee.core.targets import Target

PAGE = "<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"
PROTECTION = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


FILES = {
    "/.git/HEAD": ("text/plain", "ref: refs/heads/main\n"),
    "/.env": ("text/plain", "SECRET_KEY=correct-horse\nDATABASE_URL=sqlite:///app.db\n"),
    "/assets/index-BX3kd9Qa.js": ("text/javascript", "console.log(1)\n"),
    "/assets/index-BX3kd9Qa.js.map": ("application/json", '{"version":3,"sources":[],"mappings":"AAAA"}'),
}
"""Media type and text by path."""
STEPS = {"/": "/welcome", "/welcome": "http://elsewhere.example/"}
"""Where the redirecting app sends on."""


class Handler(BaseHTTPRequestHandler):
    """Answers with bytes and headers, says nothing of itself, and logs nothing."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # one packet an answer: two would wait for the client's delayed acknowledgement

    def version_string(self) -> str:
        return "app"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: str, headers: dict[str, str], media_type: str = "text/html") -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": media_type, **headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class CleanHandler(Handler):
    """One protected page; everything else is not found or not allowed."""

    def do_GET(self) -> None:
        is_home = self.path == "/"
        body = PAGE.format(
            title="Tasks" if is_home else "Not found", body="Welcome." if is_home else "Nothing here."
        )
        self.answer(200 if is_home else 404, body, PROTECTION)

    def refuse(self) -> None:
        self.read_body()
        self.answer(405, "Not allowed.", PROTECTION, "text/plain")

    do_HEAD = do_GET
    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = refuse


class FlawedHandler(Handler):
    """Shows what no app should."""

    def version_string(self) -> str:
        return "Werkzeug/2.2.2 Python/3.11.7"

    def send_sharing(self) -> dict[str, str]:
        origin = self.headers.get("Origin")
        if origin is None:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/":
            links = '<a href="/search?q=milk">Search</a><script src="/assets/index-BX3kd9Qa.js"></script>'
            self.answer(
                200,
                PAGE.format(title="Flawed", body=links),
                {"Set-Cookie": "session=abc123; Path=/", "X-Powered-By": "Express", **self.send_sharing()},
            )
        elif parts.path in FILES:
            media_type, text = FILES[parts.path]
            self.answer(200, text, {}, media_type)
        elif parts.path == "/search":
            self.answer(200, PAGE.format(title="Found", body=parse_qs(parts.query).get("q", [""])[0]), {})
        else:
            self.answer(404, PAGE.format(title="Not found", body=escape(parts.path)), {})

    def do_POST(self) -> None:
        self.read_body()
        trace = (
            'Traceback (most recent call last):\n  File "app.py", line 3, in create\njson.JSONDecodeError\n'
        )
        self.answer(500, trace, {}, "text/plain")

    def do_OPTIONS(self) -> None:
        self.answer(200, "", {"Allow": "GET, POST, OPTIONS, TRACE", **self.send_sharing()})

    def do_TRACE(self) -> None:
        self.answer(200, f"TRACE {self.path} HTTP/1.1\r\n", {}, "message/http")

    do_HEAD = do_GET


class CatchAllHandler(CleanHandler):
    """Answers every path with its one page, as a single-page app does, and repeats the path in it."""

    def do_GET(self) -> None:
        self.answer(200, PAGE.format(title="Single page", body=f"<p>{escape(self.path)}</p>" * 2), PROTECTION)

    do_HEAD = do_GET


class RedirectingHandler(CleanHandler):
    """Sends its start page's visitors on: within the app, and from there to another host."""

    def do_GET(self) -> None:
        if self.path in STEPS:
            self.answer(302, "", {**PROTECTION, "Location": STEPS[self.path]})
        else:
            self.answer(404, "Nothing here.", PROTECTION, "text/plain")

    do_HEAD = do_GET


class Server(ThreadingHTTPServer):
    """A server that does not mind clients that hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], *, name: str = "backend") -> Iterator[Target]:
    """Serve on a free port and yield the target."""
    server = Server(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield make_target(name, server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def closed_port(*, name: str = "gone") -> Iterator[Target]:
    """Yield a target at whose port nothing listens, and nothing else can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield make_target(name, taken.getsockname()[1])


@contextmanager
def silent_port(*, name: str = "silent") -> Iterator[Target]:
    """Yield a target that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield make_target(name, listening.getsockname()[1])


def make_target(name: str, port: int) -> Target:
    """Return the target of a port on loopback."""
    return Target(name=name, url=f"http://127.0.0.1:{port}", port=port)
