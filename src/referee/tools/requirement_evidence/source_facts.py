"""What of an app's source bears on its template: declared routes, and what the frontend calls and shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from referee.core.findings import JsonValue, Location
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    get_integer,
    get_text,
    normalise_path,
    shorten,
)
from referee.tools.route_discovery.javascript_tokens import HOLE, tokenize
from referee.tools.route_discovery.sources import read_sources
from referee.tools.routes import Route, match_key, name_target

__all__ = ["Place", "SourceFacts", "collect_source_facts", "read_source_facts"]

MAX_QUOTE_CHARACTERS: Final = 200
MAX_PLACES: Final = 1_000
MAX_PREFIX_WORDS: Final = 2
"""How many leading words of an endpoint's path, such as ``/api``, a client may keep in its base address."""

_PATH_TEXT: Final = re.compile(r"""["'`](/[\w/:<>{}-]{1,200})["'`]""")
_FORM: Final = re.compile(r"<(\w{0,40}(?:form|input|textarea|select|button|field))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of the source that shows something."""

    name: str
    """``POST /api/login`` for a route, the template's path for a call, the element for a form."""
    location: Location
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """All that was found."""

    routes: tuple[Place, ...]
    calls: tuple[Place, ...]
    """Paths of the template that the frontend names."""
    elements: tuple[Place, ...]
    """The first of each kind of form element in each file of the frontend."""
    has_frontend: bool
    open_methods: frozenset[str]
    """Methods of routes that take any path, so that a path which is not declared may be answered all the same."""
    loose_paths: frozenset[str]
    """Paths in the backend's source, as ``match_key`` writes them, that belong to no route that was found."""

    def find_routes(self, method: str, path: str) -> tuple[Place, ...]:
        """Return the places that declare a route."""
        wanted = (method, match_key(path))
        return tuple(place for place in self.routes if _split_name(place.name) == wanted)

    def has_loose_path(self, path: str) -> bool:
        """Whether the end of a path stands in the source where what is before it could not be followed."""
        words = match_key(path).split("/")[1:]
        ends = ("/" + "/".join(words[start:]) for start in range(len(words)))
        return any(end in self.loose_paths for end in ends if end.strip("/:"))

    def find_methods(self, path: str) -> tuple[str, ...]:
        """Return the methods that are declared for a path."""
        key = match_key(path)
        names = [_split_name(place.name) for place in self.routes]
        return tuple(sorted({method for method, declared in names if declared == key}))

    def find_calls(self, path: str) -> tuple[Place, ...]:
        """Return the places where the frontend names a path."""
        return tuple(place for place in self.calls if match_key(place.name) == match_key(path))


def _split_name(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    return method, match_key(path)


def collect_source_facts(
    snapshot: SourceSnapshot, template: Template, routes: tuple[Route, ...]
) -> JsonValue:
    """Return the facts as JSON, for ``read_source_facts``. Reads files."""
    scripts = read_sources(snapshot, "javascript", "typescript", "jsx", "tsx")
    pages = read_sources(snapshot, "html")
    served = {path: text for path, text in scripts.items() if not _is_server(text)}
    python = read_sources(snapshot, "python")
    backend = {**python, **{path: text for path, text in scripts.items() if name_target(path) == "backend"}}
    lines = _Lines({**scripts, **python})
    declared = [route for route in routes if "*" not in route.path]
    return {
        "routes": [
            _dump_place(
                f"{route.method} {route.path}", route.file, route.line, lines.get(route.file, route.line)
            )
            for route in declared[:MAX_PLACES]
        ],
        "calls": list(_find_calls(served, template))[:MAX_PLACES],
        "elements": list(_find_elements({**served, **pages}))[:MAX_PLACES],
        "has_frontend": bool(pages) or bool(served),
        "open_methods": list[JsonValue](
            sorted({one.method for one in routes if "*" in one.path and one.target == "backend"})
        ),
        "loose_paths": list[JsonValue](sorted(_find_loose_paths(backend, declared))[:MAX_PLACES]),
    }


def _is_server(text: str) -> bool:
    """Whether a script runs on a server: it loads Express or listens."""
    return bool(re.search(r"""(require\(|from\s)\s*["'](express|http|fastify|koa)["']""", text))


class _Lines:
    """Gives single lines of files that were read."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._split: dict[str, list[str]] = {}

    def get(self, path: str, number: int) -> str:
        """Return a line, cut to a bearable length; "" when there is none."""
        if path not in self._split:
            self._split[path] = self._texts.get(path, "").splitlines()
        lines = self._split[path]
        return lines[number - 1] if 0 < number <= len(lines) else ""


def _find_loose_paths(texts: Mapping[str, str], routes: list[Route]) -> Iterator[str]:
    """Yield the paths in strings that no route of the same file ends with."""
    known: dict[str, set[str]] = {}
    for route in routes:
        words = match_key(route.path).split("/")[1:]
        ends = known.setdefault(route.file, set())
        ends.update("/" + "/".join(words[start:]) for start in range(len(words)))
    for path, text in texts.items():
        keys = {match_key(match.group(1)) for match in _PATH_TEXT.finditer(text)}
        yield from keys - known.get(path, set())


def _find_calls(scripts: Mapping[str, str], template: Template) -> Iterator[JsonValue]:
    """Yield where the frontend's strings are paths of the template, whole or behind a base address."""
    wanted: dict[str, str] = {}
    for endpoint in template.endpoints:
        key = match_key(endpoint.path)
        words = key.split("/")[1:]
        wanted[key] = endpoint.path
        for cut in range(1, min(MAX_PREFIX_WORDS, len(words) - 1) + 1):
            wanted.setdefault("/" + "/".join(words[cut:]), endpoint.path)
    for path, text in scripts.items():
        if name_target(path) == "backend" and "frontend" in {name_target(other) for other in scripts}:
            continue
        seen: set[str] = set()
        lines = text.splitlines()
        for token in tokenize(text):
            if token.kind not in ("string", "template") or "/" not in token.value:
                continue
            for key in _spellings(token.value):
                found = wanted.get(key)
                if found is not None and found not in seen:
                    seen.add(found)
                    quote = lines[token.line - 1] if token.line <= len(lines) else ""
                    yield _dump_place(found, path, token.line, quote)


def _spellings(text: str) -> tuple[str, ...]:
    """Return the keys that a string in the source may stand for: as it is, and with a parameter joined on."""
    bare = re.sub(r"^https?://[^/]+", "", text.lstrip(HOLE)).split("?", 1)[0]
    words = [":" if HOLE in word or word.startswith(":") else word for word in bare.split("/")]
    key = "/" + "/".join(word for word in words if word)
    return (key, f"{key.rstrip('/')}/:") if bare.endswith("/") and bare != "/" else (key,)


def _find_elements(texts: Mapping[str, str]) -> Iterator[JsonValue]:
    for path, text in texts.items():
        seen: set[str] = set()
        for match in _FORM.finditer(text):
            name = match.group(1).lower()
            if name not in seen:
                seen.add(name)
                number = text.count("\n", 0, match.start()) + 1
                start = text.rfind("\n", 0, match.start()) + 1
                yield _dump_place(
                    name, path, number, text[start : start + MAX_QUOTE_CHARACTERS].split("\n", 1)[0]
                )


def _dump_place(name: str, path: str, line: int, quote: str) -> JsonValue:
    return {
        "name": name,
        "path": path,
        "line": line,
        "quote": shorten(quote.strip(), limit=MAX_QUOTE_CHARACTERS),
    }


def read_source_facts(value: JsonValue) -> SourceFacts:
    """Return the facts that ``collect_source_facts`` wrote.

    Raises:
        OutputUnreadable: It is something else.
    """
    facts = as_object(value, "the facts about the source")
    return SourceFacts(
        routes=_read_places(facts, "routes"),
        calls=_read_places(facts, "calls"),
        elements=_read_places(facts, "elements"),
        has_frontend=facts.get("has_frontend") is True,
        open_methods=_read_words(facts, "open_methods"),
        loose_paths=_read_words(facts, "loose_paths"),
    )


def _read_words(facts: dict[str, JsonValue], key: str) -> frozenset[str]:
    return frozenset(str(word) for word in as_array(facts.get(key), key))


def _read_places(facts: dict[str, JsonValue], key: str) -> tuple[Place, ...]:
    places = []
    for value in as_array(facts.get(key), key):
        entry = as_object(value, "a place")
        path = normalise_path(get_text(entry, "path"))
        if path is None:
            raise OutputUnreadable("A place lies outside of the subject.")
        location = Location(path, get_integer(entry, "line"))
        places.append(Place(name=get_text(entry, "name"), location=location, quote=get_text(entry, "quote")))
    return tuple(places)
