"""The catalogue of models: lists of every kind are taken over, what is wrong in them is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.apps import ModelEntry, get_model, import_models, list_models
from referee.apps.catalogue import MODEL_FIELDS, make_model_slug
from referee.apps.importing_models import fetch_model_list, read_model_list
from referee.core.errors import InvalidInput, NotFound, Unavailable
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.store import Database
from referee.foundation.web.filters import parse_filter

WITH_PRICES = {
    "data": [
        {
            "id": "maker/pico:free",
            "name": "Maker: Pico",
            "context_length": 131_072,
            "pricing": {"prompt": "0.0000005", "completion": "0.0000015"},
        },
        {"id": "router/auto", "pricing": {"prompt": "-1", "completion": "-1"}, "context_length": None},
    ]
}
OWN = OutgoingGuard(("127.0.0.1",))
PLAIN = {"object": "list", "data": [{"id": "pico-7b", "object": "model", "owned_by": "me"}]}


def test_list_with_prices_is_read_for_a_million_tokens() -> None:
    entries, kind, problems = read_model_list(json.dumps(WITH_PRICES).encode())
    assert (kind, problems) == ("openrouter", [])
    assert entries == [
        ModelEntry(
            model_name="maker/pico:free",
            slug="maker_pico-free",
            name="Maker: Pico",
            provider="maker",
            input_usd_per_mtok=0.5,
            output_usd_per_mtok=1.5,
            context_tokens=131_072,
        ),
        ModelEntry(model_name="router/auto", slug="router_auto", provider="router"),
    ]


def test_plain_list_has_names_only() -> None:
    entries, kind, _ = read_model_list(json.dumps(PLAIN).encode())
    assert (kind, entries) == ("openai", [ModelEntry(model_name="pico-7b", slug="pico-7b", provider="me")])


def test_csv_is_read_by_the_names_of_its_columns() -> None:
    text = (
        "\ufeffProvider,model_name,slug,input_usd_per_mtok,output_usd_per_mtok,context_tokens,note\n"
        "Me,a/b,,1,2.5,8000,x\n"
    )
    entries, kind, problems = read_model_list(text.encode(), is_csv=True)
    assert (kind, problems) == ("csv", [])
    assert entries == [
        ModelEntry(
            model_name="a/b",
            slug="a_b",
            provider="Me",
            input_usd_per_mtok=1.0,
            output_usd_per_mtok=2.5,
            context_tokens=8000,
        )
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (",1,2", "Line 2 is left out"),
        ("a/../../b,x,2", "Line 2, a/../../b: its input of 'x' is no number"),
        ("a,-3,2", "Line 2, a: its input of '-3' is no number"),
        ("a,nan,2", "Line 2, a: its input of 'nan' is no number"),
        ("...,1,2", "Line 2 is left out"),
    ],
)
def test_entry_that_cannot_be_used_is_told(line: str, problem: str) -> None:
    _, _, problems = read_model_list(
        f"model_name,input_usd_per_mtok,output_usd_per_mtok\n{line}\n".encode(), is_csv=True
    )
    assert problems[0].startswith(problem)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b'{"data": 3}', b"\xff\xfe", b"x" * 16_000_001])
def test_what_is_no_list_is_one_clear_sentence(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="The list of models cannot be used"):
        read_model_list(data)


@given(st.text(max_size=300))
def test_every_slug_is_the_name_of_a_plain_folder(name: str) -> None:
    slug = make_model_slug(name)
    assert make_model_slug(slug) == slug
    assert len(slug) <= 120
    assert "/" not in slug
    assert not slug.startswith(".")


async def test_later_list_changes_what_it_says_and_keeps_the_rest(
    database: Database, project_id: UUID
) -> None:
    priced, _, _ = read_model_list(json.dumps(WITH_PRICES).encode())
    named = [ModelEntry(model_name="maker/pico:free", slug="maker_pico-free", provider="Renamed")]
    async with database.transaction() as session:
        first = await import_models(session, project_id, priced, source="openrouter")
        again = await import_models(session, project_id, priced, source="openrouter")
        later = await import_models(session, project_id, named, source="openai")
        model = await get_model(session, project_id, "maker/pico:free")

    counts = [(one.created_count, one.updated_count, one.unchanged_count) for one in (first, again, later)]
    assert counts == [(2, 0, 0), (0, 0, 2), (0, 1, 0)]
    assert (model.slug, model.provider, model.input_usd_per_mtok) == ("maker_pico-free", "Renamed", 0.5)


async def test_two_models_never_share_a_slug(database: Database, project_id: UUID) -> None:
    async with database.transaction() as session:
        await import_models(session, project_id, [ModelEntry(model_name="a/b", slug="a_b")], source="csv")
        other = await import_models(
            session, project_id, [ModelEntry(model_name="a_b", slug="a_b")], source="csv"
        )
        model = await get_model(session, project_id, "a_b")

    assert (other.created_count, other.updated_count, other.problems) == (
        0,
        0,
        ("a_b is left out: a/b has the slug a_b.",),
    )
    assert model.model_name == "a/b"


async def test_models_are_paged_and_filtered(database: Database, project_id: UUID) -> None:
    entries = [
        ModelEntry(model_name=f"m{number}", slug=f"m{number}", output_usd_per_mtok=number)
        for number in range(5)
    ]
    async with database.transaction() as session:
        await import_models(session, project_id, entries, source="csv")
        first = await list_models(session, project_id, limit=3)
        second = await list_models(session, project_id, limit=3, cursor=first.next_cursor)
        cheap = await list_models(session, project_id, where=parse_filter("output:<2", MODEL_FIELDS))
        with pytest.raises(NotFound):
            await get_model(session, UUID(int=1), "m1")

    assert [model.slug for model in (*first.items, *second.items)] == ["m0", "m1", "m2", "m3", "m4"]
    assert [model.slug for model in cheap.items] == ["m0", "m1"]


@contextmanager
def serve(status: int, body: bytes) -> Iterator[tuple[str, list[str | None]]]:
    """Serve one answer, and keep the keys that were sent."""
    keys: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("authorization"))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/models", keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_list_is_fetched_with_the_key() -> None:
    with serve(200, json.dumps(PLAIN).encode()) as (url, keys):
        data = await fetch_model_list(url, OWN, "sk-planted")

    assert (json.loads(data), keys) == (PLAIN, ["Bearer sk-planted"])


async def test_server_that_refuses_or_is_not_there_is_told() -> None:
    with serve(401, b"no") as (url, _), pytest.raises(Unavailable, match="answered 401"):
        await fetch_model_list(url, OWN)
    with pytest.raises(Unavailable, match="cannot be fetched"):
        await fetch_model_list("http://127.0.0.1:1/v1/models", OWN)
    with pytest.raises(InvalidInput, match="another scheme"):
        await fetch_model_list("file:///etc/passwd", OWN)
