from __future__ import annotations

from typing import Any

import httpx
import pytest


async def description_of(client: httpx.AsyncClient) -> dict[str, Any]:
    description: dict[str, Any] = (await client.get("/v1/openapi.json")).json()
    return description


async def test_a_list_tells_its_total_limit_and_next_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/examples", params={"filter": "tool:x", "limit": 2, "cursor": "here"})
    assert answer.json() == {
        "items": ["tool:x", "default", "here"],
        "total_count": 120,
        "limit": 2,
        "next_cursor": "following",
    }
    assert answer.headers["link"] == '</v1/examples?filter=tool%3Ax&limit=2&cursor=following>; rel="next"'


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
async def test_a_limit_outside_its_range_is_refused(client: httpx.AsyncClient, limit: str) -> None:
    assert (await client.get("/v1/examples", params={"limit": limit})).status_code == 422


async def test_a_filter_that_cannot_be_expressed_is_refused_with_its_position(
    client: httpx.AsyncClient,
) -> None:
    problem = (await client.get("/v1/examples", params={"filter": "x sevrity:high"})).json()
    assert (problem["status"], problem["context"]) == (
        422,
        {"position": 2, "length": 7, "suggestion": "severity"},
    )


@pytest.mark.parametrize(("sent", "key"), [("abc-1", "abc-1"), ('"abc-1"', "abc-1"), (None, None)])
async def test_an_idempotency_key_reaches_the_handler(
    client: httpx.AsyncClient, sent: str | None, key: str | None
) -> None:
    headers = {"Idempotency-Key": sent} if sent is not None else {}
    answer = await client.post("/v1/examples", json={"tools": [], "name": "x"}, headers=headers)
    assert answer.json()["key"] == key


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 256])
async def test_an_odd_idempotency_key_is_refused(client: httpx.AsyncClient, sent: str) -> None:
    answer = await client.post(
        "/v1/examples", json={"tools": [], "name": "x"}, headers={"Idempotency-Key": sent}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "request.idempotency_key_invalid")


async def test_operations_are_named_noun_first(client: httpx.AsyncClient) -> None:
    description = await description_of(client)
    names = {
        operation["operationId"] for path in description["paths"].values() for operation in path.values()
    }
    assert {"examples_list", "example_get", "example_create"} <= names


async def test_every_operation_documents_its_problems(client: httpx.AsyncClient) -> None:
    description = await description_of(client)
    assert description["openapi"] == "3.1.0"
    for path in description["paths"].values():
        for operation in path.values():
            for status in ("401", "403", "500", "503"):
                assert "application/problem+json" in answer_of(description, operation, status)["content"]


async def test_what_takes_something_documents_that_it_may_be_wrong(client: httpx.AsyncClient) -> None:
    description = await description_of(client)
    listing, creation = (description["paths"]["/v1/examples"][method] for method in ("get", "post"))
    assert {"422"} <= listing["responses"].keys() & {"413", "415", "422"} == {"422"}
    assert {"404", "409", "413", "415", "422", "429", "507"} <= creation["responses"].keys()


async def test_operations_say_which_keys_they_take(client: httpx.AsyncClient) -> None:
    description = await description_of(client)
    listing, creation = (description["paths"]["/v1/examples"][method] for method in ("get", "post"))
    assert listing["security"] == [{"project_key": ["read"]}]
    assert creation["security"] == [{"project_key": ["write"]}]
    assert {scheme["scheme"] for scheme in description["components"]["securitySchemes"].values()} == {
        "bearer"
    }


def answer_of(description: dict[str, Any], operation: dict[str, Any], status: str) -> dict[str, Any]:
    name = operation["responses"][status]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = description["components"]["responses"][name]
    return found


async def test_the_shell_is_not_part_of_the_described_api(client: httpx.AsyncClient) -> None:
    description = await description_of(client)
    assert [path for path in description["paths"] if path.startswith(("/-/", "/problems"))] == []
