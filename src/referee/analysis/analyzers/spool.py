"""Results on the analyzer's disk, from the end of a tool until the server says that they are safe.

A result is two files: ``<transfer>.bundle`` and, written after that one is on disk, ``<transfer>.json``
that says what it is. Only a result with both counts; what a crash left of one is removed at the next
start. All functions that touch the disk are blocking.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from referee.analysis.analyzers.bundles import write_bundle
from referee.analysis.running import ToolOutput
from referee.core.errors import StorageFull

__all__ = ["Spool", "SpooledResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledResult:
    """A result that waits to be handed over."""

    transfer_id: UUID
    request_id: UUID
    tool_run_id: UUID
    service: str
    total_bytes: int
    sha256: str


class Spool:
    """The results of one analyzer.

    Args:
        folder: Where they lie; made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> list[SpooledResult]:
        """Remove what was never finished, and return what waits, the oldest first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting = []
        for path in sorted(self._folder.iterdir(), key=lambda path: (path.lstat().st_mtime_ns, path.name)):
            result = _load(path) if path.suffix == ".json" else None
            if result is not None and self.path_of(result).is_file():
                waiting.append(result)
        kept = {result.transfer_id.hex for result in waiting}
        for path in self._folder.iterdir():
            if path.name not in {f"{name}{suffix}" for name in kept for suffix in (".json", ".bundle")}:
                path.unlink()
        return waiting

    def put(
        self, *, transfer_id: UUID, request_id: UUID, tool_run_id: UUID, service: str, output: ToolOutput
    ) -> SpooledResult:
        """Keep a result: when this returns it survives a crash.

        Raises:
            StorageFull: The disk takes no more.
        """
        path = self._folder / f"{transfer_id.hex}.bundle"
        try:
            with path.open("wb") as file:
                total_bytes, sha256 = write_bundle(file, tool_run_id, output)
                file.flush()
                os.fsync(file.fileno())
            result = SpooledResult(
                transfer_id=transfer_id,
                request_id=request_id,
                tool_run_id=tool_run_id,
                service=service,
                total_bytes=total_bytes,
                sha256=sha256,
            )
            _write_durably(self._folder / f"{transfer_id.hex}.json", _dump(result))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StorageFull(
                "analyzer.spool_full",
                f"A result could not be kept on the analyzer's disk: {os.strerror(error.errno or 0)}.",
                "Free some space on the analyzer.",
            ) from error
        return result

    def remove(self, result: SpooledResult) -> None:
        """Forget a result that the server has, or does not want."""
        (self._folder / f"{result.transfer_id.hex}.json").unlink(missing_ok=True)
        self.path_of(result).unlink(missing_ok=True)

    def path_of(self, result: SpooledResult) -> Path:
        """Return the file that is handed over."""
        return self._folder / f"{result.transfer_id.hex}.bundle"

    def read(self, result: SpooledResult, offset: int, length: int) -> bytes:
        """Return a piece of a result."""
        with self.path_of(result).open("rb") as file:
            file.seek(offset)
            return file.read(length)


def _dump(result: SpooledResult) -> bytes:
    return json.dumps(asdict(result), default=str).encode()


def _load(path: Path) -> SpooledResult | None:
    try:
        values = json.loads(path.read_bytes())
        return SpooledResult(
            transfer_id=UUID(values["transfer_id"]),
            request_id=UUID(values["request_id"]),
            tool_run_id=UUID(values["tool_run_id"]),
            service=str(values["service"]),
            total_bytes=int(values["total_bytes"]),
            sha256=str(values["sha256"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
