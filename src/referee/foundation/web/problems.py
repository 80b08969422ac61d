"""Every error as problem details (RFC 9457), or as a page where a person looks.

``RefereeError`` carries its own status, sentence and hint; validation errors
of FastAPI get a list of fields; whatever nobody foresaw becomes a 500 that
shows nothing of the inside besides the request id.

Source:
    RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field, computed_field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from referee.core.errors import InvalidInput, RefereeError, Unauthorized, UnsupportedMediaType
from referee.core.findings import JsonValue
from referee.foundation.web.client_routes import ClientRoute
from referee.foundation.web.problem_catalogue import problem_url
from referee.foundation.web.rendering import render_page

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "FieldError",
    "Problem",
    "add_problem_handlers",
    "answer_problem",
    "build_problem",
]

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_FIELD_ERRORS = 50
"""A body of a million wrong rows needs no million messages."""
MAX_FIELDS_SAID = 3
"""Fields that the one-line message names."""

CLIENT_INVALID_STATUS = 400
"""Of input that a client's route refuses."""

_PAGE_PREFIXES = ("/ui", "/shared", "/-/patterns", "/problems")
_HTTP_CODES: Mapping[int, tuple[str, str, str]] = {
    404: ("request.not_found", "Not found", "No page or operation has this address."),
    405: ("request.method_not_allowed", "Method not allowed", "This address does not take that method."),
}


_HTTP_HINTS: Mapping[int, str] = {
    404: "GET /v1/openapi.json names every operation.",
    405: "The header Allow names the methods that it takes.",
}
_UNREADABLE_STATUS = 400
"""Of the framework, for a body that is nested too deep, or whose parts do not end."""
_UNREADABLE_BODY = (
    "The body cannot be read.",
    "Send it in the documented form, whole and not nested too deep.",
)
_WRONG_MEDIA_TYPE = UnsupportedMediaType(
    "request.media_type_unknown",
    "The body does not say that it is JSON.",
    "Send JSON with the header 'Content-Type: application/json'.",
)


class FieldError(BaseModel):
    """What is wrong with one field."""

    location: str = Field(description="Where the field is: body, query, path, header or cookie.")
    path: str = Field(description="JSON Pointer to the field inside that place.", examples=["/tools/0"])
    message: str = Field(description="One sentence: what was expected.")
    code: str = Field(description="Stable name of the rule that was broken.")


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(
        description="Address that explains the problem.", examples=["/problems/analysis.not_found"]
    )
    title: str = Field(description="The kind of problem, the same for every problem of one status.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One sentence: what happened.")
    hint: str = Field(default="", description="One sentence: what to do.")
    code: str = Field(description="Dotted, stable name for programs.", examples=["analysis.not_found"])
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="Finds this request in the server's log.")
    errors: list[FieldError] | None = Field(default=None, description="Each wrong field, for invalid input.")
    context: dict[str, Any] = Field(default_factory=dict, description="Values that help, such as the limit.")

    @computed_field(description="The sentences in one, for clients that show only this.")  # type: ignore[prop-decorator]  # as documented
    @property
    def message(self) -> str:
        """What happened, what is wrong with the first fields, and what to do."""
        places = [
            f"{error.location} {error.path}: {error.message}" if error.path else error.message
            for error in (self.errors or [])[:MAX_FIELDS_SAID]
        ]
        return " ".join(filter(None, (self.detail, *places, self.hint if not places else "")))

    @computed_field(description="The same as code, under the name that some clients read.")  # type: ignore[prop-decorator]
    @property
    def errorCode(self) -> str:
        """The dotted name."""
        return self.code


@dataclass(frozen=True, slots=True)
class _Place:
    """Which request failed."""

    instance: str
    request_id: str


def build_problem(request: Request, error: Exception) -> Problem:
    """Return what may be told about ``error``, with the status that clients of its route understand."""
    problem = _describe(request, error)
    if problem.status == InvalidInput.status and isinstance(request.scope.get("route"), ClientRoute):
        return problem.model_copy(update={"status": CLIENT_INVALID_STATUS})
    return problem


