"""Reading what a tool wrote: bounded, and never mistaking cut output for an empty result.

A parser asks here for a stream of a ``RawOutput`` and gets values of the type
it expects or ``OutputUnreadable``. Paths go through ``normalise_path``, so a
finding can only ever name a place inside the subject.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from referee.core.errors import RefereeError
from referee.core.findings import MAX_HOLES, Coverage, CoverageHole, JsonValue, ToolFinding
from referee.tools.contract import RawOutput

__all__ = [
    "JsonLines",
    "OutputUnreadable",
    "as_array",
    "as_object",
    "build_file_coverage",
    "compute_place_key",
    "decode_text",
    "describe_end",
    "get_integer",
    "get_text",
    "normalise_path",
    "read_json",
    "read_json_lines",
    "read_text",
    "shorten",
]

MAX_JSON_BYTES = 256 * 1024 * 1024
"""Most bytes parsed as one JSON document; raw output is capped far below by the settings."""
MAX_MESSAGE_CHARACTERS = 2_000
"""Longest message kept of a finding; a tool that quotes a whole minified file is cut here."""


class OutputUnreadable(RefereeError):
    """What a tool wrote is absent, cut, or not in the form this tool writes."""

    title = "Tool output unreadable"

    def __init__(self, message: str, hint: str = "", **context: object) -> None:
        super().__init__("tools.output_unreadable", message, hint, **context)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A stream of one JSON value per line."""

    values: tuple[JsonValue, ...]
    other_lines: tuple[str, ...]
    """Lines that are not JSON, such as a tool's own trailing sentences; empty lines are left out."""
    is_cut: bool
    """True when bytes were dropped or the last line has no end: something is missing."""


def decode_text(data: bytes) -> str:
    """Return UTF-8 text; bytes that are not UTF-8 become the replacement character."""
    return data.decode("utf-8", errors="replace")


