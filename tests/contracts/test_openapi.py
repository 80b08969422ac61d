"""The API's description keeps our rules, names every address that clients know, and breaks no promise."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from scripts.generate_reference import list_older_addresses, list_operations, open_api

from referee.api_examples import API_EXAMPLES

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "openapi.json").read_text("utf-8"))
"""``test_docs`` holds it equal to what the code makes."""
OPERATIONS = list(list_operations(DOCUMENT))
PROBLEM = "application/problem+json"

CLIENT_NOUNS = """
GET POST /configurations
GET PUT DELETE /configurations/{id}
GET POST /datapoints
POST /datapoints/batch
GET PUT DELETE /datapoints/{id}
GET POST PUT DELETE /datasets
GET PUT DELETE /datasets/{id}
GET POST /datasets/{id}/datapoints
DELETE /datasets/{id}/{datapoint_id}
DELETE /datasets/{id}/datapoints/{datapoint_id}
POST /events/batch
POST /events/export
POST /events/search
GET /events/schema
GET DELETE /events/{id}
GET POST PUT DELETE /metrics
PUT DELETE /metrics/{id}
POST /metrics/run
POST /metrics/run_metric
GET POST PUT DELETE /projects
GET /projects/{id}
GET POST /runs
GET PUT DELETE /runs/{id}
GET /runs/{id}/result
GET /runs/{id}/summary
GET /runs/{id}/metrics
GET /runs/{id}/schema
GET /runs/schema
GET /runs/compare/events
GET /runs/{new}/compare-with/{old}
GET /runs/{new}/compare/{old}
GET /runs/{new}/compare/{old}/events
GET DELETE /sessions/{id}
GET POST PUT DELETE /tools
GET DELETE /tools/{id}
"""
"""Operations of telemetry clients that are there with ``/v1`` and, for older ones, without it."""

CLIENT_ADDRESSES = """
POST /session/start
GET DELETE /session/{id}
POST /session/{id}/traces
POST PUT /events
POST /events/model
POST /events/model/batch
POST /v1/sessions
POST /v1/sessions/{id}/events/batch
POST /v1/events
PUT /v1/events/{id}
POST /v1/traces
POST /opentelemetry/v1/traces
GET POST /v1/metrics/{id}/versions
POST /v1/metrics/{id}/versions/{name}/deploy
GET POST /v1/charts
GET PUT DELETE /v1/charts/{id}
GET POST /v1/projects/{project}/charts
GET PATCH DELETE /v1/projects/{project}/charts/{id}
GET POST /v1/queues
GET PUT DELETE /v1/queues/{id}
POST /v1/projects/{project}/ingestion_api_keys
POST /v1/projects/{project}/fine_grained_api_keys
"""


def list_addresses(table: str, prefixes: tuple[str, ...] = ("",)) -> Iterator[tuple[str, str]]:
    for line in table.strip().splitlines():
        *methods, path = line.split()
        yield from ((method.lower(), prefix + path) for method in methods for prefix in prefixes)


def shape(path: str) -> str:
    """Return a path with its parameters unnamed."""
    return re.sub(r"\{[^}]+\}", "{}", path)


def resolve(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


@pytest.mark.parametrize(
    ("method", "path"), [*list_addresses(CLIENT_NOUNS, ("", "/v1")), *list_addresses(CLIENT_ADDRESSES)]
)
def test_every_address_that_clients_know_is_served(method: str, path: str) -> None:
    assert (method, shape(path)) in {(one, shape(other)) for one, other, _ in OPERATIONS}


def test_older_addresses_belong_to_an_operation_of_today() -> None:
    today = {(method, path) for method, path, operation in OPERATIONS if not operation.get("deprecated")}
    assert list_older_addresses(DOCUMENT).keys() - today == set()


def test_every_route_but_pages_is_described() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert [path for path in DOCUMENT["paths"] if path.startswith(("/ui", "/problems", "/static"))] == []
    assert open_api()["paths"].keys() == DOCUMENT["paths"].keys(), "Run make docs."


def test_ids_of_operations_are_unique_words() -> None:
    counts = Counter(operation["operationId"] for _, _, operation in OPERATIONS)
    assert [name for name, count in counts.items() if count > 1] == []
    assert [name for name in counts if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []


def test_every_group_of_operations_is_told_about_and_used() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"].endswith(".")}
    assert described == {tag for _, _, operation in OPERATIONS for tag in operation["tags"]}


def test_every_reference_leads_somewhere_and_every_shape_is_used() -> None:
    references = {node["$ref"] for node in walk(DOCUMENT) if isinstance(node.get("$ref"), str)}
    for reference in references:
        assert resolve({"$ref": reference}) is not None
    names = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert names - references == set()


def test_operation_is_told_about() -> None:
    for method, path, operation in OPERATIONS:
        place = f"{method} {path}"
        assert operation["summary"], place
        assert operation["description"].strip().endswith("."), place
        assert [one["name"] for one in operation.get("parameters", ()) if not one.get("description")] == [], (
            place
        )
        assert len(operation["tags"]) == 1, place


def test_operation_says_who_may() -> None:
    for method, path, operation in OPERATIONS:
        place = f"{method} {path}"
        schemes = DOCUMENT["components"]["securitySchemes"]
        needed = operation["security"]
        assert bool(needed) == (path not in ("/health", "/ready", "/v1/video-uploads")), place
        assert {name for one in needed for name in one} <= schemes.keys(), place
        assert "403" in operation["responses"], place
        assert ("401" in operation["responses"]) == bool(needed), place


def test_operation_names_its_problems() -> None:
    for method, path, operation in OPERATIONS:
        place = f"{method} {path}"
        responses = {status: resolve(one) for status, one in operation["responses"].items()}
        refusals = {status for status in responses if status[0] in "45"}
        odd = {status for status in refusals if PROBLEM not in responses[status]["content"]}
        assert odd <= ({"503"} if path in ("/health", "/ready") else set()), place
        assert {"500", "503"} <= refusals, place
        assert len({"400", "422"} & refusals) <= 1, place
        assert "404" in refusals or "{" not in path, place
        if "requestBody" in operation:
            assert {"413", "415"} <= refusals, place
            assert {"400", "422"} & refusals, place


def test_operation_says_what_it_answers() -> None:
    for method, path, operation in OPERATIONS:
        place = f"{method} {path}"
        good = {status: one for status, one in operation["responses"].items() if status.startswith("2")}
        assert good, place
        for status, response in good.items():
            assert response["description"], place
            assert bool(response.get("content")) == (status != "204"), place
            for content in response.get("content", {}).values():
                assert content["schema"], place


def list_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            yield name, schema, example
        for member, inner in schema.get("properties", {}).items():
            for example in inner.get("examples", ()):
                yield f"{name}.{member}", inner, example
    for _, _, operation in OPERATIONS:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "example" in content:
                yield f"body of {operation['operationId']}", content["schema"], content["example"]


def test_every_example_has_the_shape_that_it_is_an_example_of() -> None:
    wrong = []
    for name, schema, example in list_examples():
        whole = {**schema, "components": DOCUMENT["components"]}
        error = next(jsonschema_rs.Draft202012Validator(whole).iter_errors(example), None)
        if error is not None:
            wrong.append(f"{name}: {error.message}")
    assert wrong == []


def test_every_body_with_an_example_is_one_that_its_operation_takes() -> None:
    shown = {operation["operationId"] for _, _, operation in OPERATIONS}
    assert API_EXAMPLES.keys() - shown == set()
    bodies = {name for name, _, _ in list_examples()}
    assert {f"body of {name}" for name in API_EXAMPLES} <= bodies
