"""What an app was asked to do: its template, read from JSON.

A template names requirements for backend, frontend and administrators, the
endpoints that must exist with the shapes of their bodies, and the data model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue

__all__ = ["Endpoint", "Template", "parse_template"]

_SLUG: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,79}$")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_MAX_REQUIREMENTS: Final = 200
_MAX_ENDPOINTS: Final = 500
_MAX_TEXT_CHARACTERS: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route that the app must answer."""

    method: str
    """Upper case, such as ``POST``."""
    path: str
    """Begins with ``/``; parameters are written ``:id``."""
    description: str
    request: JsonValue
    """Example of the body by field → type word (``string integer number boolean``), or None."""
    response: JsonValue
    is_admin: bool
    """Whether only administrators may use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The requirements an app was asked to meet."""

    slug: str
    name: str
    category: str
    description: str
    backend_requirements: tuple[str, ...]
    frontend_requirements: tuple[str, ...]
    admin_requirements: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    """Those of everybody, then those of administrators."""
    data_model: JsonValue = None


def parse_template(document: JsonValue) -> Template:
    """Return the template that a JSON document describes.

    Fields as in ``samples/templates``; unknown ones are allowed and kept nowhere.

    Raises:
        InvalidInput: A field is missing, of the wrong type or over a limit; the message names it.
    """
    if not isinstance(document, dict):
        raise _invalid("it is not an object")
    slug = _text(document, "slug")
    if not _SLUG.match(slug):
        raise _invalid("slug is not of lower-case letters, digits, dashes and underscores")
    endpoints = (
        *_endpoints(document, "api_endpoints", is_admin=False),
        *_endpoints(document, "control_endpoints", is_admin=False),
        *_endpoints(document, "admin_api_endpoints", is_admin=True),
    )
    return Template(
        slug=slug,
        name=_text(document, "name", default=slug),
        category=_text(document, "category", default=""),
        description=_text(document, "description", default=""),
        backend_requirements=_texts(document, "backend_requirements"),
        frontend_requirements=_texts(document, "frontend_requirements"),
        admin_requirements=_texts(document, "admin_requirements"),
        endpoints=endpoints,
        data_model=document.get("data_model"),
    )


def _endpoints(document: dict[str, JsonValue], field: str, *, is_admin: bool) -> tuple[Endpoint, ...]:
    found = []
    for number, entry in enumerate(_list(document, field, _MAX_ENDPOINTS)):
        if not isinstance(entry, dict):
            raise _invalid(f"{field}[{number}] is not an object")
        method, path = _text(entry, "method").upper(), _text(entry, "path")
        if method not in _METHODS:
            raise _invalid(f"{field}[{number}] has the unknown method {method[:20]!r}")
        if not path.startswith("/") or any(ord(letter) <= 32 for letter in path):
            raise _invalid(f"{field}[{number}] has a path that does not begin with a slash or holds spaces")
        found.append(
            Endpoint(
                method=method,
                path=path,
                description=_text(entry, "description", default=""),
                request=entry.get("request"),
                response=entry.get("response"),
                is_admin=is_admin,
            )
        )
    return tuple(found)


def _text(values: dict[str, JsonValue], field: str, *, default: str | None = None) -> str:
    value = values.get(field, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT_CHARACTERS or "\0" in value:
        raise _invalid(f"{field} is missing or not a text of at most {_MAX_TEXT_CHARACTERS:,} characters")
    return value


def _texts(values: dict[str, JsonValue], field: str) -> tuple[str, ...]:
    entries = _list(values, field, _MAX_REQUIREMENTS)
    return tuple(_text({field: entry}, field) for entry in entries)


def _list(values: dict[str, JsonValue], field: str, limit: int) -> list[JsonValue]:
    entries = values.get(field)
    if entries is None:
        return []
    if not isinstance(entries, list) or len(entries) > limit:
        raise _invalid(f"{field} is not a list of at most {limit} entries")
    return entries


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(
        "template.invalid",
        f"The template cannot be used: {what}.",
        "Compare it with the templates in samples/templates.",
    )
