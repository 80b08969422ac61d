"""A small app of the standard library for load tools, and a kit to run them on it.

Its routes are written in a Flask source beside it, which is what the tools read; the
server itself is ours, so that each route is as fast, slow or broken as a test needs.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.targets import Target
from referee.foundation.sandbox import run_command
from referee.tools.contract import Installation, InstallKit, RunKit, RunningApp, ToolDescription
from referee.tools.exercising import ReadableUrl

SLOW_S = 0.12
"""How long the slow route takes."""

SOURCE = '''"""An app."""
from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "hello"


@app.route("/fast")
def fast():
    return "hello"


@app.route("/slow")
def slow():
    return "hello"


@app.route("/missing")
def missing():
    return "gone", 404


@app.route("/worn")
def worn():
    return "hello"
'''


@dataclass
class LoadApp:
    """What the server has seen, and when it changes its mind."""

    port: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)
    """(path, Authorization header) of each request."""
    worn_after: int = 3
    """Requests to ``/worn`` that are answered with 200 before it answers 500."""
    delay_s: float = 0.0
    """How long every answer takes at least."""
    release: threading.Event = field(default_factory=threading.Event)
    """Set when requests that hang may end."""

    @property
    def running(self) -> RunningApp:
        """The app as tools get it, in the machine's own network."""
        target = Target(name="backend", url=f"http://127.0.0.1:{self.port}", port=self.port)
        return RunningApp(targets=(target,), network=None, app_run_id="test")

    def url(self, path: str, headers: Mapping[str, str] | None = None) -> ReadableUrl:
        """Return an address as the exercise gives it."""
        return ReadableUrl(
            target="backend",
            url=f"http://127.0.0.1:{self.port}{path}",
            route_path=path,
            headers=dict(headers or {}),
        )

    def count(self, path: str) -> int:
        """Return how many requests came to a path."""
        return sum(seen == path for seen, _ in self.seen)


@contextlib.contextmanager
def serve_load_app() -> Iterator[LoadApp]:
    """Serve the app on a free port until the block ends."""
    app = LoadApp()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            app.seen.append((self.path, self.headers.get("Authorization", "")))
            if self.path == "/silent":
                self.close_connection = True
                return
            if self.path == "/hang":
                app.release.wait(30)
            app.release.wait(SLOW_S if self.path == "/slow" else app.delay_s)
            if self.path in ("/endless", "/cut"):
                self.send_part()
                return
            body = b"hello"
            self.send_response(self.choose_status())
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send_part(self) -> None:
            """Send an answer without an end, or the beginning of one."""
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(10**15))
            self.end_headers()
            self.wfile.write(b"x")
            with contextlib.suppress(OSError):
                while self.path == "/endless" and not app.release.is_set():
                    self.wfile.write(b"x" * 65_536)

        def choose_status(self) -> int:
            if self.path == "/worn":
                return 200 if app.count("/worn") <= app.worn_after else 500
            return 404 if self.path == "/missing" else 200

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a client that left."""

    with Server(("127.0.0.1", 0), Handler) as server:
        app.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield app
        finally:
            app.release.set()
            server.shutdown()
            thread.join()


def find_free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_kit(
    folder: Path,
    installation: Installation,
    install_kit: InstallKit,
    description: ToolDescription,
    app: RunningApp,
) -> RunKit:
    """Return what a load tool gets to run on an app, with new folders below ``folder``."""
    source, scratch = folder / "source", folder / "scratch"
    source.mkdir()
    scratch.mkdir(mode=0o700)
    (source / "app.py").write_text(SOURCE, encoding="utf-8")
    limits = SourceLimits(files_count=100, total_bytes=10**6, file_bytes=10**6)
    return RunKit(
        snapshot=take_snapshot(source, folder / "snapshots", limits, name="load"),
        installation=installation,
        install_kit=install_kit,
        scratch_dir=scratch,
        limits=description.limits,
        cores_count=1,
        run_command=run_command,
        app=app,
    )
