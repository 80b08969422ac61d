from __future__ import annotations

from uuid import UUID

import httpx
import pytest
from jsonschema import Draft202012Validator

HTML = {"Accept": "text/html"}


async def test_an_explained_error_becomes_problem_details(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/examples/7", headers={"X-Request-ID": "request-0007"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/example.not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such example.",
        "hint": "List them first.",
        "code": "example.not_found",
        "instance": "/v1/examples/7",
        "request_id": "request-0007",
        "context": {"example_id": str(UUID(int=1))},
        "message": "There is no such example. List them first.",
        "errorCode": "example.not_found",
    }


async def test_a_body_with_mistakes_names_each_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/examples", json={"tools": [1, "x"], "name": "too long"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["detail"]) == (
        422,
        "request.invalid",
        "The request has 2 mistakes.",
    )
    assert [(error["location"], error["path"]) for error in problem["errors"]] == [
        ("body", "/tools/1"),
        ("body", "/name"),
    ]


async def test_what_a_field_held_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/examples", json={"tools": "hunter2", "name": "x"})
    assert "hunter2" not in answer.text


async def test_ten_thousand_wrong_rows_are_counted_and_not_listed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/examples", json={"tools": ["x"] * 10_000, "name": "x"})
    problem = answer.json()
    assert (len(problem["errors"]), problem["context"]) == (50, {"errors_count": 10_000})


async def test_a_body_that_is_no_json_is_explained(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/examples", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")


async def test_an_unknown_address_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "request.not_found")


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/examples/full")
    assert (answer.status_code, answer.json()["code"]) == (405, "request.method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_a_body_of_another_kind_is_told_apart_from_a_wrong_one(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/v1/examples", content=body, headers={"Content-Type": kind})
        for body, kind in (
            (b'{"tools": []}', "text/plain"),
            (b'{"tools": []}', "application/x-www-form-urlencoded"),
            (b"[" * 100_000, "application/json"),
            (b"{", "application/json"),
            (b"{}", "application/problem+json; charset=utf-8"),
        )
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (415, "request.media_type_unknown"),
        (415, "request.media_type_unknown"),
        (422, "request.body_unreadable"),
        (422, "request.invalid"),
        (422, "request.invalid"),
    ]
    (fault,) = answers[3].json()["errors"]
    assert fault["message"].startswith("No JSON from character 1 on: Expecting property name")
    assert fault["path"] == ""


async def test_the_unforeseen_shows_a_request_id_and_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/broken")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (500, "internal.unexpected")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert [word for word in ("hunter2", "RuntimeError", "Traceback") if word in answer.text] == []
    assert "content-security-policy" in answer.headers


async def test_a_retry_time_is_sent_as_a_header(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/examples/full")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


async def test_people_get_a_page_for_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ui/broken", headers=HTML)
    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    for text in (
        "It is already running.",
        "Wait for it.",
        "example.conflict",
        answer.headers["x-request-id"],
    ):
        assert text in answer.text


async def test_background_requests_of_a_page_get_problem_details(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ui/broken", headers=HTML | {"HX-Request": "true"})
    assert answer.json()["code"] == "example.conflict"


async def test_the_type_of_a_problem_can_be_opened(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problems/request.body_too_large")
    assert answer.status_code == 200
    assert "The body has more bytes" in answer.text


async def test_a_code_without_longer_explanation_still_has_a_page(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problems/analysis.not_found")).status_code == 200


async def test_what_is_no_code_has_no_page(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problems/<script>")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/examples/7", "/v1/nothing", "/v1/broken"])
async def test_every_problem_fits_its_documented_schema(client: httpx.AsyncClient, path: str) -> None:
    description = (await client.get("/v1/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/Problem", "components": description["components"]}
    Draft202012Validator(schema).validate((await client.get(path)).json())
