"""Say which promises of the last released API the present one breaks.

Usage: ``python scripts/api_changes.py [--release]``. Prints the breaks that nobody
has accepted; the exit code is 1 when there are some. ``--release`` makes the
present document the released one and empties the list of accepted breaks.

A break is what a client that follows the released document would trip over: an
operation, a parameter, a member or a status that is gone, something newly
required, a request narrowed, an answer widened. New operations, new optional
members of requests, new members of answers and new problems are none.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

__all__ = ["ACCEPTED", "RELEASED", "list_breaks", "read_accepted", "strip"]

REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference"
PRESENT: Final = REFERENCE / "openapi.json"
RELEASED: Final = REFERENCE / "openapi-released.json"
ACCEPTED: Final = REFERENCE / "api-changes.md"
_ACCEPTED_LINE: Final = re.compile(r"^- `(.+)`: \S", re.MULTILINE)
_PROSE: Final = frozenset({"description", "title", "summary", "example", "examples", "default", "tags"})

Schema: TypeAlias = Mapping[str, Any]
Way: TypeAlias = Literal["request", "answer"]

_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def strip(node: Any, *, is_named: bool = False) -> Any:
    """Return a document without what is no promise: its prose, its examples.

    Args:
        node: The document, or a part of it.
        is_named: Whether the keys of the part are names, such as those of members, not words of OpenAPI.
    """
    if isinstance(node, list):
        return [strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    named = {"properties", "paths", "schemas", "responses", "headers", "securitySchemes", "content"}
    return {
        key: strip(value, is_named=key in named and not is_named)
        for key, value in node.items()
        if is_named or key not in _PROSE
    }


def list_breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the promises of ``old`` that ``new`` breaks, each as one line."""
    return list(dict.fromkeys(_Comparison(old, new).compare()))


def read_accepted(text: str) -> list[str]:
    """Return the breaks that a page of accepted ones names, each line as ``- `break`: reason``."""
    return _ACCEPTED_LINE.findall(text)


