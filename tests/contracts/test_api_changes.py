"""The present API keeps the promises of the released one, and a broken promise is noticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from scripts.api_changes import ACCEPTED, PRESENT, RELEASED, list_breaks, read_accepted, strip

Change = Callable[[dict[str, Any], dict[str, Any]], Any]
"""Given the present document's operation ``POST /things`` and its shapes."""


def thing(name: str, *required: str) -> dict[str, Any]:
    """Return a shape that holds itself."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {
            "id": {"type": "string", "maxLength": 9},
            "kind": {"enum": ["a", "b"], "type": "string"},
            "size": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
        },
    }


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/things": {
            "post": {
                "operationId": "thing_create",
                "security": [{"project_key": ["write"]}, {"ingestion_key": ["ingest"]}],
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 10}}
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingRequest"}}}
                },
                "responses": {
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
                    },
                    "404": {"description": "Gone."},
                },
            }
        }
    },
    "components": {
        "schemas": {"Thing": thing("Thing", "id", "kind"), "ThingRequest": thing("ThingRequest", "kind")}
    },
}
TYPE = {"type": "integer"}


def drop(place: dict[str, Any], name: str) -> None:
    del place[name]


BREAKS: list[tuple[str, Change]] = [
    (
        "POST /things: operation id thing_create is thing_make",
        lambda o, s: o.update(operationId="thing_make"),
    ),
    (
        'POST /things: no longer allowed with [{"ingestion_key": ["ingest"]}]',
        lambda o, s: o.update(security=[{"project_key": ["write"]}]),
    ),
    ("POST /things query limit: removed", lambda o, s: o.update(parameters=[])),
    ("POST /things query limit: now required", lambda o, s: o["parameters"][0].update(required=True)),
    (
        "POST /things query limit: maximum is 5, was 10",
        lambda o, s: o["parameters"][0].update(schema={"type": "integer", "maximum": 5}),
    ),
    (
        "POST /things query q: new and required",
        lambda o, s: o["parameters"].append({"in": "query", "name": "q", "required": True}),
    ),
    ("POST /things body: removed", lambda o, s: drop(o, "requestBody")),
    ("POST /things body: now required", lambda o, s: o["requestBody"].update(required=True)),
    (
        "POST /things body: no longer application/json",
        lambda o, s: o["requestBody"].update(content={"text/csv": {}}),
    ),
    (
        "POST /things: no longer answers 200",
        lambda o, s: drop(o["responses"], "200"),
    ),
    (
        "POST /things 200: no longer application/json",
        lambda o, s: o["responses"]["200"].update(content={"text/csv": {}}),
    ),
    ("POST /things 200.size: removed", lambda o, s: drop(s["Thing"]["properties"], "size")),
    ("POST /things 200.id: may now be absent", lambda o, s: s["Thing"].update(required=["kind"])),
    (
        "POST /things 200.id: type widened from string to integer",
        lambda o, s: s["Thing"]["properties"].update(id=TYPE),
    ),
    (
        "POST /things 200.kind: values widened",
        lambda o, s: s["Thing"]["properties"]["kind"]["enum"].append("c"),
    ),
    (
        "POST /things 200.size: may now be string",
        lambda o, s: s["Thing"]["properties"]["size"]["anyOf"].append({"type": "string"}),
    ),
    (
        "POST /things 200.parts[]: type widened from object to string",
        lambda o, s: s["Thing"]["properties"]["parts"].update(items={"type": "string"}),
    ),
    (
        "POST /things body.kind: values narrowed",
        lambda o, s: s["ThingRequest"]["properties"]["kind"]["enum"].pop(),
    ),
    (
        "POST /things body.id: maxLength is 3, was 9",
        lambda o, s: s["ThingRequest"]["properties"]["id"].update(maxLength=3),
    ),
    (
        "POST /things body.id: pattern is a+, was none",
        lambda o, s: s["ThingRequest"]["properties"]["id"].update(pattern="a+"),
    ),
    ("POST /things body.id: now required", lambda o, s: s["ThingRequest"].update(required=["kind", "id"])),
    ("POST /things body.size: removed", lambda o, s: drop(s["ThingRequest"]["properties"], "size")),
    (
        "POST /things body.new: new and required",
        lambda o, s: s["ThingRequest"].update(required=["kind", "new"]),
    ),
    (
        "POST /things body.size: no longer takes null",
        lambda o, s: s["ThingRequest"]["properties"]["size"]["anyOf"].pop(),
    ),
]

KEPT: list[Change] = [
    lambda o, s: o["responses"].update({"409": {"description": "No."}}),
    lambda o, s: drop(o["responses"], "404"),
    lambda o, s: o["parameters"].append({"in": "query", "name": "q"}),
    lambda o, s: o["security"].append({"data_plane_key": ["charts_read"]}),
    lambda o, s: s["Thing"]["properties"].update(new={"type": "string"}),
    lambda o, s: s["Thing"]["properties"]["kind"]["enum"].pop(),
    lambda o, s: s["Thing"]["properties"]["size"]["anyOf"].pop(),
    lambda o, s: s["ThingRequest"]["properties"]["kind"]["enum"].append("c"),
    lambda o, s: s["ThingRequest"]["properties"]["id"].update(maxLength=90),
    lambda o, s: s["ThingRequest"].update(required=[]),
    lambda o, s: s["ThingRequest"]["properties"].update(new={"type": "string"}),
    lambda o, s: s["Thing"].update(description="Words."),
]


def change(by: Change) -> dict[str, Any]:
    changed = copy.deepcopy(DOCUMENT)
    by(changed["paths"]["/things"]["post"], changed["components"]["schemas"])
    return changed


@pytest.mark.parametrize(("said", "by"), BREAKS, ids=[said for said, _ in BREAKS])
def test_a_broken_promise_is_named(said: str, by: Change) -> None:
    assert list_breaks(DOCUMENT, change(by)) == [said]


@pytest.mark.parametrize("by", KEPT)
def test_what_only_adds_breaks_nothing(by: Change) -> None:
    assert list_breaks(DOCUMENT, change(by)) == []


def test_a_removed_operation_is_named() -> None:
    assert list_breaks(DOCUMENT, {**DOCUMENT, "paths": {}}) == ["POST /things: removed"]


def test_prose_is_no_promise_and_members_called_like_it_are() -> None:
    node = {"title": "T", "properties": {"title": {"type": "string", "description": "D"}, "tags": {}}}
    assert strip(node) == {"properties": {"title": {"type": "string"}, "tags": {}}}


def test_every_promise_of_the_release_is_kept_or_its_break_accepted() -> None:
    breaks = list_breaks(json.loads(RELEASED.read_text("utf-8")), json.loads(PRESENT.read_text("utf-8")))
    accepted = read_accepted(ACCEPTED.read_text("utf-8"))
    assert [one for one in breaks if one not in accepted] == [], (
        "docs/reference/api-changes.md says what to do."
    )
    assert [one for one in accepted if one not in breaks] == [], "Accepted, and nothing breaks it."


def test_accepted_breaks_carry_a_reason() -> None:
    assert read_accepted("- `GET /a: removed`: nobody used it.\n- `GET /b: removed`:\n") == [
        "GET /a: removed"
    ]
