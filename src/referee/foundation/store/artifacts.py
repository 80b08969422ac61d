"""Stored bytes, addressed by their SHA-256: kept once, never changed, checked on every read.

The folder form is here, the one on S3 in ``s3_artifacts.py``; a further one needs
only the methods of ``ArtifactStore``. A put that returns means: the bytes and their
name are on disk, fsynced (on S3: acknowledged by it). Bytes that no row refers to
are harmless.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from prometheus_client import Counter

from referee.core.errors import (
    IntegrityError,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    RefereeError,
    StorageFull,
)
from referee.foundation.metrics import REGISTRY
from referee.foundation.settings import Settings

__all__ = ["Artifact", "ArtifactStore", "FolderArtifacts", "open_artifacts"]

PIECE_BYTES = 1 << 20
"""Bytes held in memory at a time."""

_LEFTOVER_AGE_S = 3600.0
"""A temporary file older than this belongs to a process that died: no put takes that long."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PAIR = re.compile(r"[0-9a-f]{2}")
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_UNLINKABLE_ERRNOS = (errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
"""Another disk, or one without second names: the file is copied. A missing one is found to be so by that."""

WRITES = Counter(
    "referee_store_artifact_writes_total", "Artifacts put, new or already there.", registry=REGISTRY
)
WRITTEN = Counter("referee_store_artifact_written_bytes_total", "Bytes of new artifacts.", registry=REGISTRY)
FAILURES = Counter(
    "referee_store_artifact_failures_total", "Artifact operations that failed.", ["reason"], registry=REGISTRY
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes in the store."""

    sha256: str
    """64 lower-case hexadecimal digits."""
    size_bytes: int
    media_type: str


class ArtifactStore(Protocol):
    """Keeps bytes under their SHA-256."""

    async def put_bytes(self, data: bytes, media_type: str) -> Artifact:
        """Store bytes, unless they are there already.

        Raises:
            StorageFull: There is no room; nothing was stored.
            Unavailable: The store does not answer; nothing was acknowledged. So for everything below.
        """
        ...

    async def put_pieces(self, pieces: Iterable[bytes], media_type: str) -> Artifact:
        """Store bytes that come in pieces, unless they are there already. The pieces are taken in a thread.

        Raises:
            StorageFull: There is no room; nothing was stored.
        """
        ...

    async def put_file(self, path: Path, media_type: str) -> Artifact:
        """Store a copy of a file, unless its bytes are there already.

        Raises:
            NotFound: There is no such file.
            StorageFull: There is no room; nothing was stored.
        """
        ...

    async def adopt_file(self, path: Path, sha256: str, media_type: str) -> Artifact:
        """Store a file under a digest that was computed as it was written, without copying it where that can be.

        Args:
            path: It must be on disk, and never be written again; removing this name of it later is all right.
            sha256: Of its bytes.
            media_type: What they are.

        Raises:
            NotFound: There is no such file.
            StorageFull: There is no room; nothing was stored.
        """
        ...

    async def read_bytes(self, sha256: str, *, max_bytes: int | None = None) -> bytes:
        """Return the bytes, after checking their digest.

        Raises:
            NotFound: Nothing is stored under that digest.
            PayloadTooLarge: There are more than ``max_bytes``.
            IntegrityError: The stored bytes have changed.
        """
        ...

    def stream(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces; the last one only after the digest was checked.

        Raises:
            NotFound: Nothing is stored under that digest.
            IntegrityError: The stored bytes have changed.
        """
        ...

    async def check(self, sha256: str, *, size_bytes: int | None = None) -> str | None:
        """Read everything again. Returns None or one sentence: missing, cut or altered."""
        ...

    def hold_file(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """Give the bytes as a file of this machine while the context lasts: to read, never to write.

        The folder's own file, as it is; from S3 a copy whose digest was checked when it came.

        Raises:
            InvalidInput: It is not a SHA-256.
            NotFound: Nothing is stored under that digest.
            IntegrityError: The bytes that came have changed.
            StorageFull: There is no room for a copy.
        """
        ...

    def list_digests(self) -> AsyncIterator[str]:
        """Yield the digest of everything that is stored, in any order."""
        ...


def open_artifacts(settings: Settings) -> ArtifactStore:
    """Return the artifact store of these settings. S3 itself is not asked yet.

    Raises:
        InvalidInput: Its folder cannot be written.
    """
    settings.ensure_home()
    if settings.artifacts_url is not None:
        # Looked up only here: a library of 15 MB, which nobody with a folder needs.
        from referee.foundation.store.s3_artifacts import S3Artifacts  # noqa: PLC0415

        return S3Artifacts(settings)
    return FolderArtifacts(settings.artifacts_dir)


class FolderArtifacts:
    """Artifacts in a folder: ``ab/cd/<sha256>``, read-only files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"
        self._durable_folders: set[Path] = set()
        with explained_errors():
            root.mkdir(mode=0o700, exist_ok=True)
            self._temporary.mkdir(mode=0o700, exist_ok=True)
            self._sweep_leftovers()

    async def put_bytes(self, data: bytes, media_type: str) -> Artifact:
        """Store bytes, unless they are there already."""
        return await asyncio.to_thread(self._put, slice_bytes(data), media_type)

    async def put_pieces(self, pieces: Iterable[bytes], media_type: str) -> Artifact:
        """Store bytes that come in pieces, unless they are there already."""
        return await asyncio.to_thread(self._put, pieces, media_type)

    async def put_file(self, path: Path, media_type: str) -> Artifact:
        """Store a copy of a file, unless its bytes are there already."""
        return await asyncio.to_thread(self._put_file, path, media_type)

    async def adopt_file(self, path: Path, sha256: str, media_type: str) -> Artifact:
        """Store a file under its digest, by a second name for it where it lies on the same disk."""
        return await asyncio.to_thread(self._adopt, path, sha256, media_type)

    async def read_bytes(self, sha256: str, *, max_bytes: int | None = None) -> bytes:
        """Return the bytes, after checking their digest."""
        return await asyncio.to_thread(self._read, sha256, max_bytes)

    async def stream(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces of at most 1 MiB; the last one only after the digest was checked."""
        pieces = self._read_pieces(sha256)
        previous: bytes | None = None
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            if previous is not None:
                yield previous
            previous = piece
        if previous is not None:
            yield previous

    async def check(self, sha256: str, *, size_bytes: int | None = None) -> str | None:
        """Read everything again and say what is wrong, if anything is."""
        return await asyncio.to_thread(self._check, sha256, size_bytes)

    @asynccontextmanager
    async def hold_file(self, sha256: str) -> AsyncIterator[Path]:
        """Give the file of a digest, as it is: nobody removes it."""
        path = self.path_of(sha256)
        if not await asyncio.to_thread(path.is_file):
            raise find_nothing(sha256)
        yield path

    async def list_digests(self) -> AsyncIterator[str]:
        """Yield the digests of all files that are named for one, folder by folder."""
        for first in await asyncio.to_thread(_list_names, self._root, _PAIR):
            for second in await asyncio.to_thread(_list_names, self._root / first, _PAIR):
                for name in await asyncio.to_thread(_list_names, self._root / first / second, _DIGEST):
                    yield name

    def path_of(self, sha256: str) -> Path:
        """Return where the bytes of a digest lie, whether or not they are there.

        Raises:
            InvalidInput: It is not a SHA-256.
        """
        return self._root / name_key(sha256)

    def _put_file(self, path: Path, media_type: str) -> Artifact:
        try:
            with path.open("rb") as source:
                return self._put(iter(lambda: source.read(PIECE_BYTES), b""), media_type)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise NotFound(
                "artifact.source_unreadable",
                f"The file {path} cannot be read: {error.strerror}.",
                "Check that it exists and is a readable file.",
            ) from error

    def _adopt(self, path: Path, sha256: str, media_type: str) -> Artifact:
        temporary = self._temporary / f"adopted-{uuid4().hex}"
        with explained_errors():
            try:
                os.link(path, temporary, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _UNLINKABLE_ERRNOS:
                    raise
                return self._put_file(path, media_type)
            try:
                temporary.chmod(0o440)
                size_bytes = temporary.stat().st_size
                is_new = self._link(temporary, sha256)
            finally:
                temporary.unlink(missing_ok=True)
        WRITES.inc()
        if is_new:
            WRITTEN.inc(size_bytes)
        return Artifact(sha256, size_bytes, media_type)

    def _put(self, pieces: Iterable[bytes], media_type: str) -> Artifact:
        digest = hashlib.sha256()
        size_bytes = 0
        with explained_errors():
            descriptor, name = tempfile.mkstemp(dir=self._temporary)
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    for piece in pieces:
                        digest.update(piece)
                        size_bytes += len(piece)
                        _write_all(file.fileno(), piece)
                    os.fchmod(file.fileno(), 0o440)
                    os.fsync(file.fileno())
                is_new = self._link(Path(name), digest.hexdigest())
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108 - mkstemp gives a str
        WRITES.inc()
        if is_new:
            WRITTEN.inc(size_bytes)
        return Artifact(digest.hexdigest(), size_bytes, media_type)

    def _link(self, temporary: Path, sha256: str) -> bool:
        """Give the file its final name, durably. False when bytes of that name are there already."""
        target = self.path_of(sha256)
        is_new = True
        self._ensure_folder(target.parent)
        try:
            os.link(temporary, target)
        except FileExistsError:
            if self._is_intact(target, sha256):
                is_new = False
            else:
                os.replace(temporary, target)  # noqa: PTH105 - heals what verify would complain about
        # Whoever linked it first may not have come to this yet, and we are about to say "stored".
        _fsync_dir(target.parent)
        return is_new

    def _ensure_folder(self, folder: Path) -> None:
        """Make a folder and have it on disk, even when another process has made it and not synced yet."""
        if folder in self._durable_folders:
            return
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _fsync_dir(folder.parent)
        _fsync_dir(self._root)
        self._durable_folders.add(folder)

    def _is_intact(self, target: Path, sha256: str) -> bool:
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def _read(self, sha256: str, max_bytes: int | None) -> bytes:
        path = self.path_of(sha256)
        if max_bytes is not None and path.exists() and path.stat().st_size > max_bytes:
            raise find_too_large(sha256, max_bytes)
        return b"".join(self._read_pieces(sha256))

    def _read_pieces(self, sha256: str) -> Iterator[bytes]:
        path = self.path_of(sha256)
        digest = hashlib.sha256()
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise find_nothing(sha256) from error
        with file, explained_errors():
            piece = file.read(PIECE_BYTES)
            while piece:
                digest.update(piece)
                following = file.read(PIECE_BYTES)
                if not following and digest.hexdigest() != sha256:
                    break
                yield piece
                piece = following
        if digest.hexdigest() != sha256:
            raise find_altered(sha256)

    def _check(self, sha256: str, size_bytes: int | None) -> str | None:
        path = self.path_of(sha256)
        try:
            with path.open("rb") as file:
                found_bytes = os.fstat(file.fileno()).st_size
                if size_bytes is not None and found_bytes < size_bytes:
                    return describe_damage(sha256, found_bytes, size_bytes, "")
                return describe_damage(
                    sha256, found_bytes, size_bytes, hashlib.file_digest(file, "sha256").hexdigest()
                )
        except FileNotFoundError:
            return describe_missing(sha256)
        except OSError as error:
            return f"The artifact {sha256} is unreadable: {error.strerror}."

    def _sweep_leftovers(self) -> None:
        oldest_s = time.time() - _LEFTOVER_AGE_S
        for leftover in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if leftover.stat().st_mtime < oldest_s:
                    leftover.unlink()


def name_key(sha256: str) -> str:
    """Return the name of a digest's bytes below the root of a store, the same in every form.

    Raises:
        InvalidInput: It is not a SHA-256.
    """
    if not _DIGEST.fullmatch(sha256):
        raise InvalidInput(
            "artifact.digest_invalid",
            f"{sha256[:80]!r} is not a SHA-256.",
            "Give 64 lower-case hexadecimal digits.",
        )
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def find_nothing(sha256: str) -> NotFound:
    """Count that a digest has no bytes, and return the error that says so."""
    FAILURES.labels("missing").inc()
    return NotFound("artifact.not_found", f"No artifact has the digest {sha256}.", "Run `referee verify`.")


def find_altered(sha256: str) -> IntegrityError:
    """Count that bytes are not what their digest says, and return the error that says so."""
    FAILURES.labels("altered").inc()
    return IntegrityError(
        "artifact.altered",
        f"The bytes stored under {sha256} are not the ones that were stored.",
        "Run `referee verify` to see what depends on them, and restore them from a backup.",
    )


def find_too_large(sha256: str, max_bytes: int) -> PayloadTooLarge:
    """Return the error that says that there are more bytes than the caller takes."""
    return PayloadTooLarge(
        "artifact.too_large",
        f"The artifact {sha256} has more than the {max_bytes} bytes that were asked for.",
        "Stream it instead.",
    )


def describe_missing(sha256: str) -> str:
    """Return the sentence for bytes that are not there."""
    return f"The artifact {sha256} is missing."


def describe_damage(sha256: str, found_bytes: int, size_bytes: int | None, found_sha256: str) -> str | None:
    """Return one sentence of what is wrong with bytes that were read: cut, altered, of another size; or None."""
    if size_bytes is not None and found_bytes < size_bytes:
        return f"The artifact {sha256} is cut: {found_bytes} of {size_bytes} bytes are there."
    if found_sha256 != sha256:
        return f"The artifact {sha256} is altered: its {found_bytes} bytes have another digest."
    if size_bytes is not None and found_bytes != size_bytes:
        return f"The artifact {sha256} has {found_bytes} bytes, and {size_bytes} were recorded."
    return None


def _list_names(folder: Path, form: re.Pattern[str]) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if form.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def slice_bytes(data: bytes) -> Iterator[bytes]:
    """Yield data in pieces of at most ``PIECE_BYTES``."""
    view = memoryview(data)
    return (bytes(view[start : start + PIECE_BYTES]) for start in range(0, len(view), PIECE_BYTES))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _fsync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn errors of the operating system into ours, and count them."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_ERRNOS:
            FAILURES.labels("full").inc()
            raise StorageFull(
                "storage.full",
                "The disk of the artifact store is full; nothing was stored.",
                "Free some space, then try again.",
            ) from error
        if error.errno == errno.EIO:
            FAILURES.labels("disk").inc()
            # After a failed fsync the kernel may have dropped the pages: trying again would succeed and lie.
            raise RefereeError(
                "storage.disk_failed",
                "The disk of the artifact store failed to write or read; nothing was acknowledged.",
                "Check the disk and the system log, then restart Referee.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            FAILURES.labels("refused").inc()
            raise InvalidInput(
                "storage.not_writable",
                f"The artifact store cannot be used: {error.strerror}: {error.filename}.",
                "Give REFEREE_HOME a folder of your own.",
            ) from error
        raise
