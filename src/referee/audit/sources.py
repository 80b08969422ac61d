"""Rows of a foreign audit log: an SQLite database of any schema version, or a log of JSON lines.

The source is opened read-only and never changed. A line that is no JSON object becomes a row of its own that
says so; nothing is skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from referee.audit.shapes import AuditRecord
from referee.core.errors import InvalidInput, NotFound
from referee.core.findings import JsonValue

__all__ = ["AuditSource", "SourceRow", "open_source"]

_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_NEEDED_COLUMNS: Final = frozenset({"task_id", "event_type", "payload", "created_at"})
_MAX_LINE_BYTES: Final = 16 << 20
_BUSY_TIMEOUT_S: Final = 10.0
_IDENTITY_COLUMNS: Final = ("audit_id", "task_id", "level", "event_type", "created_at")
"""With the payload, what makes a row the same; columns that a backfill fills later do not count."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row with its identity."""

    source_key: str
    """SHA-256, 64 hexadecimal digits."""
    record: AuditRecord
    problem: str = ""
    """Why it is no row at all; empty when it is."""


@dataclass(frozen=True, slots=True)
class AuditSource:
    """A foreign audit log."""

    path: Path
    kind: Literal["sqlite", "jsonl"]
    schema_version: str
    """The highest that it names, compared as numbers; empty when it names none."""

    def read_rows(self) -> Iterator[SourceRow]:
        """Yield its rows in the order in which they were written."""
        return _read_sqlite(self.path) if self.kind == "sqlite" else _read_lines(self.path)


def open_source(path: Path) -> AuditSource:
    """Look at a file and say what it is.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is a database without a table that could be an audit log.
    """
    if not path.is_file():
        raise NotFound("audit.source_not_found", f"There is no file {path}.", "Give a database or a log.")
    with path.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    if not is_sqlite:
        return AuditSource(path, "jsonl", "")
    with closing(_connect(path)) as connection:
        _list_columns(connection, path)
        return AuditSource(path, "sqlite", _read_schema_version(connection))


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    # A batch may be read in another thread than the one before; never in two at a time.
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    connection.text_factory = bytes  # texts are kept as they are, also those that are no UTF-8
    return connection


def _list_columns(connection: sqlite3.Connection, path: Path) -> list[str]:
    try:
        names = [row[1].decode() for row in connection.execute("PRAGMA table_info(task_audits)")]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "audit.source_unreadable",
            f"{path.name} cannot be read as a database: {error}.",
            "Check it with sqlite3, and give a whole copy.",
        ) from error
    missing = _NEEDED_COLUMNS - set(names)
    if missing:
        raise InvalidInput(
            "audit.source_unknown",
            f"{path.name} has no table task_audits with {', '.join(sorted(missing))}.",
            "Give the database of the agent system, or a log of JSON lines.",
        )
    return names


def _read_schema_version(connection: sqlite3.Connection) -> str:
    try:
        rows = connection.execute("SELECT version FROM schema_version LIMIT 1000").fetchall()
    except sqlite3.DatabaseError:
        return ""
    versions = [_to_text(row[0]) for row in rows]
    return max(versions, key=lambda text: [int(part) for part in re.findall(r"\d{1,9}", text)], default="")


def _read_sqlite(path: Path) -> Iterator[SourceRow]:
    with closing(_connect(path)) as connection:
        names = _list_columns(connection, path)
        order = "audit_id" if "audit_id" in names else "rowid"
        others = [name for name in names if name != "payload"]
        quoted = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in [*others, "payload"])
        try:
            for number, row in enumerate(
                connection.execute(f"SELECT {quoted} FROM task_audits ORDER BY {order}"),  # noqa: S608 - names are quoted
                start=1,
            ):
                yield _make_row(dict(zip(others, row, strict=False)), row[-1], number)
        except sqlite3.DatabaseError as error:
            raise InvalidInput(
                "audit.source_unreadable",
                f"{path.name} can be read in part only: {error}.",
                "What came before is imported; recover the database with sqlite3 .recover, then import again.",
            ) from error


