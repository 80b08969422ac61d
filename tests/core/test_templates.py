"""Templates: what an app was asked to do, read from JSON that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.templates import parse_template

TEMPLATES = Path(__file__).parents[2] / "samples" / "templates"


def read(slug: str) -> dict[str, JsonValue]:
    """Return the document of a sample template."""
    document: dict[str, JsonValue] = json.loads((TEMPLATES / f"{slug}.json").read_text())
    return document


@pytest.mark.parametrize(
    ("slug", "requirements", "endpoints"), [("task-board", 14, 14), ("shop-orders", 14, 16)]
)
def test_sample_template_is_read_whole(slug: str, requirements: int, endpoints: int) -> None:
    template = parse_template(read(slug))

    told = template.backend_requirements + template.frontend_requirements + template.admin_requirements
    assert (template.slug, len(told), len(template.endpoints)) == (slug, requirements, endpoints)


def test_endpoints_of_administrators_come_last_and_are_marked() -> None:
    template = parse_template(read("task-board"))

    marks = [endpoint.is_admin for endpoint in template.endpoints]
    assert marks == sorted(marks)
    assert {endpoint.path.split("/")[2] for endpoint in template.endpoints if endpoint.is_admin} == {"admin"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"slug": "../etc"}, "slug"),
        ({"slug": None}, "slug"),
        ({"backend_requirements": "all of it"}, "backend_requirements"),
        ({"backend_requirements": ["x" * 5_000]}, "backend_requirements"),
        ({"backend_requirements": ["fine"] * 201}, "backend_requirements"),
        ({"api_endpoints": [{"method": "GET", "path": "http://elsewhere/"}]}, "path"),
        ({"api_endpoints": [{"method": "GET", "path": "/a b"}]}, "path"),
        ({"api_endpoints": [{"method": "STEAL", "path": "/a"}]}, "method"),
        ({"api_endpoints": ["GET /a"]}, "api_endpoints"),
        ({"name": "\0"}, "name"),
    ],
)
def test_malformed_template_is_refused_and_the_field_named(change: dict[str, JsonValue], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse_template({**read("task-board"), **change})


@pytest.mark.parametrize("document", [None, [], "template", 3])
def test_what_is_no_object_is_no_template(document: JsonValue) -> None:
    with pytest.raises(InvalidInput, match="not an object"):
        parse_template(document)
