"""Who may ask, in the API's description: the kinds of keys, and which scope each operation needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from referee.foundation.web.scopes import find_scope

__all__ = ["add_security", "describe_security", "is_public"]

_LOOPBACK: Final = "A server that listens only on the loopback address asks for none."
_SCHEMES: Final = {
    "project_key": (
        "A key of a project, rfr_…, with the scope read, write or admin; each includes the ones before it. "
        "`referee key create NAME --scope write` makes one. " + _LOOPBACK
    ),
    "ingestion_key": (
        "A key that only sends spans, sessions and events, hh_ingst_…. "
        "`referee key create NAME --kind ingestion` makes one. " + _LOOPBACK
    ),
    "data_plane_key": (
        "A key for the operations with a project's id in their path, hh_fgdp_…, with the scope charts_read or "
        "charts_write. `referee key create NAME --kind data_plane` makes one. " + _LOOPBACK
    ),
}
_ALSO: Final = {"ingest": "ingestion_key", "charts_read": "data_plane_key", "charts_write": "data_plane_key"}
"""Scope → kind of key that has it besides the key of a project."""


def is_public(path: str, public_prefixes: Sequence[str]) -> bool:
    """Whether a path needs no key."""
    return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in public_prefixes)


def add_security(operation: dict[str, Any], method: str, path: str, *, is_public: bool) -> None:
    """Say which kinds of keys an operation takes, and with which scope: what the server itself checks."""
    if is_public:
        operation["security"] = []
        return
    if "security" in operation:  # a route that asks for more says so itself
        return
    scope = find_scope(method.upper(), path)
    needed = scope if scope in ("read", "write") else ("read" if scope.endswith("_read") else "write")
    operation["security"] = [{"project_key": [needed]}]
    if scope in _ALSO:
        operation["security"].append({_ALSO[scope]: [scope]})


def describe_security() -> dict[str, Any]:
    """Return the schemes that the operations refer to."""
    return {
        name: {"type": "http", "scheme": "bearer", "description": description}
        for name, description in _SCHEMES.items()
    }
