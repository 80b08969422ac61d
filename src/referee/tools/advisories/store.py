"""The advisory store: which problems are known of a package, and how old that knowledge is.

A store is one SQLite file that is only ever read. An import writes a new file
beside it and moves it into place, so a reader sees the old or the new data,
never a mixture, and a reader that has it open keeps what it opened.

An ecosystem that was never imported is answered from the small hand-written
set in the package (``data/``); its date and size say so in every result.

Not here: bringing data in (``importing.py``).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Self

from referee.core.errors import IntegrityError
from referee.core.findings import JsonValue
from referee.tools.advisories.records import (
    Advisory,
    AdvisoryGroup,
    group_advisories,
    normalize_name,
    parse_records,
)
from referee.tools.advisories.versions import Ecosystem

__all__ = [
    "ECOSYSTEMS",
    "STORE_FILE",
    "STORE_SCHEMA",
    "AdvisoryStore",
    "EcosystemData",
    "advisory_digest",
    "dump_record",
]

ECOSYSTEMS: tuple[Ecosystem, ...] = ("PyPI", "npm")
STORE_FILE = "advisories.sqlite3"
STORE_SCHEMA = "1"
"""Raised when a store written before can no longer be read; it is then imported again."""


@dataclass(frozen=True, slots=True)
class EcosystemData:
    """Where the advisories of one ecosystem come from and how old they are."""

    ecosystem: Ecosystem
    is_bundled: bool
    """True for the small set in the package."""
    source: str
    """File name or address it was imported from."""
    source_sha256: str
    data_on: str
    """Newest change of a record, as a date (ISO)."""
    records_count: int
    digest: str
    """SHA-256 over the records: equal digests give equal verdicts."""
    imported_at: str
    """Instant (ISO); empty for the bundled set."""


def dump_record(advisory: Advisory) -> str:
    """Return the compact, canonical text that a store keeps of an advisory."""
    return json.dumps(advisory.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def advisory_digest(directory: Path) -> str:
    """Return the SHA-256 that stands for everything a store in ``directory`` would answer."""
    with AdvisoryStore.open(directory) as store:
        return store.digest


class AdvisoryStore:
    """A store that is open for reading. Use it as a context manager, in one thread."""

    def __init__(
        self, connection: sqlite3.Connection | None, imported: Mapping[Ecosystem, EcosystemData]
    ) -> None:
        self._connection = connection
        self._data = {one: imported.get(one) or _bundled(one)[0] for one in ECOSYSTEMS}

    @classmethod
    def open(cls, directory: Path | None) -> Self:
        """Open the store in ``directory``; the bundled set where nothing was imported.

        Raises:
            IntegrityError: The file there is not a store that this version can read.
        """
        path = directory / STORE_FILE if directory is not None else None
        if path is None or not path.is_file():
            return cls(None, {})
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        try:
            imported = _read_sources(connection)
        except (sqlite3.Error, ValueError) as error:
            connection.close()
            raise IntegrityError(
                "advisories.unreadable",
                f"The advisory store {path} cannot be read: {error}.",
                "Import the advisories again, or delete the file to use the bundled set.",
            ) from error
        return cls(connection, imported)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all ecosystems; part of the key of cached results."""
        text = "\n".join(f"{name} {self._data[name].digest}" for name in ECOSYSTEMS)
        return hashlib.sha256(text.encode()).hexdigest()

    def data_of(self, ecosystem: Ecosystem) -> EcosystemData:
        """Return where the advisories of an ecosystem come from."""
        return self._data[ecosystem]

    def read_last_import(self) -> dict[str, JsonValue]:
        """Return what became of the last import, with the records it refused; empty when there was none."""
        if self._connection is None:
            return {}
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'last_import'").fetchone()
        found: dict[str, JsonValue] = json.loads(row[0]) if row else {}
        return found

    def find_groups(self, ecosystem: Ecosystem, name: str) -> tuple[AdvisoryGroup, ...]:
        """Return the known problems of a package, sorted by key; empty when none is known."""
        normalized = normalize_name(ecosystem, name)
        if self._data[ecosystem].is_bundled or self._connection is None:
            return group_advisories(_bundled(ecosystem)[1].get(normalized, ()))
        rows = self._connection.execute(
            "SELECT record FROM records WHERE ecosystem = ? AND name = ? ORDER BY advisory_id",
            (ecosystem, normalized),
        )
        found = [advisory for (record,) in rows for advisory in parse_records(json.loads(record))]
        return group_advisories(found)


def _read_sources(connection: sqlite3.Connection) -> dict[Ecosystem, EcosystemData]:
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or row[0] != STORE_SCHEMA:
        raise ValueError("it was written by another version of Referee")
    rows = connection.execute(
        "SELECT ecosystem, source, source_sha256, data_on, records_count, digest, imported_at FROM sources"
    )
    return {
        row[0]: EcosystemData(
            ecosystem=row[0],
            is_bundled=False,
            source=row[1],
            source_sha256=row[2],
            data_on=row[3],
            records_count=row[4],
            digest=row[5],
            imported_at=row[6],
        )
        for row in rows
        if row[0] in ECOSYSTEMS
    }


def read_bundled_records() -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield file name and record of each advisory in the package, in a fixed order."""
    folder = resources.files("referee.tools.advisories") / "data"
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".json"):
            for record in json.loads(entry.read_text(encoding="utf-8")):
                yield entry.name, record


@lru_cache(maxsize=len(ECOSYSTEMS))
def _bundled(ecosystem: Ecosystem) -> tuple[EcosystemData, dict[str, tuple[Advisory, ...]]]:
    by_name: dict[str, list[Advisory]] = {}
    digest = hashlib.sha256()
    data_on = ""
    ids: set[str] = set()
    for _, record in read_bundled_records():
        for advisory in parse_records(record):
            if advisory.ecosystem == ecosystem:
                by_name.setdefault(advisory.name, []).append(advisory)
                digest.update(dump_record(advisory).encode() + b"\n")
                data_on = max(data_on, advisory.modified_on)
                ids.add(advisory.advisory_id)
    data = EcosystemData(
        ecosystem=ecosystem,
        is_bundled=True,
        source="bundled with Referee",
        source_sha256="",
        data_on=data_on,
        records_count=len(ids),
        digest=digest.hexdigest(),
        imported_at="",
    )
    return data, {name: tuple(advisories) for name, advisories in by_name.items()}
