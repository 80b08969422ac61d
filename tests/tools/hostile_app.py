"""A server on loopback that answers every request with the same bytes, whatever they are."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from referee.core.targets import Target
from referee.tools.contract import RunningApp


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Read a request's headers, then send."""
        while self.rfile.readline().strip():
            pass
        try:
            self.wfile.write(self.server.answer)
        except OSError:
            return  # the exercise had enough


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer


@contextmanager
def run_hostile_app(answer: bytes) -> Iterator[RunningApp]:
    """Serve ``answer`` on a free port while the block runs."""
    server = _Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = int(server.server_address[1])
    try:
        target = Target(name="backend", url=f"http://127.0.0.1:{port}", port=port)
        yield RunningApp(targets=(target,), network=None, app_run_id="test")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def json_answer(body: bytes, *headers: str) -> bytes:
    """Return a whole answer with status 200."""
    lines = [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        *headers,
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + body