def _make_row(values: dict[str, Any], payload: object, number: int) -> SourceRow:
    columns: dict[str, JsonValue] = {name: _to_json(value) for name, value in values.items()}
    original = payload if isinstance(payload, bytes) or payload is None else str(payload).encode()
    identity = json.dumps([columns.get(name) for name in _IDENTITY_COLUMNS]).encode()
    marked = b"0" if original is None else b"1" + original
    record = AuditRecord(
        place=f"task_audits {columns.get('audit_id', number)}",
        task_id=str(columns.get("task_id") or ""),
        event_type=str(columns.get("event_type") or ""),
        payload=original,
        columns=columns,
    )
    return SourceRow(hashlib.sha256(identity + b"\0" + marked).hexdigest(), record)


def _to_text(value: object) -> str:
    """Return a value of a database as text that PostgreSQL can keep."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "\\0")


def _to_json(value: object) -> JsonValue:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return _to_text(value)


def _read_lines(path: Path) -> Iterator[SourceRow]:
    seen: Counter[bytes] = Counter()
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > _MAX_LINE_BYTES and not line.endswith(b"\n"):
                digest = _read_over(file, line)
                yield _make_line(number, line[:1000], digest, None, "The line has more than 16 MiB.")
                continue
            stripped = line.rstrip(b"\r\n")
            if not stripped.strip():
                continue
            digest = hashlib.sha256(stripped).digest()
            seen[digest] += 1
            # The same line again is another event, and the same one when the log is imported again.
            key = hashlib.sha256(digest + str(seen[digest]).encode()).digest()
            content, problem = _parse_line(stripped)
            yield _make_line(number, stripped, key, content, problem)


def _read_over(file: Any, start: bytes) -> bytes:
    """Read the rest of a line that is too long. Returns its digest."""
    digest = hashlib.sha256(start)
    while rest := file.readline(_MAX_LINE_BYTES):
        digest.update(rest)
        if rest.endswith(b"\n"):
            break
    return digest.digest()


def _parse_line(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None, "The line is not JSON."
    if not isinstance(content, dict):
        return None, "The line is JSON, and not an object."
    return content, ""


def _make_line(
    number: int, line: bytes, key: bytes, content: dict[str, Any] | None, problem: str
) -> SourceRow:
    entry = content or {}
    event_type = entry.get("event_type") or entry.get("event") or entry.get("type") or ""
    payload, has_own = entry, "payload" in entry
    text: bytes | None = None
    if has_own:
        payload = entry["payload"]
        text = (
            payload.encode("utf-8", "backslashreplace")
            if isinstance(payload, str)
            else json.dumps(payload).encode()
        )
    if not problem and not (isinstance(event_type, str) and event_type):
        problem = "The line names no event_type."
    columns: dict[str, JsonValue] = {
        name: _to_json(value)
        for name, value in entry.items()
        if name != "payload" and (value is None or isinstance(value, str | int | float)) and (has_own or name in (
            "task_id", "event_type", "event", "type", "created_at", "created_at_ms", "level", "audit_id",
        ))
    }  # fmt: skip
    columns = {_to_text(name): value for name, value in columns.items()}
    for name in ("ts", "time", "logged_at"):
        if "created_at" not in columns and name in entry:
            columns["created_at"] = (
                _to_json(entry[name]) if isinstance(entry[name], str | int | float) else None
            )
    record = AuditRecord(
        place=f"line {number}",
        task_id=_to_text(entry.get("task_id") or ""),
        event_type=_to_text(event_type),
        payload=line,
        content=None if has_own or content is None else payload,
        columns=columns,
    )
    if has_own and content is not None:
        record = AuditRecord(
            place=record.place,
            task_id=record.task_id,
            event_type=record.event_type,
            payload=text,
            columns=columns,
        )
    return SourceRow(key.hex(), record, problem)
