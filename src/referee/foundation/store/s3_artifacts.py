"""Artifacts in a bucket of S3 or of a server that speaks it: ``<prefix>/ab/cd/<sha256>``, as in the folder.

A put that returns means: S3 acknowledged the bytes under their name. Small ones are
created only if nothing is there; large ones go up in parts and appear whole or not
at all. What is there already is read and compared, so a put heals altered bytes as the
folder's does. Each request is signed with the SHA-256 of what it carries, and reads
are cut into ranges: memory and the time of a request stay bounded at any size.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from obstore import exceptions
from obstore.store import S3Store

from referee.core.errors import InvalidInput, NotFound, StorageFull, Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store.artifact_cache import ArtifactCache, HeldCopy
from referee.foundation.store.artifacts import (
    FAILURES,
    PIECE_BYTES,
    WRITES,
    WRITTEN,
    Artifact,
    describe_damage,
    describe_missing,
    explained_errors,
    find_altered,
    find_nothing,
    find_too_large,
    name_key,
    slice_bytes,
)

__all__ = ["S3Artifacts"]

_Result = TypeVar("_Result")

BLOCK_BYTES: Final = 8 << 20
"""One part of an upload and one range of a read: small enough for a slow line within the timeout of a request."""
_PARTS_MAX_COUNT: Final = 10_000
"""Source: Amazon S3 User Guide, multipart upload limits."""
_PARALLEL_PARTS_COUNT: Final = 4
_CREATE_ATTEMPTS_COUNT: Final = 5
"""What is there may vanish between the refusal and the look; five times in a row it does not."""
_LIST_COUNT: Final = 1_000
_INLINE_HASH_BYTES: Final = 128 * 1024
"""Up to here a digest takes less time than the change to a thread."""
_FIRST_WAIT_S: Final = 0.2
_WAIT_MAX_S: Final = 5.0
_LIBRARY_RETRY_MAX_S: Final = 10.0
"""The library repeats what a lost connection or a busy server leaves undone, but no write that timed out."""
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_TRANSIENT_STATUSES: Final = frozenset({"", "408", "429"})
"""With every 5xx, and no answer at all: what may be otherwise a moment later."""
_FULL_CODES: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "StorageFull"})


class _NothingThereError(Exception):
    """The range begins behind the end of the object."""


class _Bytes(Protocol):
    """Bytes of the library, outside Python's memory."""

    def __len__(self) -> int: ...
    def to_bytes(self) -> bytes: ...


@dataclass(slots=True)
class _Reading:
    """An object that is being read."""

    size_bytes: int
    blocks: AsyncIterator[bytes]