def shorten(text: str, *, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Return ``text`` without NUL characters and with at most ``limit`` characters, marked with … when cut.

    NUL cannot be stored in a PostgreSQL text, and no tool's message needs it; lone surrogates neither.
    """
    clean = text.replace("\x00", "�").encode("utf-8", errors="replace").decode("utf-8")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def read_text(raw: RawOutput, name: str) -> str:
    """Return a stream as text, whole.

    Raises:
        OutputUnreadable: The stream is absent or was cut.
    """
    return decode_text(_get_whole(raw, name))


def read_json(raw: RawOutput, name: str) -> JsonValue:
    """Return the one JSON document that a stream holds.

    Raises:
        OutputUnreadable: The stream is absent, empty, cut, too large, or not JSON.
    """
    data = _get_whole(raw, name)
    if not data.strip():
        _fail(raw, f"{name} is empty")
    if len(data) > MAX_JSON_BYTES:
        _fail(raw, f"{name} has {len(data)} bytes, more than the {MAX_JSON_BYTES} that are read")
    try:
        value: JsonValue = json.loads(decode_text(data), parse_constant=_reject_constant)
    except RecursionError:
        _fail(raw, f"{name} is nested too deeply")
    except ValueError as error:
        _fail(raw, f"{name} is not whole JSON ({shorten(str(error), limit=120)})")
    return value


def read_json_lines(raw: RawOutput, name: str) -> JsonLines:
    """Return the JSON values of a stream with one per line, and what else it holds.

    A last line without its end counts as cut even when it happens to be JSON, so
    cutting the stream anywhere but between lines shows. A tool whose output may be
    cut between lines needs a last record of its own to notice.

    Raises:
        OutputUnreadable: The stream is absent.
    """
    if name not in raw.streams:
        _fail(raw, f"{name} is missing")
    data = raw.streams[name]
    is_cut = name in raw.truncated or (bool(data) and not data.endswith(b"\n"))
    values: list[JsonValue] = []
    others: list[str] = []
    for line in decode_text(data).split("\n"):
        text = line.strip()
        if not text:
            continue
        if text[0] not in "{[":
            others.append(shorten(text))
            continue
        try:
            values.append(json.loads(text, parse_constant=_reject_constant))
        except (ValueError, RecursionError):
            others.append(shorten(text))
    return JsonLines(tuple(values), tuple(others), is_cut)


def as_object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    """Return ``value`` as an object.

    Raises:
        OutputUnreadable: It is something else; ``what`` names it for people.
    """
    if not isinstance(value, dict):
        raise OutputUnreadable(f"{what} is not an object.")
    return value


def as_array(value: JsonValue, what: str) -> list[JsonValue]:
    """Return ``value`` as an array.

    Raises:
        OutputUnreadable: It is something else; ``what`` names it for people.
    """
    if not isinstance(value, list):
        raise OutputUnreadable(f"{what} is not a list.")
    return value


def get_text(values: dict[str, JsonValue], key: str, *, default: str | None = None) -> str:
    """Return the text under ``key``.

    Raises:
        OutputUnreadable: It is not text, or absent and there is no default.
    """
    value = values.get(key)
    if isinstance(value, str):
        return value
    if value is None and default is not None:
        return default
    raise OutputUnreadable(f"The field {key!r} is not text.")


def get_integer(values: dict[str, JsonValue], key: str) -> int | None:
    """Return the whole number under ``key``, None when it is absent.

    Raises:
        OutputUnreadable: It is something else.
    """
    value = values.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise OutputUnreadable(f"The field {key!r} is not a whole number.")


def normalise_path(text: str, *, root: str = "") -> str | None:
    """Return the path of a ``SourceFile`` for a path that a tool printed, None when it lies outside.

    Args:
        text: ``/root/a/b.py``, ``./a/b.py`` or ``a/b.py``.
        root: Folder of the subject as the tool saw it, for tools that print absolute paths.
    """
    if not text or "\x00" in text:
        return None
    path = text
    if path.startswith("/"):
        prefix = root.rstrip("/") + "/"
        if not root or not path.startswith(prefix):
            return None
        path = path[len(prefix) :]
    path = posixpath.normpath(path)
    return None if path in (".", "..") or path.startswith(("../", "/")) else path


def describe_end(raw: RawOutput) -> str:
    """Return one sentence of how the run ended, for a report whose output is incomplete."""
    if raw.end == "exited":
        return f"It ended with exit code {raw.exit_code}."
    return raw.reason or f"It was stopped: {raw.end.replace('_', ' ')}."


def compute_place_key(finding: ToolFinding) -> tuple[str, int, int, str, str]:
    """Return what findings are sorted by: path, line, column, rule, message."""
    place = finding.location
    return (
        place.path if place else "",
        (place.start_line or 0) if place else 0,
        (place.start_column or 0) if place else 0,
        finding.rule_id,
        finding.message,
    )


def build_file_coverage(
    planned: Iterable[str],
    *,
    unreadable: dict[str, str] | None = None,
    skipped: dict[str, str] | None = None,
    suppressed_count: int = 0,
) -> Coverage:
    """Return the coverage of a tool that examines files.

    Args:
        planned: Paths it had to examine.
        unreadable: Reason by path for those it could not read or parse.
        skipped: Reason by path for those it did not look at.
        suppressed_count: Findings that the code itself suppresses.
    """
    paths = set(planned)
    bad = {path: reason for path, reason in (unreadable or {}).items() if path in paths}
    left_out = {path: reason for path, reason in (skipped or {}).items() if path in paths and path not in bad}
    holes = [
        CoverageHole(path, "unreadable", shorten(reason, limit=300)) for path, reason in sorted(bad.items())
    ]
    holes += [
        CoverageHole(path, "skipped", shorten(reason, limit=300)) for path, reason in sorted(left_out.items())
    ]
    return Coverage(
        unit="file",
        examined_count=len(paths) - len(bad) - len(left_out),
        skipped_count=len(left_out),
        unreadable_count=len(bad),
        holes=tuple(holes[:MAX_HOLES]),
        suppressed_count=suppressed_count,
    )


def _get_whole(raw: RawOutput, name: str) -> bytes:
    if name not in raw.streams:
        _fail(raw, f"{name} is missing")
    data = raw.streams[name]
    if name in raw.truncated:
        _fail(raw, f"{name} was cut at {len(data)} of {raw.total_bytes[name]} bytes")
    return data


def _fail(raw: RawOutput, what: str) -> NoReturn:
    stderr = decode_text(raw.streams.get("stderr", b"")).strip().splitlines()
    hint = f"Its last words were: {shorten(stderr[-1], limit=300)}" if stderr else ""
    raise OutputUnreadable(
        f"The output cannot be read: {what}. {describe_end(raw)}", hint, exit_code=raw.exit_code
    )


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