def _describe(request: Request, error: Exception) -> Problem:
    place = _Place(instance=request.url.path, request_id=getattr(request.state, "request_id", ""))
    if isinstance(error, RefereeError):
        return Problem(
            type=problem_url(error.code),
            title=error.title,
            status=error.status,
            detail=error.message,
            hint=error.hint,
            code=error.code,
            context={name: _to_json(value) for name, value in error.context.items()},
            instance=place.instance,
            request_id=place.request_id,
        )
    if isinstance(error, RequestValidationError):
        if _is_other_media_type(request, error):
            return _describe(request, _WRONG_MEDIA_TYPE)
        return _build_validation_problem(error.errors(), place)
    if isinstance(error, HTTPException) and error.status_code == _UNREADABLE_STATUS:
        return _describe(request, InvalidInput("request.body_unreadable", *_UNREADABLE_BODY))
    if isinstance(error, HTTPException):
        fallback = (f"request.http_{error.status_code}", "Request refused", str(error.detail))
        code, title, detail = _HTTP_CODES.get(error.status_code, fallback)
        return Problem(
            type=problem_url(code),
            title=title,
            status=error.status_code,
            detail=detail,
            hint=_HTTP_HINTS.get(error.status_code, ""),
            code=code,
            instance=place.instance,
            request_id=place.request_id,
        )
    return Problem(
        type=problem_url("internal.unexpected"),
        title=RefereeError.title,
        status=500,
        detail="Something failed inside Referee.",
        hint=f"Look for the request id {place.request_id} in the server's log.",
        code="internal.unexpected",
        instance=place.instance,
        request_id=place.request_id,
    )


async def answer_problem(request: Request, error: Exception) -> Response:
    """Return the answer to a failed request: a page for people, problem details for programs."""
    problem = build_problem(request, error)
    wants_page = _wants_page(request)
    if wants_page and isinstance(error, Unauthorized) and request.method == "GET":
        login = request.url.replace(scheme="", netloc="", path="/ui/login", query="")
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(str(login.include_query_params(next=target)), status_code=303)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "Allow" in headers:
        headers["Allow"] = _list_methods(request)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RefereeError) and "retry_after_s" in error.context:
        headers["Retry-After"] = str(error.context["retry_after_s"])
    if wants_page:
        parts = {
            "problem": problem,
            "form_url": _find_form(request),
            "is_repeatable": request.method in ("GET", "HEAD"),
        }
        response: Response = await render_page(
            request, "problem.html", parts, title=problem.title, status=problem.status
        )
    else:
        response = JSONResponse(
            problem.model_dump(mode="json", exclude_none=True), problem.status, media_type=PROBLEM_MEDIA_TYPE
        )
    response.headers.update(headers)
    return response


def _find_form(request: Request) -> str | None:
    """Return our page that a change was asked for on; None when it was no change, or nobody says where."""
    if request.method in ("GET", "HEAD"):
        return None
    came_from = urlsplit(request.headers.get("referer", ""))
    if came_from.netloc != request.headers.get("host") or not came_from.path.startswith("/ui/"):
        return None
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")


def _list_methods(request: Request) -> str:
    """Return every method that the address takes: the router knows only those of the first route."""
    path = request.scope["path"]
    methods = {
        method
        for route in iter_route_contexts(request.app.routes)
        if getattr(route, "path_regex", None) is not None and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return ", ".join(sorted(methods))


def _is_other_media_type(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was refused because it was not read as JSON at all."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    return isinstance(error.body, bytes) and not is_json


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with problem details."""
    for kind in (RefereeError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer_problem)


def _build_validation_problem(errors: Sequence[Any], place: _Place) -> Problem:
    count = len(errors)
    return Problem(
        type=problem_url("request.invalid"),
        title="Invalid input",
        status=422,
        detail=f"The request has {count} mistake{'' if count == 1 else 's'}.",
        hint="The list of errors names each field and what was expected.",
        code="request.invalid",
        errors=[_build_field_error(error) for error in errors[:MAX_FIELD_ERRORS]],
        context={"errors_count": count} if count > MAX_FIELD_ERRORS else {},
        instance=place.instance,
        request_id=place.request_id,
    )


def _build_field_error(error: Mapping[str, Any]) -> FieldError:
    if error.get("type") == "json_invalid":
        return _build_json_error(error)
    location, *path = [str(part) for part in error.get("loc", ("body",))] or ["body"]
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return FieldError(
        location=location, path=pointer, message=_say(error), code=str(error.get("type", "invalid"))
    )


def _build_json_error(error: Mapping[str, Any]) -> FieldError:
    """Say where a body stops being JSON: the framework gives the place as if it were a member."""
    place, why = error.get("loc", ("body", 0))[-1], error.get("ctx", {}).get("error", "it cannot be read")
    message = f"No JSON from character {place} on: {why}."
    return FieldError(location="body", path="", message=message, code="json_invalid")


def _say(error: Mapping[str, Any]) -> str:
    message = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "?")) else message + "."


def _wants_page(request: Request) -> bool:
    if not request.url.path.startswith(_PAGE_PREFIXES) or "hx-request" in request.headers:
        return False
    return "text/html" in request.headers.get("accept", "")


def _to_json(value: object) -> JsonValue:
    """A context value as JSON; anything unforeseen as its text."""
    if isinstance(value, Enum):
        return _to_json(value.value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_json(item) for item in value]
    return str(value)