@dataclass
class _Comparison:
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    seen: set[tuple[str, str, Way]] = field(default_factory=set)
    """Pairs of named shapes that are being compared, or were: shapes may hold themselves."""

    def compare(self) -> Iterator[str]:
        for path, operations in self.old["paths"].items():
            for method, operation in operations.items():
                place = f"{method.upper()} {path}"
                present = self.new["paths"].get(path, {}).get(method)
                if present is None:
                    yield f"{place}: removed"
                else:
                    yield from self._operation(place, operation, present)

    def _operation(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{place}: operation id {old['operationId']} is {new['operationId']}"
        if lost := [needed for needed in old.get("security", ()) if not _is_allowed(needed, new)]:
            yield f"{place}: no longer allowed with {json.dumps(lost)}"
        yield from self._parameters(place, old.get("parameters", ()), new.get("parameters", ()))
        yield from self._body(place, old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status.startswith("2"):
                if status not in new["responses"]:
                    yield f"{place}: no longer answers {status}"
                    continue
                theirs = self._resolve(self.new, new["responses"][status]).get("content", {})
                for media_type, content in self._resolve(self.old, answer).get("content", {}).items():
                    if media_type not in theirs:
                        yield f"{place} {status}: no longer {media_type}"
                        continue
                    yield from self._schema(
                        f"{place} {status}",
                        content.get("schema", {}),
                        theirs[media_type].get("schema", {}),
                        "answer",
                    )

    def _parameters(self, place: str, old: Any, new: Any) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old}
        after = {(one["in"], one["name"]): one for one in new}
        for key, one in before.items():
            where = f"{place} {key[0]} {key[1]}"
            if key not in after:
                yield f"{where}: removed"
                continue
            if after[key].get("required") and not one.get("required"):
                yield f"{where}: now required"
            yield from self._schema(where, one.get("schema", {}), after[key].get("schema", {}), "request")
        for key in after.keys() - before.keys():
            if after[key].get("required"):
                yield f"{place} {key[0]} {key[1]}: new and required"

    def _body(self, place: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if old is None:
            if new is not None and new.get("required"):
                yield f"{place} body: new and required"
            return
        if new is None:
            yield f"{place} body: removed"
            return
        if new.get("required") and not old.get("required"):
            yield f"{place} body: now required"
        for media_type, content in old.get("content", {}).items():
            if media_type not in new.get("content", {}):
                yield f"{place} body: no longer {media_type}"
                continue
            theirs = new["content"][media_type].get("schema", {})
            yield from self._schema(f"{place} body", content.get("schema", {}), theirs, "request")

    def _schema(self, place: str, old: Schema, new: Schema, way: Way) -> Iterator[str]:
        if "$ref" in old or "$ref" in new:
            pair = (str(old.get("$ref", place)), str(new.get("$ref", place)), way)
            if pair in self.seen:
                return
            self.seen.add(pair)
            old, new = self._resolve(self.old, old), self._resolve(self.new, new)
        before, after = _list_variants(old), _list_variants(new)
        if len(before) == len(after) == 1:
            yield from self._plain(place, before[0], after[0], way)
            return
        needed, offered = (before, after) if way == "request" else (after, before)
        for one in needed:
            pairs = [(one, other) if way == "request" else (other, one) for other in offered]
            breaks = [list(self._variant(place, *pair, way)) for pair in pairs]
            if any(not found for found in breaks):
                continue
            alike = [found for found, pair in zip(breaks, pairs, strict=True) if _is_alike(*pair)]
            word = "no longer takes" if way == "request" else "may now be"
            yield from min(alike, key=len) if alike else [f"{place}: {word} {_name_variant(one)}"]

    def _variant(self, place: str, old: Schema, new: Schema, way: Way) -> Iterator[str]:
        """Compare two variants, as if nothing had been compared before: which pair belongs together is not known."""
        yield from _Comparison(self.old, self.new, set(self.seen))._schema(place, old, new, way)

    def _plain(self, place: str, old: Schema, new: Schema, way: Way) -> Iterator[str]:
        if "$ref" in old or "$ref" in new:
            yield from self._schema(place, old, new, way)
            return
        narrow, wide = (new, old) if way == "request" else (old, new)
        word = "narrowed" if way == "request" else "widened"
        if not _holds_types(narrow, wide):
            yield f"{place}: type {word} from {_name_variant(old)} to {_name_variant(new)}"
            return
        if not _holds_values(narrow, wide):
            yield f"{place}: values {word}"
        if way == "request":
            yield from _list_tighter_bounds(place, old, new)
        yield from self._members(place, old, new, way)
        if "items" in old:
            yield from self._schema(f"{place}[]", old["items"], new.get("items", {}), way)
        more = old.get("additionalProperties")
        if isinstance(more, dict):
            others = new.get("additionalProperties", {})
            yield from self._schema(f"{place}{{}}", more, others if isinstance(others, dict) else {}, way)

    def _members(self, place: str, old: Schema, new: Schema, way: Way) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        was, now = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in before.items():
            if name not in after:
                yield f"{place}.{name}: removed"
                continue
            if way == "request" and name in now - was:
                yield f"{place}.{name}: now required"
            if way == "answer" and name in was - now:
                yield f"{place}.{name}: may now be absent"
            yield from self._schema(f"{place}.{name}", schema, after[name], way)
        if way == "request":
            yield from (f"{place}.{name}: new and required" for name in sorted(now - before.keys()))

    @staticmethod
    def _resolve(document: Mapping[str, Any], node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = document
            for part in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


def _is_allowed(needed: Mapping[str, list[str]], operation: Schema) -> bool:
    """Whether who had these schemes and scopes may still ask."""
    return any(
        all(name in needed and set(scopes) <= set(needed[name]) for name, scopes in one.items())
        for one in operation.get("security", ())
    ) or not operation.get("security")


def _list_variants(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _types(schema: Schema) -> set[str] | None:
    """Return the types of a schema without variants; None: any."""
    said = schema.get("type")
    if said is None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        return None if values is None else {"string" if isinstance(one, str) else "other" for one in values}
    return {said} if isinstance(said, str) else set(said)


def _holds_types(holder: Schema, held: Schema) -> bool:
    """Whether each type of ``held`` is one of ``holder``."""
    outer, inner = _types(holder), _types(held)
    if outer is None:
        return True
    if inner is None:
        return False
    return inner <= (outer | {"integer"} if "number" in outer else outer)


def _holds_values(holder: Schema, held: Schema) -> bool:
    """Whether each listed value of ``held`` is one of ``holder``."""
    outer, inner = _values(holder), _values(held)
    return outer is None or (inner is not None and all(one in outer for one in inner))


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _list_tighter_bounds(place: str, old: Schema, new: Schema) -> Iterator[str]:
    for names, is_upper in ((_UPPER, True), (_LOWER, False)):
        for name in names:
            bound, before = new.get(name), old.get(name)
            if bound is None or bound == before or (before is None and not is_upper and bound <= 0):
                continue
            if before is None or (bound < before if is_upper else bound > before):
                yield f"{place}: {name} is {bound}, was {'none' if before is None else before}"
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            yield f"{place}: {name} is {new[name]}, was {old.get(name, 'none')}"


def _is_alike(old: Schema, new: Schema) -> bool:
    return bool(old.get("$ref", old.get("type")) == new.get("$ref", new.get("type")))


def _name_variant(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    types = _types(schema)
    return "anything" if types is None else " or ".join(sorted(types))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Say which promises of the last released API are broken.")
    parser.add_argument("--release", action="store_true", help="make the present document the released one")
    new = json.loads(PRESENT.read_text("utf-8"))
    if parser.parse_args().release:
        RELEASED.write_text(json.dumps(strip(new), separators=(",", ":")) + "\n", "utf-8")
        head = ACCEPTED.read_text("utf-8").partition("\n- `")[0].rstrip()
        ACCEPTED.write_text(head + "\n", "utf-8")
        return 0
    accepted = read_accepted(ACCEPTED.read_text("utf-8"))
    breaks = list_breaks(json.loads(RELEASED.read_text("utf-8")), new)
    unaccepted = [one for one in breaks if one not in accepted]
    print("\n".join(unaccepted) if unaccepted else "Every promise of the released API is kept.")
    return 1 if unaccepted else 0


if __name__ == "__main__":
    sys.exit(main())
