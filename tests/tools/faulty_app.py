"""A small app of the standard library with faults that can be planted, and its source as tools see it.

It keeps notes of people: log-in by token, an administrator seeded in the source. The
server is ours and the Flask source beside it is what tools read; a fault changes what
the server answers, never what the source says, unless the test writes another source.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from referee.core.findings import JsonValue
from referee.core.targets import Target
from referee.tools.contract import RunningApp

TEMPLATE: dict[str, JsonValue] = {
    "slug": "notes",
    "name": "Notes",
    "backend_requirements": [
        "People register and log in; log-in answers with a token that the other routes require.",
        "Notes can be created, listed and deleted.",
        "Notes are kept for ever.",
    ],
    "frontend_requirements": ["A form that adds a note."],
    "admin_requirements": ["Only administrators list users."],
    "api_endpoints": [
        {
            "method": "POST",
            "path": "/api/register",
            "request": {"username": "string", "password": "string"},
            "response": {"id": "integer"},
        },
        {
            "method": "POST",
            "path": "/api/login",
            "request": {"username": "string", "password": "string"},
            "response": {"token": "string"},
        },
        {
            "method": "POST",
            "path": "/api/notes",
            "request": {"title": "string", "stars": "integer"},
            "response": {"id": "integer", "title": "string"},
        },
        {
            "method": "GET",
            "path": "/api/notes",
            "request": None,
            "response": [{"id": "integer", "title": "string"}],
        },
        {"method": "GET", "path": "/api/notes/:id", "request": None, "response": {"id": "integer"}},
        {"method": "DELETE", "path": "/api/notes/:id", "request": None, "response": None},
    ],
    "admin_api_endpoints": [
        {
            "method": "GET",
            "path": "/api/admin/users",
            "request": None,
            "response": [{"id": "integer", "username": "string"}],
        }
    ],
}
SOURCE = """
from flask import Flask

app = Flask(__name__)
SEED = [("admin", hash_password("admin123"), "admin")]


@app.post("/api/register")
def register(): ...


@app.post("/api/login")
def login(): ...


@app.route("/api/notes", methods=["GET", "POST"])
def notes(): ...


@app.route("/api/notes/<int:note_id>", methods=["GET", "DELETE"])
def note(note_id): ...


@app.get("/api/admin/users")
def users(): ...
"""
FILES = {
    "backend/app.py": SOURCE,
    "frontend/src/App.jsx": "export const App = () => <form><input /></form>\nfetch('/api/notes')\n",
}


@dataclass
class FaultyApp:
    """The app's state, and what is wrong with it."""

    faults: frozenset[str]
    """Of ``missing_delete crashing_list wrong_shape open_admin open_notes crashing_refusal cookie html_everywhere
    first_admin token_scheme``."""
    people: dict[str, str] = field(default_factory=lambda: {"admin": "admin123"})
    notes: dict[int, dict[str, Any]] = field(
        default_factory=lambda: {1: {"id": 1, "title": "seeded", "by": "admin"}}
    )
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and who sent it, "" for a visitor."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, who: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and JSON of the answer to a request."""
        if path in ("/api/register", "/api/login"):
            return self._sign_in(path, body)
        if path == "/api/admin/users":
            return self._list_users(who)
        if path.startswith("/api/notes") and not who and "open_notes" not in self.faults:
            return 401, {"error": "log in first"}
        if path == "/api/notes":
            return self._notes(method, who, body)
        number = path.removeprefix("/api/notes/")
        if path.startswith("/api/notes/") and number.isdigit() and int(number) in self.notes:
            if method == "DELETE" and "missing_delete" in self.faults:
                return 405, {"error": "method not allowed"}
            if method == "DELETE":
                return 200, self.notes.pop(int(number))
            return 200, self.notes[int(number)]
        return 404, {"error": "not found"}

    def _sign_in(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        name, password = str(body.get("username")), str(body.get("password"))
        if path == "/api/register":
            if name in self.people:
                return 409, {"error": "taken"}
            self.people[name] = password
            return 201, {"id": len(self.people)}
        if self.people.get(name) != password:
            return 401, {"error": "wrong"}
        is_admin = name == self.find_admin()
        return 200, {"token": f"token-of-{name}", "role": "admin" if is_admin else "user"}

    def find_admin(self) -> str:
        """Return who is administrator: the seeded one, or with a fault whoever registered first."""
        return next(iter(list(self.people)[1:]), "") if "first_admin" in self.faults else "admin"

    def _list_users(self, who: str) -> tuple[int, Any]:
        everybody = [{"id": number, "username": name} for number, name in enumerate(self.people, start=1)]
        if who == self.find_admin() or "open_admin" in self.faults:
            return 200, everybody
        if "crashing_refusal" in self.faults:
            return 500, {"error": "crash"}
        return (403 if who else 401), {"error": "administrators only"}

    def _notes(self, method: str, who: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            number = max(self.notes, default=0) + 1
            self.notes[number] = {"id": number, "title": body.get("title"), "by": who}
            return 201, {"number": number} if "wrong_shape" in self.faults else self.notes[number]
        if "crashing_list" in self.faults:
            return 500, {"error": "crash"}
        return 200, list(self.notes.values())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, app: FaultyApp) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.app = app


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _handle(self) -> None:
        app, path = self.server.app, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            values = {}
        scheme = "Token" if "token_scheme" in app.faults else "Bearer"
        token = (self.headers.get("Authorization") or "").removeprefix(f"{scheme} token-of-")
        token = "" if " " in token else token
        cookie = (self.headers.get("Cookie") or "").removeprefix("session=")
        who = cookie if "cookie" in app.faults else token
        with app.lock:
            app.requests.append((self.command, path, who))
            status, value = app.answer(self.command, path, who, values)
        name = (
            value.pop("token", "").removeprefix("token-of-")
            if "cookie" in app.faults and status == 200 and isinstance(value, dict)
            else ""
        )
        content, kind = json.dumps(value).encode(), "application/json"
        if "html_everywhere" in app.faults and status == 404:
            status, content, kind = 200, b"<!doctype html><div id=root></div>", "text/html"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if name:
            self.send_header("Set-Cookie", f"session={name}; HttpOnly; Path=/")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def run_faulty_app(*faults: str) -> Iterator[tuple[FaultyApp, RunningApp]]:
    """Serve the app on a free port while the block runs."""
    app = FaultyApp(frozenset(faults))
    server = _Server(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_address[1]
    target = Target(name="backend", url=f"http://127.0.0.1:{port}", port=int(port))
    try:
        yield app, RunningApp(targets=(target,), network=None, app_run_id="test")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
