"""Reads the zip file of an exported pipeline that anybody may have made: nothing in it is believed.

Before anything is unpacked: its size, how many entries it has, what they come to, that every name stays below the
folder it is unpacked in, that none is a link or encrypted, and that ``SHA256SUMS`` names each of them once. Each entry
is then read to its end and compared with its digest. Nothing is written here.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from referee.core.errors import DamagedInput, IntegrityError, InvalidInput, PayloadTooLarge
from referee.pipelines.archives import check_entry_name

__all__ = ["ArchiveReader", "UnknownSchema", "check_name", "check_schema"]

SUMS_NAME: Final = "SHA256SUMS"
MAX_ENTRIES_COUNT: Final = 200_000
MAX_UNPACKED_BYTES: Final = 8 << 30
MAX_RATIO: Final = 100
"""Unpacked to packed; what we pack comes to about 5. Small archives may exceed it."""
SMALL_BYTES: Final = 64 << 20
MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of an entry that is read as a whole, and of one line."""
_CHUNK_BYTES: Final = 1 << 20
_SUM: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError)


class UnknownSchema(InvalidInput):
    """The archive has something in a shape that this release does not know."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            "import.schema_unknown",
            f"This release does not know how to read {where}: {what}.",
            "Import it with the release that exported it, or a later one.",
        )


def check_schema(document: Any, where: str, known: dict[str, str]) -> None:
    """Refuse a document of another schema or version than the known ones.

    Raises:
        UnknownSchema: It has none, another one or another version.
    """
    found = document if isinstance(document, dict) else {}
    schema, version = found.get("schema"), found.get("schema_version")
    if not isinstance(schema, str) or known.get(schema) != version:
        raise UnknownSchema(where, f"its schema is {str(schema)[:60]!r} in version {str(version)[:20]!r}")


class ArchiveReader:
    """The checked table of contents of an archive; close it when done.

    Args:
        path: The file.

    Raises:
        InvalidInput: It is no zip file, or one that breaks a rule above.
        PayloadTooLarge: It comes to more than is unpacked.
        DamagedInput: Names and digests in it do not belong together.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise DamagedInput(
                "import.damaged",
                f"The file is no zip file, or is damaged: {str(error)[:200] or type(error).__name__}.",
                "Choose a file that `referee pipeline export` wrote; copy it again if it was cut.",
            ) from error
        try:
            self._entries = self._check_entries(path.stat().st_size)
            self.digests = self._read_sums()
        except BaseException:
            self._zip.close()
            raise
        self._names = {sha256: name for name, sha256 in self.digests.items()}

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def find_name(self, sha256: str) -> str | None:
        """Return an entry with this digest; None when there is none."""
        return self._names.get(sha256)

    def read_pieces(self, name: str) -> Iterator[bytes]:
        """Yield an entry piece by piece. The last one comes only after the digest was compared.

        Raises:
            DamagedInput: It is damaged, or not what ``SHA256SUMS`` says.
        """
        digest, held = hashlib.sha256(), b""
        with _explained(name), self._zip.open(self._entries[name]) as file:
            while piece := file.read(_CHUNK_BYTES):
                digest.update(piece)
                if held:
                    yield held
                held = piece
        if digest.hexdigest() != self.digests[name]:
            raise DamagedInput(
                "import.altered", f"{name[:200]} is not what its digest says.", "Export the pipeline again."
            )
        yield held

    def read_document(self, name: str) -> bytes:
        """Return a whole entry.

        Raises:
            DamagedInput: As for ``read_pieces``, or there is none.
            PayloadTooLarge: It is larger than a document may be.
        """
        if name not in self.digests:
            raise DamagedInput(
                "import.incomplete", f"The archive has no {name}.", "Export the pipeline again."
            )
        self._check_document_size(name)
        return b"".join(self.read_pieces(name))

    def read_json(self, name: str) -> Any:
        """Return a whole entry as JSON.

        Raises:
            DamagedInput: As for ``read_document``, or it is not JSON.
        """
        return _parse(self.read_document(name), name)

    def read_json_lines(self, name: str) -> Iterator[Any]:
        """Yield the JSON of each line of an entry.

        Raises:
            DamagedInput: As for ``read_pieces``, or a line is too long or not JSON.
        """
        rest = b""
        for piece in self.read_pieces(name):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > MAX_DOCUMENT_BYTES:
                raise DamagedInput("import.line_too_long", f"{name} has a line that does not end.")
            for line in lines:
                yield _parse(line, name)
        if rest:
            yield _parse(rest, name)

    def _check_document_size(self, name: str) -> None:
        if self._entries[name].file_size > MAX_DOCUMENT_BYTES:
            raise PayloadTooLarge(
                "import.document_too_large", f"{name[:200]} has more than {MAX_DOCUMENT_BYTES:,} bytes."
            )

    def _check_entries(self, packed_bytes: int) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES_COUNT:
            raise PayloadTooLarge(
                "import.too_many_entries", f"The archive has more than {MAX_ENTRIES_COUNT:,} entries."
            )
        for info in infos:
            check_name(info.filename)
            mode = info.external_attr >> 16
            is_file = not info.is_dir() and (stat.S_IFMT(mode) in (0, stat.S_IFREG))
            if not is_file or info.flag_bits & 0x1 or info.compress_type not in _METHODS:
                raise InvalidInput(
                    "import.entry_refused",
                    f"{info.filename[:200]!r} is a folder, a link, encrypted or packed by an unknown method.",
                    "Import the file as `referee pipeline export` wrote it.",
                )
            if info.filename in entries:
                raise InvalidInput(
                    "import.entry_refused",
                    f"{info.filename[:200]!r} is there twice.",
                    "Import the file as `referee pipeline export` wrote it.",
                )
            entries[info.filename] = info
        unpacked_bytes = sum(info.file_size for info in infos)
        if unpacked_bytes > min(MAX_UNPACKED_BYTES, max(SMALL_BYTES, MAX_RATIO * packed_bytes)):
            raise PayloadTooLarge(
                "import.unpacked_too_large",
                f"The archive has {packed_bytes:,} bytes and would unpack to {unpacked_bytes:,}.",
                "Import the file as `referee pipeline export` wrote it.",
            )
        return entries

    def _read_sums(self) -> dict[str, str]:
        if SUMS_NAME not in self._entries:
            raise InvalidInput(
                "import.not_an_export",
                f"The archive has no {SUMS_NAME}, so it is no exported pipeline.",
                "Export one with `referee pipeline export`.",
            )
        self._check_document_size(SUMS_NAME)
        with _explained(SUMS_NAME):
            lines = self._zip.read(SUMS_NAME).decode().split("\n")[:-1]
        sums: dict[str, str] = {}
        for line in lines:
            match = _SUM.fullmatch(line)
            if match is None or match[2] in sums:
                raise DamagedInput("import.sums_unreadable", f"{SUMS_NAME} has a line that is no digest.")
            sums[match[2]] = match[1]
        if sums.keys() != self._entries.keys() - {SUMS_NAME}:
            raise DamagedInput(
                "import.sums_incomplete",
                f"{SUMS_NAME} does not name the files of the archive, each once.",
                "Export the pipeline again.",
            )
        return sums


def check_name(name: str) -> None:
    """Refuse a name that leads out of the folder it is unpacked in.

    Raises:
        DamagedInput: It does.
    """
    try:
        check_entry_name(name)
    except IntegrityError as error:
        raise DamagedInput(
            "import.entry_refused", error.message, "Import the file as it was exported."
        ) from error


def _parse(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedInput(
            "import.unreadable",
            f"{name[:200]} is not JSON: {str(error)[:200]}.",
            "Export the pipeline again.",
        ) from error


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise DamagedInput(
            "import.damaged",
            f"The archive is damaged at {name[:200]}: {str(error)[:200] or type(error).__name__}.",
            "Copy or export it again.",
        ) from error
