"""The API's description (OpenAPI 3.1), made from the models the server runs on.

Two things are added to what FastAPI makes: each operation says which problems
it answers with, and its id is the handler's name with the noun first, so that clients
made from the description sort by noun.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from referee.foundation.web.client_routes import ClientRoute
from referee.foundation.web.problems import CLIENT_INVALID_STATUS, PROBLEM_MEDIA_TYPE, Problem

__all__ = ["OPENAPI_PATH", "customise_openapi", "name_operation"]

OPENAPI_PATH = "/v1/openapi.json"
_ALWAYS = {
    "401": "A key is needed or not known.",
    "422": "The request is not understood.",
    "500": "Internal error.",
}
_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


def name_operation(route: APIRoute) -> str:
    """Return the operation id, noun before verb: the handler ``list_findings`` is ``findings_list``."""
    verb, _, noun = route.name.partition("_")
    return f"{noun}_{verb}" if noun else verb


def customise_openapi(app: FastAPI) -> None:
    """Make ``app.openapi`` describe problems; the description is made once, on first demand."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                openapi_version="3.1.0",
                description=app.description,
                routes=app.routes,
            )
            _add_problems(schema, _list_client_operations(app))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _list_client_operations(app: FastAPI) -> set[tuple[str, str]]:
    """Return path and method of the routes that answer 400 where others answer 422."""
    return {
        (route.path_format or "", method.lower())
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, ClientRoute)
        for method in route.methods or ()
    }


def _add_problems(schema: dict[str, Any], client_operations: set[tuple[str, str]]) -> None:
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    model = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    components.update(model.pop("$defs", {}))
    components["Problem"] = model
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in schema.get("paths", {}).items():
        for method, operation in operations.items():
            if method not in _METHODS:
                continue
            statuses = dict(_ALWAYS)
            if "{" in path:
                statuses["404"] = "Nothing has that id."
            if method in ("put", "post", "patch", "delete"):
                statuses |= {"403": "Not allowed.", "409": "The present state does not allow it."}
            if (path, method) in client_operations:
                statuses[str(CLIENT_INVALID_STATUS)] = statuses.pop("422")
                operation.get("responses", {}).pop("422", None)
            for status, description in sorted(statuses.items()):
                answer = operation.setdefault("responses", {}).setdefault(status, {})
                if status == "422" or not answer:
                    operation["responses"][status] = {"description": description, "content": content}
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
