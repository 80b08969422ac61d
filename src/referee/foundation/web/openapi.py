"""The API's description (OpenAPI 3.1), made from the models the server runs on.

FastAPI describes what each handler takes and gives. Added here, once for all
rooms, is what the shell does to every request: who may ask (security), which
problems an operation answers with, what a path's ids are, and where the server
is. An operation's id is the handler's name with the noun first, so that clients
made from the description sort by noun.

Everything stands in a fixed order, so that the checked-in document changes only
where the API does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from referee.foundation.web.client_routes import OLD_ADDRESS_SUFFIX, ClientRoute, is_old_address
from referee.foundation.web.openapi_problems import add_problems, describe_problems
from referee.foundation.web.openapi_security import add_security, describe_security, is_public

__all__ = ["OPENAPI_PATH", "customise_openapi", "name_operation"]

OPENAPI_PATH: Final = "/v1/openapi.json"
_METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options")
_PATH_WORDS: Final[Mapping[str, str]] = {
    "name": "Its name.",
    "service": "static, dynamic, performance or ai.",
    "slug": "The model's slug.",
    "template": "The template's slug or id.",
    "version_name": "Name of the version, such as v2.",
}
"""What stands in a path and is no id."""
_UNUSED: Final = ("HTTPValidationError", "ValidationError")
"""Shapes of FastAPI's own errors, which ours replace."""


def name_operation(route: APIRoute) -> str:
    """Return the operation id, noun before verb: the handler ``list_findings`` is ``findings_list``."""
    verb, _, noun = route.name.partition("_")
    name = f"{noun}_{verb}" if noun else verb
    return name + OLD_ADDRESS_SUFFIX if is_old_address(route) else name


def customise_openapi(
    app: FastAPI,
    *,
    tags: Mapping[str, str] | None = None,
    examples: Mapping[str, Any] | None = None,
    public_prefixes: Sequence[str] = (),
) -> None:
    """Make ``app.openapi`` describe all this; the description is made once, on first demand.

    Args:
        app: The application; its rooms may come later.
        tags: Word that groups operations → one sentence about them.
        examples: Id of an operation → a body that it takes as JSON.
        public_prefixes: Paths that need no key.
    """

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, tags or {}, examples or {}, public_prefixes)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _build(
    app: FastAPI, tags: Mapping[str, str], examples: Mapping[str, Any], public_prefixes: Sequence[str]
) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        servers=[{"url": "/", "description": "The server that this document came from."}],
        tags=[{"name": name, "description": tags[name]} for name in sorted(tags)],
        routes=app.routes,
    )
    clients = _list_client_operations(app)
    for path, operations in document["paths"].items():
        for method in operations.keys() & set(_METHODS):
            operation = operations[method]
            _describe_parameters(operation)
            if operation["operationId"] in examples:
                content = operation["requestBody"]["content"]["application/json"]
                content["example"] = examples[operation["operationId"]]
            needs_no_key = is_public(path, public_prefixes)
            add_security(operation, method, path, is_public=needs_no_key)
            add_problems(operation, method, path, is_client=(path, method) in clients, is_public=needs_no_key)
    components = document.setdefault("components", {})
    schemas, components["responses"] = describe_problems()
    components["schemas"] = {**components.get("schemas", {}), **schemas}
    components["securitySchemes"] = describe_security()
    return _in_order(document)


def _list_client_operations(app: FastAPI) -> set[tuple[str, str]]:
    """Return path and method of the routes that answer 400 where others answer 422."""
    return {
        (route.path_format or "", method.lower())
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, ClientRoute)
        for method in route.methods or ()
    }


def _describe_parameters(operation: dict[str, Any]) -> None:
    """Say of an id in a path whose it is, where the handler does not."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "path":
            continue
        noun, _, is_id = parameter["name"].rpartition("_id")
        if noun and not is_id:
            parameter.setdefault("description", f"Id of the {noun.replace('_', ' ')}.")
        elif parameter["name"] in _PATH_WORDS:
            parameter.setdefault("description", _PATH_WORDS[parameter["name"]])


def _in_order(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with paths, methods, statuses and components in an order of their own."""
    components = document["components"]
    for unused in _UNUSED:
        components["schemas"].pop(unused, None)
    document["paths"] = {
        path: {
            method: document["paths"][path][method]
            for method in _METHODS
            if method in document["paths"][path]
        }
        for path in sorted(document["paths"])
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"] = dict(sorted(operation["responses"].items()))
    document["components"] = {kind: dict(sorted(components[kind].items())) for kind in sorted(components)}
    return document
