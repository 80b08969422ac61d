"""The records of an OSV export, one at a time: zip archives, JSON documents, JSON lines.

The source is not trusted: nothing in it is used as a path or unpacked to disk,
archives inside archives are not opened, and every size and count has a limit.
Memory holds one record and a zip archive's directory, which is limited too.

Not here: what a record means (``records.py``) and where it goes (``importing.py``).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from referee.core.errors import InvalidInput, PayloadTooLarge
from referee.core.findings import JsonValue

__all__ = ["MIB", "ImportLimits", "ImportReport", "make_printable", "make_too_large", "read_export"]

MIB = 1024 * 1024
MAX_NAMED_REFUSALS = 20
"""Refused records told by name; beyond that only their count."""
_END_OF_DIRECTORY = b"PK\x05\x06"
_END_OF_DIRECTORY_BYTES = 22 + 65_535
"""The record itself and the longest comment that may follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLimits:
    """What a source may cost. The full npm export has some 250,000 records in 200 MB."""

    source_bytes: int = 2048 * MIB
    record_bytes: int = 8 * MIB
    records_count: int = 1_000_000
    unpacked_bytes: int = 16_384 * MIB
    directory_bytes: int = 256 * MIB
    """Of a zip archive's directory, which is held in memory."""
    document_bytes: int = 64 * MIB
    """Of a JSON file that is one document instead of one record a line."""


@dataclass(slots=True)
class ImportReport:
    """What became of a source."""

    source: str
    source_sha256: str = ""
    source_bytes: int = 0
    read_count: int = 0
    """Records looked at."""
    stored_counts: Counter[str] = field(default_factory=Counter)
    """Records stored, by ecosystem."""
    withdrawn_count: int = 0
    other_count: int = 0
    """Records of other ecosystems only."""
    refused_count: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """The first refused records: where, and why."""
    is_changed: bool = True
    """False when the store already held exactly this."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as values that the store remembers."""
        stored: dict[str, JsonValue] = dict(self.stored_counts)
        return {
            "source": self.source,
            "source_sha256": self.source_sha256,
            "source_bytes": self.source_bytes,
            "read_count": self.read_count,
            "stored_counts": stored,
            "withdrawn_count": self.withdrawn_count,
            "other_count": self.other_count,
            "refused_count": self.refused_count,
            "refused": [[where, reason] for where, reason in self.refused],
        }

    def refuse(self, where: str, reason: str) -> None:
        """Count a record that cannot be used."""
        self.refused_count += 1
        if len(self.refused) < MAX_NAMED_REFUSALS:
            self.refused.append((make_printable(where), reason))


