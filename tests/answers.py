"""Holds every JSON answer that a test sees against the API's description.

Tests hang ``CheckedApp(app)`` between their client and the application. An
operation, a status, a media type or a shape that ``docs/reference/openapi.json``
does not know fails the test that met it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CheckedApp", "Contract", "check_response", "load_contract"]

DOCUMENT = Path(__file__).parents[1] / "docs" / "reference" / "openapi.json"
PROBLEM = "application/problem+json"
OUTSIDE = re.compile(
    r"/(?:|ui(?:/.*)?|problems(?:/.*)?|static/.*|shared/videos/.*|-/(?!metrics).*|v1/openapi\.json|analysis/list)"
)
"""Pages, static files and the description itself."""


@dataclass(frozen=True)
class Answer:
    """What a server sent."""

    method: str
    path: str
    status: int
    media_type: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path} answered {self.status} {self.media_type}: {self.body[:500]!r}"


class Contract:
    """An OpenAPI document that answers are held against."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        by_literals = sorted(document["paths"], key=lambda path: ("{" in path, path.count("{"), -len(path)))
        self._paths = [
            (re.compile(re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(path))), path) for path in by_literals
        ]
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def check(self, answer: Answer) -> None:
        """Fail when the document does not know such an answer."""
        paths = [path for pattern, path in self._paths if pattern.fullmatch(answer.path)]
        method = "get" if answer.method == "HEAD" else answer.method.lower()
        operation = next(
            (
                self._document["paths"][path][method]
                for path in paths
                if method in self._document["paths"][path]
            ),
            None,
        )
        if operation is None:
            assert answer.status in (404, 405, 401, 403), f"Undocumented operation: {answer}"
            assert answer.media_type == PROBLEM, f"Not a problem: {answer}"
            self._check_shape("#/components/schemas/Problem", answer)
            return
        described = operation["responses"].get(str(answer.status))
        assert described is not None, f"Undocumented status: {answer}"
        if "$ref" in described:
            described = self._document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        if answer.body or described.get("content"):
            self._check_content(described.get("content", {}), answer)

    def _check_content(self, content: Mapping[str, Any], answer: Answer) -> None:
        if answer.method == "HEAD":
            return
        assert answer.media_type in content, f"Undocumented media type: {answer}"
        schema = content[answer.media_type].get("schema", {})
        if not answer.media_type.endswith("json") or schema.get("format") == "binary":
            return
        if schema.keys() == {"$ref"}:
            self._check_shape(schema["$ref"], answer)
        else:
            self._validate(json.dumps(schema, sort_keys=True), schema, answer)

    def _check_shape(self, reference: str, answer: Answer) -> None:
        self._validate(reference, {"$ref": reference}, answer)

    def _validate(self, name: str, schema: Mapping[str, Any], answer: Answer) -> None:
        if name not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole)
        value = json.loads(answer.body)
        error = next(self._validators[name].iter_errors(value), None)
        assert error is None, f"Undocumented shape at {error.instance_path}: {error.message}. {answer}"


@cache
def load_contract() -> Contract:
    """Return the checked-in document; another test holds it equal to the one that the code makes."""
    return Contract(json.loads(DOCUMENT.read_text("utf-8")))


def check_response(response: httpx.Response) -> None:
    """Check an answer of a real server: an event hook of ``httpx.Client``."""
    if OUTSIDE.fullmatch(response.request.url.path):
        return
    response.read()
    media_type = response.headers.get("content-type", "").partition(";")[0]
    load_contract().check(
        Answer(
            response.request.method,
            response.request.url.path,
            response.status_code,
            media_type,
            response.content,
        )
    )


@dataclass(frozen=True)
class CheckedApp:
    """An application whose answers are checked as they leave it."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, then check what was answered."""
        if scope["type"] != "http" or OUTSIDE.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        status, headers, body = 0, dict[str, str](), bytearray()

        async def keep(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.update({name.decode().lower(): value.decode() for name, value in message["headers"]})
            body.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, keep)
        data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else bytes(body)
        media_type = headers.get("content-type", "").partition(";")[0]
        load_contract().check(Answer(scope["method"], scope["path"], status, media_type, data))