class S3Artifacts:
    """Artifacts in a bucket."""

    def __init__(self, settings: Settings) -> None:
        self._store = _open_store(settings)
        self._cache = ArtifactCache(settings.artifact_cache_dir, settings.artifacts_cache_bytes)
        self._retry_s = settings.artifacts_retry_s
        self._url = settings.artifacts_url
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._keeping: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def put_bytes(self, data: bytes, media_type: str) -> Artifact:
        """Store bytes, unless they are there already."""
        sha256 = await _digest(data)
        return await self._keep(sha256, data, media_type)

    async def put_pieces(self, pieces: Iterable[bytes], media_type: str) -> Artifact:
        """Store bytes that come in pieces, unless they are there already."""
        sha256, kept = await asyncio.to_thread(self._spool, pieces)
        try:
            return await self._keep(sha256, kept, media_type)
        finally:
            if isinstance(kept, Path):
                await asyncio.to_thread(kept.unlink, missing_ok=True)

    async def put_file(self, path: Path, media_type: str) -> Artifact:
        """Store a copy of a file, unless its bytes are there already. It may be written meanwhile."""
        sha256, kept = await asyncio.to_thread(self._spool_file, path)
        try:
            return await self._keep(sha256, kept, media_type)
        finally:
            if isinstance(kept, Path):
                await asyncio.to_thread(kept.unlink, missing_ok=True)

    async def adopt_file(self, path: Path, sha256: str, media_type: str) -> Artifact:
        """Store a file under its digest; it goes up from where it lies."""
        size_bytes = await asyncio.to_thread(_measure, path)
        kept = await asyncio.to_thread(_read_file, path) if size_bytes <= BLOCK_BYTES else path
        return await self._keep(sha256, kept, media_type)

    async def read_bytes(self, sha256: str, *, max_bytes: int | None = None) -> bytes:
        """Return the bytes, after checking their digest."""
        reading = await self._open_known(sha256)
        if max_bytes is not None and reading.size_bytes > max_bytes:
            raise find_too_large(sha256, max_bytes)
        data = b"".join([block async for block in reading.blocks])
        if await _digest(data) != sha256:
            raise find_altered(sha256)
        return data

    async def stream(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces of at most 1 MiB; the last one only after the digest was checked."""
        digest = hashlib.sha256()
        previous: bytes | None = None
        async for block in (await self._open_known(sha256)).blocks:
            await asyncio.to_thread(digest.update, block)
            for piece in slice_bytes(block):
                if previous is not None:
                    yield previous
                previous = piece
        if digest.hexdigest() != sha256:
            raise find_altered(sha256)
        if previous is not None:
            yield previous

    async def check(self, sha256: str, *, size_bytes: int | None = None) -> str | None:
        """Read everything again and say what is wrong, if anything is.

        Raises:
            Unavailable: S3 does not answer, which says nothing about the bytes.
        """
        try:
            reading = await self._open(sha256)
        except FileNotFoundError:
            return describe_missing(sha256)
        if size_bytes is not None and reading.size_bytes < size_bytes:
            return describe_damage(sha256, reading.size_bytes, size_bytes, "")
        digest = hashlib.sha256()
        async for block in reading.blocks:
            await asyncio.to_thread(digest.update, block)
        return describe_damage(sha256, reading.size_bytes, size_bytes, digest.hexdigest())

    @asynccontextmanager
    async def hold_file(self, sha256: str) -> AsyncIterator[Path]:
        """Give a copy in the cache, fetched and checked unless it is there; nobody removes it meanwhile."""
        name_key(sha256)
        lock = self._fetching.setdefault(sha256, asyncio.Lock())
        async with lock:
            held = await asyncio.to_thread(self._cache.hold, sha256) or await self._fetch(sha256)
        try:
            yield held.path
        finally:
            held.release()
            await asyncio.to_thread(self._cache.make_room, 0)

    async def list_digests(self) -> AsyncIterator[str]:
        """Yield the digests of all objects that are named for one."""
        listing: Any = self._store.list(chunk_size=_LIST_COUNT)
        while True:
            try:
                objects = await self._call(listing.__anext__)
            except StopAsyncIteration:
                return
            for one in objects:
                name = str(one["path"])
                sha256 = name.rpartition("/")[2]
                with suppress(InvalidInput):
                    if name == name_key(sha256):
                        yield sha256

    async def _keep(self, sha256: str, kept: bytes | Path, media_type: str) -> Artifact:
        """Have bytes of a known digest on S3, from memory or from a file that nobody changes."""
        key = name_key(sha256)
        # Servers let writers of one name wait for each other, some of them for seconds; here they need not.
        lock = self._keeping.setdefault(sha256, asyncio.Lock())
        async with lock:
            if isinstance(kept, bytes):
                size_bytes = len(kept)
                is_new = await self._create(sha256, key, kept)
            else:
                size_bytes = await asyncio.to_thread(_measure, kept)
                is_new = await self._upload(sha256, key, kept, size_bytes)
        WRITES.inc()
        if is_new:
            WRITTEN.inc(size_bytes)
        return Artifact(sha256, size_bytes, media_type)

    async def _create(self, sha256: str, key: str, data: bytes) -> bool:
        """Create the object. False when these bytes are there already."""
        for _ in range(_CREATE_ATTEMPTS_COUNT):
            try:
                await self._call(lambda: self._store.put_async(key, data, mode="create", use_multipart=False))
            except exceptions.AlreadyExistsError:
                problem = await self.check(sha256, size_bytes=len(data))
                if problem is None:
                    return False
                if problem == describe_missing(sha256):
                    continue
                break  # heals what verify would complain about
            else:
                return True
        await self._call(lambda: self._store.put_async(key, data, mode="overwrite", use_multipart=False))
        return True

    async def _upload(self, sha256: str, key: str, path: Path, size_bytes: int) -> bool:
        """Send a large file up in parts, which become the object together. False when the bytes are there already."""
        if await self.check(sha256, size_bytes=size_bytes) is None:
            return False
        part_bytes = max(BLOCK_BYTES, -(-size_bytes // _PARTS_MAX_COUNT))
        await self._call(
            lambda: self._store.put_async(
                key, path, use_multipart=True, chunk_size=part_bytes, max_concurrency=_PARALLEL_PARTS_COUNT
            )
        )
        found = await self._call(lambda: self._store.head_async(key))
        if found["size"] != size_bytes:
            FAILURES.labels("cut").inc()
            raise Unavailable(
                "storage.cut",
                f"S3 keeps {found['size']} of the {size_bytes} bytes that were sent; nothing was acknowledged.",
                "Try again; if it stays so, look at the S3 server.",
            )
        return True

    async def _open(self, sha256: str) -> _Reading:
        """Begin to read an object. The first block is there when this returns.

        Raises:
            FileNotFoundError: There is none.
        """
        key = name_key(sha256)
        first, size_bytes, tag = await self._read_first(key)
        return _Reading(size_bytes, self._read_on(sha256, key, first, size_bytes, tag))

    async def _open_known(self, sha256: str) -> _Reading:
        """Begin to read an object that should be there; that it is not is counted as a failure.

        Raises:
            NotFound: There is none.
        """
        try:
            return await self._open(sha256)
        except FileNotFoundError as error:
            raise find_nothing(sha256) from error

    async def _read_first(self, key: str) -> tuple[bytes, int, str | None]:
        try:
            return await self._call(lambda: self._read_range(key, 0, None))
        except _NothingThereError:
            # No range of an empty object can be read; that it is empty is the fact to tell.
            found = await self._call(lambda: self._store.head_async(key))
            return b"", int(found["size"]), None

    async def _read_on(
        self, sha256: str, key: str, first: bytes, size_bytes: int, tag: str | None
    ) -> AsyncIterator[bytes]:
        """Yield all blocks, each while the next one comes."""
        block = first
        end = len(first)
        while end < size_bytes:
            coming = asyncio.ensure_future(self._call(partial(self._read_range, key, end, tag)))
            try:
                yield block
                block, _, _ = await coming
            except (exceptions.PreconditionError, FileNotFoundError) as error:
                raise find_altered(sha256) from error  # another object has its name since
            finally:
                coming.cancel()
            if not block:
                raise find_altered(sha256)
            end += len(block)
        if block:
            yield block

    async def _read_range(self, key: str, start: int, tag: str | None) -> tuple[bytes, int, str | None]:
        """Return a block of an object, the size of the whole, and its entity tag."""
        options: dict[str, Any] = {"range": (start, start + BLOCK_BYTES)}
        if tag is not None:
            options["if_match"] = tag
        result: Any = await self._store.get_async(key, options=options)  # type: ignore[arg-type]  # built above
        meta = result.meta
        body: _Bytes = await result.bytes_async()
        return body.to_bytes(), int(meta["size"]), meta["e_tag"]

    async def _fetch(self, sha256: str) -> HeldCopy:
        """Copy an artifact into the cache, checked."""
        reading = await self._open_known(sha256)
        with explained_errors():
            await asyncio.to_thread(self._cache.make_room, reading.size_bytes)
            temporary = self._cache.make_temporary()
            digest = hashlib.sha256()
            try:
                with temporary.open("xb") as file:
                    async for block in reading.blocks:
                        await asyncio.to_thread(digest.update, block)
                        await asyncio.to_thread(file.write, block)
                if digest.hexdigest() != sha256:
                    raise find_altered(sha256)
                return await asyncio.to_thread(self._cache.admit, temporary, sha256)
            finally:
                temporary.unlink(missing_ok=True)

    def _spool_file(self, path: Path) -> tuple[str, bytes | Path]:
        try:
            with path.open("rb") as source:
                return self._spool(iter(lambda: source.read(PIECE_BYTES), b""))
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise _find_no_source(path, error) from error

    def _spool(self, pieces: Iterable[bytes]) -> tuple[str, bytes | Path]:
        """Take all pieces, to disk from the second block on. Returns their digest and where they are."""
        digest = hashlib.sha256()
        memory = io.BytesIO()
        temporary: Path | None = None
        descriptor = -1
        try:
            with explained_errors():
                for piece in pieces:
                    digest.update(piece)
                    if descriptor < 0 and memory.tell() + len(piece) > BLOCK_BYTES:
                        temporary = self._cache.make_temporary()
                        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                        _write_all(descriptor, memory.getvalue())
                        memory = io.BytesIO()
                    if descriptor < 0:
                        memory.write(piece)
                    else:
                        _write_all(descriptor, piece)
        except BaseException:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return digest.hexdigest(), memory.getvalue() if temporary is None else temporary

    async def _call(self, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Make a request, again while S3 is away, and explain what it fails with in the end.

        Raises:
            FileNotFoundError: There is no such object.
            _NothingThereError: The range begins behind its end.
            AlreadyExistsError, PreconditionError: Of the library, as they are.
            InvalidInput: S3 refuses the key or has no such bucket.
            StorageFull: S3 takes no more.
            Unavailable: It did not answer in time.
        """
        deadline_s = time.monotonic() + self._retry_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return await request()
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                raise
            except (exceptions.BaseError, OSError) as error:
                explained = self._explain(error)
                if explained is error:
                    raise
                if not isinstance(explained, Unavailable) or isinstance(explained, StorageFull):
                    raise explained from error
                if time.monotonic() + wait_s > deadline_s:
                    FAILURES.labels("unavailable").inc()
                    raise explained from error
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _WAIT_MAX_S)

    def _explain(self, error: Exception) -> Exception:
        """Return ours for an error of the library. Its text names addresses and may be pages long: it stays inside."""
        text = str(error)
        match = _CODE.search(text)
        code = match.group(1) if match else ""
        status = found.group(1) if (found := _STATUS.search(text)) else ""
        if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
            return error
        if status == "416":
            return _NothingThereError()
        if code in _FULL_CODES or "507 Insufficient Storage" in text:
            FAILURES.labels("full").inc()
            return StorageFull(
                "storage.full",
                "The S3 server takes no more; nothing was stored.",
                "Free some space, then try again.",
            )
        if status not in _TRANSIENT_STATUSES and not status.startswith("5"):
            FAILURES.labels("refused").inc()
            return InvalidInput(
                "storage.not_writable",
                f"The artifact store {self._url} cannot be used: S3 answers {code or status}.",
                "Check REFEREE_ARTIFACTS_URL, the key and what it may do.",
            )
        return Unavailable(
            "storage.unavailable",
            f"The artifact store {self._url} does not answer{f' ({code})' if code else ''}; nothing was acknowledged.",
            "Check the S3 server and the way to it, then try again.",
        )