def read_export(stream: BinaryIO, report: ImportReport, limits: ImportLimits) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the bytes of each record; what is not one is counted in ``report``.

    Raises:
        InvalidInput: The source is of another kind or damaged as a whole.
        PayloadTooLarge: A limit is exceeded.
    """
    head = stream.read(4)
    stream.seek(0)
    if head.startswith(b"PK"):
        records = _read_zip(stream, report, limits)
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zX", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")):
        raise InvalidInput(
            "advisories.kind",
            f"{report.source} is compressed in a way that is not read.",
            "Give a zip archive or JSON.",
        )
    else:
        records = _read_json(stream, report, limits)
    for where, data in records:
        report.read_count += 1
        if report.read_count > limits.records_count:
            raise PayloadTooLarge(
                "advisories.too_many_records",
                f"{report.source} holds more than {limits.records_count} records.",
            )
        yield where, data


def _read_zip(stream: BinaryIO, report: ImportReport, limits: ImportLimits) -> Iterator[tuple[str, bytes]]:
    _check_directory(stream, report, limits)
    unpacked_bytes = 0
    try:
        with zipfile.ZipFile(stream) as archive:
            if len(archive.filelist) > limits.records_count:
                raise PayloadTooLarge(
                    "advisories.too_many_records",
                    f"{report.source} holds more than {limits.records_count} files.",
                )
            for entry in archive.filelist:
                if entry.is_dir():
                    continue
                if (reason := _reason_against(entry, limits)) is not None:
                    report.read_count += 1
                    report.refuse(entry.filename, reason)
                    continue
                try:
                    with archive.open(entry) as member:
                        data = member.read(limits.record_bytes + 1)
                except (
                    zipfile.BadZipFile,
                    EOFError,
                    ValueError,
                    RuntimeError,
                    NotImplementedError,
                    zlib.error,
                ):
                    report.read_count += 1
                    report.refuse(entry.filename, "damaged in the archive")
                    continue
                if len(data) > limits.record_bytes:
                    report.read_count += 1
                    report.refuse(entry.filename, f"larger than {limits.record_bytes} bytes")
                    data = b""
                unpacked_bytes += len(data) or limits.record_bytes
                if unpacked_bytes > limits.unpacked_bytes:
                    raise make_too_large("What the archive unpacks to", limits.unpacked_bytes)
                if data:
                    yield entry.filename, data
    except zipfile.BadZipFile as error:
        raise InvalidInput(
            "advisories.damaged",
            f"{report.source} is not a whole zip archive: {error}.",
            "Download it again.",
        ) from error


def _reason_against(entry: zipfile.ZipInfo, limits: ImportLimits) -> str | None:
    if not entry.filename.lower().endswith(".json"):
        return "not a JSON file"
    if entry.flag_bits & 0x1:
        return "encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "compressed in a way that is not read"
    if entry.file_size > limits.record_bytes:
        return f"larger than {limits.record_bytes} bytes"
    return None


def _check_directory(stream: BinaryIO, report: ImportReport, limits: ImportLimits) -> None:
    """Refuse an archive whose directory alone would fill the memory, before it is loaded."""
    tail_bytes = min(report.source_bytes, _END_OF_DIRECTORY_BYTES)
    stream.seek(report.source_bytes - tail_bytes)
    tail = stream.read(tail_bytes)
    stream.seek(0)
    at = tail.rfind(_END_OF_DIRECTORY)
    if at < 0:
        raise InvalidInput(
            "advisories.damaged", f"{report.source} is not a whole zip archive.", "Download it again."
        )
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory_bytes == 0xFFFFFFFF:  # zip64: everything before the end may be directory
        directory_bytes = min(report.source_bytes, limits.directory_bytes)
    if directory_bytes > limits.directory_bytes:
        raise make_too_large("The archive's directory", limits.directory_bytes)


def _read_json(stream: BinaryIO, report: ImportReport, limits: ImportLimits) -> Iterator[tuple[str, bytes]]:
    first = stream.readline(limits.record_bytes + 1)
    stream.seek(0)
    if _is_record(first):
        yield from _read_lines(stream, report, limits)
        return
    if report.source_bytes > limits.document_bytes:
        raise make_too_large("A JSON document", limits.document_bytes)
    try:
        document = json.loads(stream.read())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "advisories.kind",
            f"{report.source} is neither a zip archive nor JSON.",
            "Give an OSV export or a record.",
        ) from error
    if isinstance(document, dict) and isinstance(document.get("vulns"), list):
        document = document["vulns"]
    for number, record in enumerate(document if isinstance(document, list) else [document], start=1):
        yield f"record {number}", json.dumps(record).encode()


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "vulns" not in record


def _read_lines(stream: BinaryIO, report: ImportReport, limits: ImportLimits) -> Iterator[tuple[str, bytes]]:
    number = 0
    while line := stream.readline(limits.record_bytes + 1):
        number += 1
        if len(line) > limits.record_bytes:
            report.read_count += 1
            report.refuse(f"line {number}", f"larger than {limits.record_bytes} bytes")
            while line and not line.endswith(b"\n"):
                line = stream.readline(limits.record_bytes + 1)
        elif line.strip():
            yield f"line {number}", line


def make_too_large(what: str, limit_bytes: int) -> PayloadTooLarge:
    """Return the error that says what is larger than its limit."""
    return PayloadTooLarge(
        "advisories.too_large",
        f"{what} is larger than {limit_bytes / MIB:.0f} MB.",
        "Split the export, or leave out what is not needed.",
        limit_bytes=limit_bytes,
    )


def make_printable(text: str) -> str:
    """Return a short text without control characters."""
    return "".join(one if one.isprintable() else "�" for one in text[:200])
