"""Routes that an app's source declares, found without running it.

The reading itself is in ``route_discovery``: Python by its syntax tree, JavaScript by its tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from referee.core.sources import SourceSnapshot

__all__ = ["Route", "discover_routes", "match_key", "name_target"]

Framework = Literal["flask", "fastapi", "django", "express"]

MAX_ROUTES: Final = 2_000
"""Routes kept of one app; a real one has a few dozen."""

_FRONTEND_FOLDERS: Final = frozenset({"frontend", "client", "web", "ui", "webapp"})
_PARAMETER: Final = re.compile(r":[A-Za-z_]\w*\*?|\{[^{}/]*\}|<[^<>/]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route in the source."""

    method: str
    """Upper case."""
    path: str
    """Whole path with the prefixes of blueprints and routers; parameters are written ``:name``."""
    file: str
    """Path of the ``SourceFile`` that declares it."""
    line: int
    framework: Framework
    target: str = "backend"
    """Name of the component whose folder holds it."""


def discover_routes(snapshot: SourceSnapshot) -> tuple[Route, ...]:
    """Return the routes of Flask, FastAPI, Django and Express apps, sorted by path and method.

    Reads files and parses them; runs nothing. What it cannot follow is left out.
    """
    from referee.tools.route_discovery import find_routes  # noqa: PLC0415 - it imports ``Route`` from here

    found: dict[tuple[str, str, str], Route] = {}
    for route in find_routes(snapshot):
        if len(found) >= MAX_ROUTES:
            break
        found.setdefault((route.target, route.method, route.path), route)
    return tuple(sorted(found.values(), key=lambda route: (route.path, route.method, route.file, route.line)))


def match_key(path: str) -> str:
    """Return what two spellings of a path have in common: parameters without names, no slash at the end."""
    bare = _PARAMETER.sub(":", path.split("?", 1)[0])
    return bare.rstrip("/") or "/"


def name_target(path: str) -> str:
    """Return the name of the component that a file belongs to, from the folders above it."""
    folders = {folder.lower() for folder in path.split("/")[:-1]}
    return "frontend" if folders & _FRONTEND_FOLDERS else "backend"
