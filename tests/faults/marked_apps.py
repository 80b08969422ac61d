"""Apps that cannot be taken for one another: every answer and every finding about one carries its own mark.

They need nothing but Python. What they are asked they print as lines of access,
so that a result can be held against what really reached the app.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "Access",
    "MarkedApp",
    "Stranger",
    "find_free_port",
    "is_taken",
    "read_accesses",
    "write_marked_app",
]

_CODE: Final = '''"""An app with the mark {mark}."""

import http.server
import os
import socket
import time

MARK, DELAY_S, COVETED = "{mark}", {delay_s}, {coveted}
PAGES = {{
    "/": ("text/html", "<html><title>" + MARK + "</title><body>" + MARK + "</body></html>"),
    "/.env": ("text/plain", MARK + "_KEY=planted\\n"),
}}


class Handler(http.server.BaseHTTPRequestHandler):
    server_version, sys_version = MARK + "/1.0", ""

    def do_GET(self):
        agent = self.headers.get("User-Agent", "none").partition("/")[0]
        print("access", time.time(), agent, self.path, flush=True)
        time.sleep(DELAY_S)
        kind, body = PAGES.get(self.path, ("text/plain", "no such page at " + MARK))
        self.send_response(200 if self.path in PAGES else 404)
        self.send_header("Content-Type", kind)
        self.send_header("X-Powered-By", MARK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_OPTIONS = do_TRACE = do_GET

    def log_message(self, *words):
        pass


def is_taken(port):
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def listen():
    if COVETED is None:
        return http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    print("lurking", flush=True)
    while not is_taken(COVETED):
        time.sleep(0.01)
    while True:
        try:
            return http.server.ThreadingHTTPServer(("127.0.0.1", COVETED), Handler)
        except OSError:
            time.sleep(0.001)


server = listen()
print("listening", flush=True)
server.serve_forever()
'''
_DESCRIPTION: Final = '[[components]]\nname = "backend"\nkind = "python"\ncommand = "python main.py"\n'
_ACCESS: Final = re.compile(rb"^access (\d+\.\d+) (\S+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MarkedApp:
    """An app's folder and what all its answers carry."""

    mark: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Access:
    """One request as the app saw it."""

    at: float
    """Seconds since 1970, by the clock of the machine."""
    agent: str
    path: str


def write_marked_app(
    base: Path,
    choose: random.Random,
    *,
    delay_s: float = 0.0,
    port: int | None = None,
    coveted: int | None = None,
) -> MarkedApp:
    """Write an app with a mark of its own.

    Args:
        base: Folder of all apps.
        choose: What makes the mark.
        delay_s: How long it thinks about each answer.
        port: The one port that it says it can use.
        coveted: A port that it waits for to be taken, and takes over as soon as it is free.
    """
    mark = f"MARK{choose.getrandbits(48):012X}"
    folder = base / f"app-{mark.lower()}"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(_CODE.format(mark=mark, delay_s=delay_s, coveted=coveted))
    (folder / "referee.toml").write_text(_DESCRIPTION + ("" if port is None else f"port = {port}\n"))
    return MarkedApp(mark, folder)


def read_accesses(log: bytes) -> list[Access]:
    """Return the requests that a marked app printed."""
    return [Access(float(found[1]), found[2].decode(), found[3].decode()) for found in _ACCESS.finditer(log)]


class Stranger:
    """A marked app that Referee did not start: another process of this machine."""

    def __init__(self, app: MarkedApp, port: int) -> None:
        with tempfile.TemporaryFile() as log:
            self._log = os.dup(log.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-IS", "-u", str(app.folder / "main.py")],
                env={"PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def has_begun(self) -> bool:
        """Whether it listens, or lurks for its port."""
        return self.is_listening or "lurking" in self._read_log()

    @property
    def is_listening(self) -> bool:
        """Whether it has its port."""
        return "listening" in self._read_log()

    def _read_log(self) -> str:
        said = os.pread(self._log, 65_536, 0).decode(errors="replace")
        if self._process.poll() is not None:
            raise AssertionError(f"the stranger ended by itself: {said}")
        return said

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._log)


def find_free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
