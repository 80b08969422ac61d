"""Bringing advisories in: a full OSV export, or any file of OSV records, into the store.

A record that cannot be used is put aside and counted; what is read and how
much of it is decided in ``exports.py``.

An import replaces all advisories of the ecosystems it holds records of (with
``is_addition`` it only adds and updates by id). The new store is written
beside the old one, checked, and moved into place; a failed import changes
nothing, and importing the same source again gives the same store.

Not here: reading the store (``store.py``), fetching a URL (``fetching.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from referee.core.clock import Clock, SystemClock
from referee.core.errors import Conflict, InvalidInput, StorageFull, Unavailable
from referee.tools.advisories.exports import (
    ImportLimits,
    ImportReport,
    make_printable,
    make_too_large,
    read_export,
)
from referee.tools.advisories.records import Advisory, RecordRefused, parse_records
from referee.tools.advisories.store import ECOSYSTEMS, STORE_FILE, STORE_SCHEMA, dump_record

__all__ = ["ImportLimits", "ImportReport", "exclusive_import", "import_file"]

BATCH_ROWS = 1_000


def import_file(
    path: Path,
    directory: Path,
    *,
    source: str | None = None,
    is_addition: bool = False,
    limits: ImportLimits | None = None,
    clock: Clock | None = None,
) -> ImportReport:
    """Read OSV records from ``path`` into the store in ``directory``.

    Args:
        path: A zip archive of JSON records, a JSON document (one record, a list, or ``{"vulns": […]}``)
            or one JSON record a line.
        directory: Folder of the store; made when absent.
        source: How the source is called in the store; the file's name by default.
        is_addition: Keep what the store has and only add or update by id.
        limits: What the source may cost.
        clock: Tells the instant of the import.

    Returns:
        What was stored, and what was not.

    Raises:
        InvalidInput: The file is absent, of another kind, damaged, or holds no usable record.
        PayloadTooLarge: A limit is exceeded.
        Conflict: Another import is under way.
        StorageFull: The disk is full.
    """
    limits = limits or ImportLimits()
    report = ImportReport(source=make_printable(source or path.name))
    try:
        if not path.is_file():
            raise InvalidInput(
                "advisories.no_file", f"There is no file {path}.", "Name an OSV export or a record."
            )
        report.source_bytes = path.stat().st_size
        if report.source_bytes > limits.source_bytes:
            raise make_too_large("The source", limits.source_bytes)
        directory.mkdir(parents=True, exist_ok=True)
        with exclusive_import(directory), path.open("rb") as stream:
            report.source_sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            instant = (clock or SystemClock()).now()
            _build(stream, directory, report, limits, is_addition=is_addition, instant=instant)
    except OSError as error:
        raise _explain_os_error(error, path) from error
    return report


def _build(
    stream: BinaryIO,
    directory: Path,
    report: ImportReport,
    limits: ImportLimits,
    *,
    is_addition: bool,
    instant: datetime,
) -> None:
    target = directory / STORE_FILE
    handle, name = tempfile.mkstemp(prefix=".import-", suffix=".sqlite3", dir=directory)
    os.close(handle)
    made = Path(name).absolute()
    try:
        with closing(sqlite3.connect(made.as_uri(), uri=True, isolation_level=None)) as database:
            _create_tables(database)
            _store_records(database, read_export(stream, report, limits), report, instant.date())
            if not report.stored_counts:
                raise InvalidInput(
                    "advisories.nothing_usable",
                    f"{report.source} holds no advisory for PyPI or npm that can be used "
                    f"({report.read_count} read, {report.refused_count} refused).",
                    "Use an export of osv.dev, such as PyPI/all.zip, or records in the OSV format.",
                )
            if target.is_file():
                _keep_previous(database, target, tuple(report.stored_counts), is_addition)
            _write_sources(database, report, instant.isoformat())
            database.execute("INSERT INTO meta VALUES ('last_import', ?)", (json.dumps(report.to_json()),))
            database.execute("VACUUM")
            if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise Unavailable("advisories.write_failed", "The new advisory store did not read back well.")
            report.is_changed = _digests(database) != _digests_of(target)
        with made.open("rb") as written:
            os.fsync(written.fileno())
        made.chmod(0o644)
        made.replace(target)
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except sqlite3.OperationalError as error:
        raise _storage_error(error) from error
    finally:
        made.unlink(missing_ok=True)


def _create_tables(database: sqlite3.Connection) -> None:
    database.executescript(
        """
        PRAGMA journal_mode = OFF;
        PRAGMA synchronous = OFF;
        PRAGMA trusted_schema = OFF;
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE sources (
            ecosystem TEXT PRIMARY KEY, source TEXT NOT NULL, source_sha256 TEXT NOT NULL,
            data_on TEXT NOT NULL, records_count INTEGER NOT NULL, digest TEXT NOT NULL,
            imported_at TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE records (
            ecosystem TEXT NOT NULL, name TEXT NOT NULL, advisory_id TEXT NOT NULL, modified_on TEXT NOT NULL,
            record TEXT NOT NULL, PRIMARY KEY (ecosystem, name, advisory_id)
        ) WITHOUT ROWID;
        """
    )
    database.execute("INSERT INTO meta VALUES ('schema', ?)", (STORE_SCHEMA,))


def _store_records(
    database: sqlite3.Connection, records: Iterator[tuple[str, bytes]], report: ImportReport, today: date
) -> None:
    latest_on = (today + timedelta(days=1)).isoformat()
    rows: list[tuple[str, str, str, str, str]] = []
    for where, data in records:
        try:
            advisories = _parse(data, report)
        except RecordRefused as refusal:
            report.refuse(where, str(refusal))
            continue
        if any(one.modified_on > latest_on for one in advisories):
            report.refuse(where, "changed in the future")
            continue
        report.stored_counts.update({one.ecosystem for one in advisories})
        rows.extend(
            (one.ecosystem, one.name, one.advisory_id, one.modified_on, dump_record(one))
            for one in advisories
        )
        if len(rows) >= BATCH_ROWS:
            _insert(database, rows)
            rows.clear()
    _insert(database, rows)


def _parse(data: bytes, report: ImportReport) -> list[Advisory]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordRefused("not JSON") from error
    try:
        advisories = parse_records(record)
    except RecursionError as error:
        raise RecordRefused("nested too deeply") from error
    if not advisories:
        if record.get("withdrawn"):
            report.withdrawn_count += 1
        else:
            report.other_count += 1
    return advisories


def _insert(database: sqlite3.Connection, rows: list[tuple[str, str, str, str, str]]) -> None:
    database.execute("BEGIN")
    # The same id twice in a source: the one that changed last counts, whatever the order.
    database.executemany(
        "INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "modified_on = excluded.modified_on, record = excluded.record "
        "WHERE (excluded.modified_on, excluded.record) > (modified_on, record)",
        rows,
    )
    database.execute("COMMIT")


def _keep_previous(
    database: sqlite3.Connection, target: Path, replaced: tuple[str, ...], is_addition: bool
) -> None:
    """Copy what the import does not replace. A store that cannot be read is left behind."""
    others = [one for one in ECOSYSTEMS if is_addition or one not in replaced]
    try:
        database.execute(
            "ATTACH DATABASE ? AS previous", (f"{target.absolute().as_uri()}?mode=ro&immutable=1",)
        )
        row = database.execute("SELECT value FROM previous.meta WHERE key = 'schema'").fetchone()
        if row is None or row[0] != STORE_SCHEMA:
            return
        for ecosystem in others:
            database.execute(
                "INSERT INTO records SELECT * FROM previous.records AS old WHERE ecosystem = ? "
                "ON CONFLICT DO NOTHING",
                (ecosystem,),
            )
            database.execute(
                "INSERT INTO sources SELECT * FROM previous.sources WHERE ecosystem = ?", (ecosystem,)
            )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise


def _write_sources(database: sqlite3.Connection, report: ImportReport, imported_at: str) -> None:
    for ecosystem in report.stored_counts:
        digest, ids, data_on = hashlib.sha256(), 0, ""
        rows = database.execute(
            "SELECT record, modified_on FROM records WHERE ecosystem = ? ORDER BY name, advisory_id",
            (ecosystem,),
        )
        for record, modified_on in rows:
            digest.update(record.encode() + b"\n")
            data_on = max(data_on, modified_on)
        (ids,) = database.execute(
            "SELECT count(DISTINCT advisory_id) FROM records WHERE ecosystem = ?", (ecosystem,)
        ).fetchone()
        database.execute(
            "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?)",
            (ecosystem, report.source, report.source_sha256, data_on, ids, digest.hexdigest(), imported_at),
        )


def _digests(database: sqlite3.Connection) -> list[tuple[str, str]]:
    return list(database.execute("SELECT ecosystem, digest FROM main.sources ORDER BY ecosystem"))


def _digests_of(target: Path) -> list[tuple[str, str]]:
    if not target.is_file():
        return []
    try:
        with closing(
            sqlite3.connect(f"{target.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            return _digests(database)
    except sqlite3.DatabaseError:
        return []


@contextmanager
def exclusive_import(directory: Path) -> Iterator[None]:
    """Hold the right to change the store in ``directory``.

    Raises:
        Conflict: Another process holds it.
    """
    with (directory / ".import.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "advisories.import_running",
                "Another import of advisories is under way.",
                "Wait until it is done.",
            ) from error
        yield


def _storage_error(error: sqlite3.OperationalError) -> Unavailable:
    if "full" in str(error):
        return StorageFull("advisories.disk_full", "The disk is full; the advisory store is as it was.")
    return Unavailable("advisories.write_failed", f"The advisory store could not be written: {error}.")


def _explain_os_error(error: OSError, path: Path) -> InvalidInput | Unavailable:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StorageFull("advisories.disk_full", "The disk is full; the advisory store is as it was.")
    return InvalidInput(
        "advisories.unreadable_source", f"{path} cannot be imported: {error.strerror or error}."
    )
