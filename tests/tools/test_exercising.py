"""The exercise of a running app, against a real server on loopback and in the sandbox."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.conftest import TakeSnapshot, WriteApp
from tests.tools.faulty_app import FILES, SOURCE, TEMPLATE, run_faulty_app
from tests.tools.hostile_app import json_answer, run_hostile_app
from tests.tools.scanning import make_kit

from referee.core.errors import Unavailable
from referee.core.findings import JsonValue
from referee.core.targets import Target
from referee.tools import ToolInstaller
from referee.tools.contract import RawOutput, RunKit, RunningApp
from referee.tools.exercising import REPORT, Exercise, exercise_app, read_exercise
from referee.tools.reading import OutputUnreadable
from referee.tools.routes import discover_routes
from referee.tools.seeded_accounts import find_seeded_accounts

KitFor = Callable[..., Awaitable[RunKit]]


@pytest.fixture
def kit_for(tmp_path: Path, installer: ToolInstaller, write_app: WriteApp) -> KitFor:
    """Return a kit for a running app."""

    async def make(app: RunningApp | None, *, template: JsonValue = TEMPLATE, source: str = SOURCE) -> RunKit:
        folder = write_app({**FILES, "backend/app.py": source})
        return await make_kit(tmp_path, folder, installer, app=app, template=template)

    return make


def tell(exercise: Exercise, *, role: str) -> list[str]:
    """Return what a role sent and got."""
    return [
        f"{exchange.method} {exchange.path} {exchange.status}"
        for exchange in exercise.exchanges
        if exchange.role == role
    ]


async def run(kit: RunKit) -> Exercise:
    """Exercise an app and read what came out."""
    raw = await exercise_app(kit, discover_routes(kit.snapshot))
    assert raw.end == "exited", raw.streams["stderr"].decode()
    return read_exercise(raw)


async def test_each_endpoint_is_called_as_everybody_and_only_own_things_are_deleted(kit_for: KitFor) -> None:
    with run_faulty_app() as (app, running):
        exercise = await run(await kit_for(running))

    assert exercise.roles == ("visitor", "person", "admin")
    assert exercise.notices == ()
    assert tell(exercise, role="visitor") == [
        "GET / 404",
        "POST /api/register 201",
        "POST /api/login 200",
        "POST /api/login 200",
        "POST /api/notes 401",
        "GET /api/notes 401",
        "GET /api/admin/users 401",
        "GET /api/notes/2 401",
        "DELETE /api/notes/3 401",
    ]
    assert tell(exercise, role="person") == [
        "GET /api/notes 200",
        "POST /api/notes 201",
        "GET /api/notes 200",
        "GET /api/admin/users 403",
        "GET /api/notes/2 200",
        "DELETE /api/notes/4 200",
    ]
    assert tell(exercise, role="admin") == ["GET /api/admin/users 200", "GET /api/admin/users 200"]
    assert 1 in app.notes
    assert "admin" in app.people


async def test_what_was_sent_and_answered_is_kept(kit_for: KitFor) -> None:
    with run_faulty_app() as (_, running):
        exercise = await run(await kit_for(running))

    (created,) = [
        one
        for one in exercise.exchanges
        if (one.method, one.route_path, one.status) == ("POST", "/api/notes", 201)
    ]
    assert created.target == "backend"
    assert isinstance(created.request_body, dict)
    assert set(created.request_body) == {"title", "stars"}
    assert isinstance(created.request_body["title"], str)
    assert isinstance(created.request_body["stars"], int)
    assert json.loads(created.response_excerpt)["id"] == 2
    assert created.response_shape == {"id": "integer", "title": "string", "by": "string"}
    assert created.content_type == "application/json"
    assert not created.has_guessed_id
    assert created.duration_ms > 0


async def test_readable_addresses_come_with_what_lets_them_be_read(kit_for: KitFor) -> None:
    with run_faulty_app() as (app, running):
        exercise = await run(await kit_for(running))
        (person,) = [name for name in app.people if name.startswith("person")]

    base_url = running.targets[0].url
    assert [
        (one.url.removeprefix(base_url), one.route_path, dict(one.headers)) for one in exercise.readable
    ] == [
        ("/api/notes", "/api/notes", {"Authorization": f"Bearer token-of-{person}"}),
        ("/api/admin/users", "/api/admin/users", {"Authorization": "Bearer token-of-admin"}),
        ("/api/notes/2", "/api/notes/:id", {"Authorization": f"Bearer token-of-{person}"}),
    ]


async def test_an_app_with_cookies_is_logged_in_to_as_well(kit_for: KitFor) -> None:
    with run_faulty_app("cookie") as (_, running):
        exercise = await run(await kit_for(running))

    assert exercise.roles == ("visitor", "person", "admin")
    assert "POST /api/notes 201" in tell(exercise, role="person")
    assert "POST /api/notes 401" in tell(exercise, role="visitor")


async def test_a_token_is_sent_the_way_the_app_wants_it(kit_for: KitFor) -> None:
    with run_faulty_app("token_scheme") as (_, running):
        exercise = await run(await kit_for(running))

    assert "POST /api/notes 201" in tell(exercise, role="person")
    headers = {one.headers["Authorization"].split()[0] for one in exercise.readable}
    assert headers == {"Token"}


async def test_whoever_registers_first_and_becomes_administrator_is_not_taken_for_an_ordinary_person(
    kit_for: KitFor,
) -> None:
    with run_faulty_app("first_admin") as (_, running):
        exercise = await run(await kit_for(running, source=SOURCE.replace("admin123", "unlikely-to-be-one")))

    assert exercise.roles == ("visitor", "person", "admin")
    assert "GET /api/admin/users 200" in tell(exercise, role="admin")
    assert "GET /api/admin/users 403" in tell(exercise, role="person")


async def test_without_a_template_the_routes_of_the_source_are_called(kit_for: KitFor) -> None:
    with run_faulty_app() as (app, running):
        exercise = await run(await kit_for(running, template=None))

    assert exercise.roles == ("visitor", "person", "admin")
    assert "GET /api/notes 200" in tell(exercise, role="person")
    assert next(note["by"] for note in app.notes.values()) == "admin"


async def test_without_a_seeded_account_nobody_is_administrator(kit_for: KitFor) -> None:
    with run_faulty_app() as (_, running):
        exercise = await run(await kit_for(running, source=SOURCE.replace("admin123", "unlikely-to-be-one")))

    assert exercise.roles == ("visitor", "person")
    assert [notice for notice in exercise.notices if "administrator" in notice]


async def test_an_app_that_is_not_there_gives_no_answer(kit_for: KitFor) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        target = Target(name="backend", url=f"http://127.0.0.1:{port}", port=port)
        exercise = await run(await kit_for(RunningApp(targets=(target,), network=None, app_run_id="test")))

    assert not exercise.has_answers
    assert exercise.readable == ()


async def test_no_app_is_an_error_that_says_what_to_do(kit_for: KitFor) -> None:
    kit = await kit_for(None)

    with pytest.raises(Unavailable, match="no running app"):
        await exercise_app(kit, ())


async def test_cut_output_is_never_read_as_whole(kit_for: KitFor) -> None:
    with run_faulty_app() as (_, running):
        kit = await kit_for(running)
        raw = await exercise_app(kit, discover_routes(kit.snapshot))
    whole = raw.streams[REPORT]

    for length in range(0, len(whole), 97):
        with pytest.raises(OutputUnreadable):
            read_exercise(with_report(raw, whole[:length]))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 307 Moved\r\nLocation: http://[bad/\r\nContent-Length: 0\r\n\r\n",
        json_answer(b"[" * 400_000),
        json_answer(b'{"id": "\\ud800", "token": "\\ud800\\n", "username": "\\ud800"}'),
        pytest.param(b"", marks=pytest.mark.slow),
        pytest.param(b"\0" * 100_000, marks=pytest.mark.slow),
        pytest.param(b"HTTP/1.1 999 Odd\r\n\r\n", marks=pytest.mark.slow),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", marks=pytest.mark.slow),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", marks=pytest.mark.slow),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=\xff\x01; b\r\nContent-Length: 0\r\n\r\n",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            b"HTTP/1.1 308 Moved\r\nLocation: http://192.0.2.1/api/notes/\r\nContent-Length: 0\r\n\r\n",
            marks=pytest.mark.slow,
        ),
        pytest.param(json_answer(b"[" * 900 + b"]" * 900), marks=pytest.mark.slow),
        pytest.param(
            json_answer(b'{"id": ' + b"9" * 4_000 + b', "token": "' + b"t" * 4_000 + b'"}'),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            json_answer(
                json.dumps({f"k{number}": {"id": number, "\0": []} for number in range(9_000)}).encode()
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            json_answer(b'{"token": "a.' + b"e30" * 30 + b'.b", "id": [[[{"id": {}}]]]}'),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            json_answer(b'{"id": "../../etc/passwd?x=#y", "token": "t o k e n"}'), marks=pytest.mark.slow
        ),
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_no_answer_of_an_app_breaks_the_exercise(answer: bytes, kit_for: KitFor) -> None:
    with run_hostile_app(answer) as running:
        exercise = await run(await kit_for(running))

    assert exercise.exchanges
    assert all(len(one.response_excerpt) <= 2_000 for one in exercise.exchanges)


@pytest.mark.parametrize(
    "report",
    [b"[]", b"{}", b'{"kind": "exercise", "is_whole": true}', b'{"kind": "other", "is_whole": true}'],
)
def test_foreign_output_is_refused(report: bytes) -> None:
    raw = RawOutput(
        streams={},
        total_bytes={},
        end="exited",
        exit_code=0,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )

    with pytest.raises(OutputUnreadable):
        read_exercise(with_report(raw, report))


def with_report(raw: RawOutput, report: bytes) -> RawOutput:
    """Return raw output with another report."""
    return replace(raw, streams={REPORT: report}, total_bytes={REPORT: len(report)})


@pytest.mark.parametrize(
    ("files", "first"),
    [
        ({"app.py": 'add("admin", hash_password("admin123"))'}, ("admin", "admin123", True)),
        ({"app.py": 'User(email="admin@a.example", hash=hash("tops9"))'}, ("admin@a.example", "tops9", True)),
        ({"app.py": 'PASSWORD = "changeme"\nadd("admin@a.example")'}, ("admin@a.example", "changeme", True)),
        ({"README.md": "Log in as `admin` / `admin123`."}, ("admin", "admin123", True)),
        ({"a.js": "add({ name: 'admin', password: hash('password123', 10) })"}, ("admin", "password123", True)),
        ({"app.py": 'add("demo", hash_password("demo"))'}, ("demo", "demo", False)),
    ],
)  # fmt: skip
def test_seeded_accounts_are_found_in_the_source(
    files: dict[str, str], first: tuple[str, str, bool], write_app: WriteApp, snapshot_of: TakeSnapshot
) -> None:
    account = find_seeded_accounts(snapshot_of(write_app(files)))[0]

    assert (account.name, account.password, account.is_admin) == first


def test_a_source_without_accounts_has_none(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    snapshot = snapshot_of(write_app({"app.py": 'role = "user"\nprint("Administrators only")\n'}))

    assert find_seeded_accounts(snapshot) == ()
