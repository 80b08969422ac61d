"""Names of the query fields that a route reads, for tools that attack what they can send.

A crawler learns fields from links and forms; an API has neither. This reads the lines from one
route's declaration to the next, so it is a guess that costs nothing when it is wrong: a field that
does not exist is ignored by the app.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from referee.core.sources import SourceSnapshot
from referee.tools.reading import decode_text
from referee.tools.routes import Route

__all__ = ["find_query_names"]

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_HANDLER_LINES: Final = 80
"""Lines of a handler that are read; later ones are rarely its own."""
MAX_HANDLER_CHARACTERS: Final = 8_000
"""The same for a file whose lines have no end."""
MAX_NAMES: Final = 5

_READS: Final = (
    re.compile(r"""\brequest\.args(?:\.get(?:list)?\(|\[)\s*["'](\w{1,40})["']"""),
    re.compile(r"""\brequest\.query_params(?:\.get(?:list)?\(|\[)\s*["'](\w{1,40})["']"""),
    re.compile(r"""\breq(?:uest)?\.query\.(\w{1,40})"""),
    re.compile(r"""\breq(?:uest)?\.query\[["'](\w{1,40})["']\]"""),
)
_UNPACKED: Final = re.compile(r"\{([^{}]{1,200})\}\s*=\s*req(?:uest)?\.query\b")
_SIGNATURE: Final = re.compile(r"\bdef\s+\w+\s*\((.*?)\)\s*(?:->[^:]*)?:", re.DOTALL)
_FIELD: Final = re.compile(
    r"(\w{1,40})\s*:\s*(?:str|int|float|bool|Optional\[\w+\]|\w+\s*\|\s*None)\s*"
    r"(?:,|$|=(?!\s*(?:Depends|Body|Header|Cookie|Path|File|Form|Security)\b))"
)
"""A parameter of a simple type: without a default it is a field that must be sent, unless the path has it."""


def find_query_names(snapshot: SourceSnapshot, routes: Sequence[Route]) -> Mapping[Route, tuple[str, ...]]:
    """Return the query fields that each route seems to read; routes that read none are left out."""
    by_file: dict[str, list[Route]] = {}
    for route in routes:
        by_file.setdefault(route.file, []).append(route)
    found: dict[Route, tuple[str, ...]] = {}
    for path, declared in by_file.items():
        file = snapshot.by_path.get(path)
        if file is None:
            continue
        with (snapshot.root / file.path).open("rb") as stream:
            lines = decode_text(stream.read(MAX_FILE_BYTES)).splitlines()
        starts = sorted({route.line for route in declared})
        ends = {start: end for start, end in pairwise([*starts, len(lines) + 1])}
        for route in declared:
            end = min(ends[route.line], route.line + MAX_HANDLER_LINES)
            names = _read_names("\n".join(lines[route.line - 1 : end - 1])[:MAX_HANDLER_CHARACTERS], route)
            if names:
                found[route] = names
    return found


def _read_names(text: str, route: Route) -> tuple[str, ...]:
    names = [name for pattern in _READS for name in pattern.findall(text)]
    for group in _UNPACKED.findall(text):
        names += re.findall(r"(?:^|,)\s*(\w{1,40})", group)
    if route.framework == "fastapi":
        signature = _SIGNATURE.search(text)
        names += _FIELD.findall(signature.group(1)) if signature else []
    return tuple(dict.fromkeys(name for name in names if f":{name}" not in route.path))[:MAX_NAMES]