def _open_store(settings: Settings) -> S3Store:
    """Return the library's store for these settings; nothing is asked yet."""
    assert settings.artifacts_url is not None  # noqa: S101 - looked at by open_artifacts
    bucket, _, prefix = settings.artifacts_url.removeprefix("s3://").partition("/")
    given: dict[str, Any] = {"region": settings.artifacts_region}
    if settings.artifacts_endpoint_url is not None:
        given["endpoint"] = settings.artifacts_endpoint_url
    if settings.artifacts_access_key_id is not None and settings.artifacts_secret_access_key is not None:
        given["access_key_id"] = settings.artifacts_access_key_id.get_secret_value()
        given["secret_access_key"] = settings.artifacts_secret_access_key.get_secret_value()
    is_http = (settings.artifacts_endpoint_url or "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=given,  # type: ignore[arg-type]  # only keys of S3Config, made above
        client_options={
            "allow_http": is_http,
            "timeout": timedelta(seconds=settings.artifacts_timeout_s),
            "connect_timeout": timedelta(seconds=settings.artifacts_connect_timeout_s),
        },
        retry_config={
            "max_retries": 1_000,  # the time ends it, and zero seconds of it leave none
            "retry_timeout": timedelta(seconds=min(settings.artifacts_retry_s, _LIBRARY_RETRY_MAX_S)),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )


async def _digest(data: bytes) -> str:
    if len(data) <= _INLINE_HASH_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _measure(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError as error:
        raise _find_no_source(path, error) from error
    return status.st_size


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _find_no_source(path, error) from error


def _find_no_source(path: Path, error: OSError) -> NotFound:
    return NotFound(
        "artifact.source_unreadable",
        f"The file {path} cannot be read: {error.strerror}.",
        "Check that it exists and is a readable file.",
    )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
