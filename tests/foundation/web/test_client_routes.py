"""Routes for telemetry clients: both addresses, status 400, and values as such clients send them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import Query
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.foundation.web.conftest import build_app, find_local_principal

from referee.core.errors import InvalidInput, NotFound
from referee.foundation.settings import load_settings
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.client_values import (
    JsonObject,
    Name,
    check_json,
    merge_query_lists,
    parse_query_value,
)

router = ClientRouter()


class Thing(BaseModel):
    """What is sent."""

    name: Name
    inputs: JsonObject = {}


@router.both("POST", "/things")
async def create_thing(body: Thing) -> dict[str, str]:
    if body.name == "refused":
        raise InvalidInput("thing.refused", "No such thing.", "Send another.")
    return {"name": body.name}


@router.both("GET", "/things")
async def list_things(
    ids: Annotated[list[str] | None, Query(alias="ids[]")] = None,
    plain_ids: Annotated[list[str] | None, Query(alias="ids", include_in_schema=False)] = None,
) -> list[str]:
    return merge_query_lists(ids, plain_ids, max_count=3)


@router.both("GET", "/things/{thing_id}")
async def get_thing(thing_id: str) -> dict[str, str]:
    raise NotFound("thing.not_found", "There is no such thing.")


@pytest.fixture
async def things(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(load_settings(home=tmp_path), find_local_principal=find_local_principal)
    app.include_router(router)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8765"
    ) as client:
        yield client


@pytest.mark.parametrize("path", ["/things", "/v1/things"])
async def test_route_is_there_with_and_without_v1(things: httpx.AsyncClient, path: str) -> None:
    answer = await things.post(path, json={"name": "a", "unknown": 1})
    assert (answer.status_code, answer.json()) == (200, {"name": "a"})
    problem = await things.post(path, json={"inputs": 3})
    assert problem.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": NaN}',
        b'{"name": "a", "inputs": {"x": NaN}}',
        b'{"name": "a", "inputs": {"x": 1e999}}',
        b'{"name": "a\\u0000"}',
        b'{"name": "a", "inputs": {"\\ud800": 1}}',
        b'{"name": "  "}',
        b'{"name": "' + b"x" * 201 + b'"}',
        b'{"name": "a", "inputs": ' + b'{"a":' * 300 + b"1" + b"}" * 301,
        b'{"name": "a", "inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"name": "a", "inputs": {"x": ' + b"9" * 5_000 + b"}}",
        b"\xff\xfe",
        b"",
        b'{"name": "refused"}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_what_cannot_be_taken_answers_400_with_a_message(
    things: httpx.AsyncClient, body: bytes
) -> None:
    answer = await things.post("/v1/things", content=body, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (400, 400)
    assert problem["message"]
    assert problem["errorCode"] == problem["code"]


async def test_message_names_the_fields(things: httpx.AsyncClient) -> None:
    problem = (await things.post("/things", json={"inputs": 3})).json()
    assert problem["message"] == (
        "The request has 2 mistakes. body /name: Field required. body /inputs: Input should be a valid dictionary."
    )


async def test_other_refusals_keep_their_status(things: httpx.AsyncClient) -> None:
    assert (await things.get("/v1/things/7")).status_code == 404
    assert (await things.post("/v1/examples", json={})).status_code == 422


async def test_description_names_400_and_the_older_address_as_deprecated(things: httpx.AsyncClient) -> None:
    described = (await things.get("/v1/openapi.json")).json()["paths"]
    older = described["/things"]["post"]
    assert (older["deprecated"], older["operationId"]) == (True, "thing_create_without_v1")
    assert "deprecated" not in described["/v1/things"]["post"]
    assert {"400", "422"} & described["/v1/things"]["post"]["responses"].keys() == {"400"}
    assert {"400", "422"} & described["/v1/examples"]["post"]["responses"].keys() == {"422"}


async def test_query_lists_come_in_brackets_or_without(things: httpx.AsyncClient) -> None:
    answer = await things.get("/v1/things?ids[]=a&ids[]=b&ids=b&ids=c")
    assert answer.json() == ["a", "b", "c"]
    assert (await things.get("/v1/things?ids=1&ids=2&ids=3&ids=4")).status_code == 400


@pytest.mark.parametrize(
    "text", ['{"$gte": "a", "n": [1, true, null]}', "{'$gte': 'a', 'n': [1, True, None]}"]
)
def test_query_value_is_json_or_a_python_literal(text: str) -> None:
    assert parse_query_value(text, "dateRange") == {"$gte": "a", "n": [1, True, None]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "__import__('os')",
        "{1: 2}",
        "(1, 2)",
        "b'x'",
        "NaN",
        "[" * 9_000,
        "{'a': 1" + " " * 70_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_query_value_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="dateRange"):
        parse_query_value(text, "dateRange")


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | STORABLE, st.lists))
def test_query_value_written_by_python_is_read_back(value: object) -> None:
    assert parse_query_value(repr(value), "filters") == check_json(value)
