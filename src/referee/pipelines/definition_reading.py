"""Read YAML so that every value knows its line: bounded, without aliases, tags or doubled keys.

Only plain values come out: text, numbers, truth values, nothing, lists and maps with text keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue

__all__ = ["MAX_DEFINITION_BYTES", "ReadDocument", "read_document"]

MAX_DEFINITION_BYTES: Final = 1 << 20
_MAX_VALUES_COUNT: Final = 50_000
_MAX_DEPTH: Final = 12
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")
)

_PLAIN_SHAPES: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document with the line of each of its values."""

    value: JsonValue
    lines: Mapping[Place, int] = field(default_factory=dict)
    """Place, such as ``("limits", "cells_at_once")`` → line, from 1. A key's own line."""

    def find_line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest part that is there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_document(text: str) -> ReadDocument:
    """Read a YAML document. JSON is one too.

    Raises:
        InvalidInput: It is no YAML, too large, or holds what only programs would write; the line is named.
    """
    if len(text.encode("utf-8", errors="surrogatepass")) > MAX_DEFINITION_BYTES:
        raise _invalid(1, f"it has more than {MAX_DEFINITION_BYTES:,} bytes")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _invalid(event.start_mark.line + 1, "anchors and aliases are not taken")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(1 if mark is None else mark.line + 1, str(error.problem or "it is no YAML")) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _invalid(1, "it is no YAML that can be read") from error
    if root is None:
        raise _invalid(1, "it is empty")
    builder = _Builder()
    return ReadDocument(builder.build(root, ()), builder.lines)


class _Builder:
    """Makes plain values out of nodes and notes their lines."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self._loader = yaml.SafeLoader("")

    def build(self, node: yaml.Node, place: Place) -> JsonValue:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if len(self.lines) > _MAX_VALUES_COUNT:
            raise _invalid(line, f"it holds more than {_MAX_VALUES_COUNT:,} values")
        if len(place) > _MAX_DEPTH:
            raise _invalid(line, f"it is nested deeper than {_MAX_DEPTH} levels")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_SHAPES:
            _refuse_tag(node.tag, line)
        if isinstance(node, yaml.MappingNode):
            return self._build_map(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*place, index)) for index, child in enumerate(node.value)]
        return self._build_scalar(node, line)

    def _build_map(self, node: yaml.MappingNode, place: Place) -> dict[str, JsonValue]:
        built: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _invalid(line, "a key is not plain text")
            key = str(key_node.value)
            if key in built:
                raise _invalid(line, f"the key {key[:80]!r} is there twice")
            self.lines[(*place, key)] = line
            built[key] = self.build(value_node, (*place, key))
        return built

    def _build_scalar(self, node: yaml.Node, line: int) -> JsonValue:
        if node.tag not in _PLAIN_TAGS:  # dates stay the text they are
            return str(node.value) if node.tag.endswith(":timestamp") else _refuse_tag(node.tag, line)
        try:
            value: JsonValue = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise _invalid(line, "a value cannot be read") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise _invalid(line, "a number is not finite")
        return value


def _refuse_tag(tag: str, line: int) -> JsonValue:
    raise _invalid(line, f"the tag {tag[:80]!r} is not taken")


def _invalid(line: int, what: str) -> InvalidInput:
    return InvalidInput(
        "pipeline.file_invalid",
        f"The pipeline file cannot be read, line {line}: {what}.",
        "Correct that line; `referee pipeline example` prints a file that works.",
        line=line,
    )
