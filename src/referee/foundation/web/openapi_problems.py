"""Which problems each operation answers with, in the API's description.

What the shell and the database can say of any request stands here; a handler
adds what only it answers with ``responses=answers_with(503)``. Every status is
one shared response, so the document stays short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from referee.foundation.web.problems import CLIENT_INVALID_STATUS, PROBLEM_MEDIA_TYPE, Problem

__all__ = ["add_problems", "answers_with", "describe_problems"]

_CHANGES: Final = frozenset({"put", "post", "patch", "delete"})
_RESPONSES: Final[Mapping[str, tuple[str, str]]] = {
    "400": ("NotUnderstood", "The request is not understood; the member errors names each wrong field."),
    "401": ("KeyNeeded", "No key was sent, or one that is not known, revoked or expired."),
    "403": ("NotAllowed", "The key may not do this, or a page of another site asks."),
    "404": ("NotFound", "Nothing of the key's project has that id or name."),
    "409": ("StateConflict", "The present state does not allow it."),
    "413": ("TooLarge", "More bytes, rows or files than the stated limit."),
    "415": ("WrongMediaType", "The body's media type is not one that is taken here."),
    "422": ("InvalidInput", "The request is not understood; the member errors names each wrong field."),
    "429": ("TooManyRequests", "A queue or a budget is full; Retry-After says when to try again."),
    "500": ("InternalError", "Something failed that was not foreseen; the log has it under the request id."),
    "503": ("Unavailable", "A part that is needed is not there now; a retry may help."),
    "507": ("StorageFull", "The disk took no more bytes; nothing was acknowledged."),
}
_RETRY_AFTER: Final = {"429", "503"}
"""Their answers may say when to try again."""


def answers_with(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return ``responses`` of a route that answers with these problems besides the usual ones."""
    return {status: _refer(str(status)) for status in statuses}


def add_problems(
    operation: dict[str, Any], method: str, path: str, *, is_client: bool, is_public: bool
) -> None:
    """Add to an operation the problems that any request like it may be answered with.

    Args:
        operation: Changed in place.
        method: In small letters.
        path: Such as ``/v1/apps/{app_id}``.
        is_client: Whether what cannot be understood is 400, not 422.
        is_public: Whether no key is asked for.
    """
    responses = operation.setdefault("responses", {})
    body, parameters = operation.get("requestBody"), operation.get("parameters", ())
    responses.pop("422", None)
    statuses = {"500", "503", "403"}  # a foreign Host or Origin is refused everywhere
    if not is_public:
        statuses.add("401")
    if body or parameters:
        statuses.add(str(CLIENT_INVALID_STATUS) if is_client else "422")
    if body:
        statuses |= {"413", "415"}
    if method in _CHANGES:
        statuses |= {"409", "429", "507"}
    names_another = any(_names_another(parameter) for parameter in parameters)
    if "{" in path or names_another or (body and method in _CHANGES):
        statuses.add("404")
    if "400" in responses:  # an operation of another standard says itself what it refuses
        statuses -= {"404", "409", "422"}
    for status in statuses:
        responses.setdefault(status, _refer(status))


def describe_problems() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the shapes and the shared responses that the operations refer to."""
    model = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas = {**model.pop("$defs", {}), "Problem": model}
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {}
    for status, (name, description) in _RESPONSES.items():
        responses[name] = {"description": description, "content": content}
        if status in _RETRY_AFTER:
            responses[name]["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait.",
                    "schema": {"type": "integer", "minimum": 0},
                }
            }
    return schemas, responses


def _refer(status: str) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/{_RESPONSES[status][0]}"}


def _names_another(parameter: Mapping[str, Any]) -> bool:
    """Whether a parameter names something that may not be there."""
    name: str = parameter["name"].removesuffix("[]")
    return parameter["in"] == "query" and ("_id" in name or name in ("name", "analyses"))
