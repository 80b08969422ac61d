"""A read-only copy of a subject's source, made before any tool sees it.

The source of an app is hostile: names may be anything, links may point
anywhere, a file may be a pipe or change while it is read. So the copy is made
from file descriptors that follow no link, with limits, and its digest is
computed from the very bytes that were copied. Two copies with the same digest
hold the same files, which is what the result cache rests on.

Not here: which paths a person may name (``service.locate_source``) and what
language a file is in (``languages.py``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final

from referee.apps.languages import (
    FOLDER_SIGNS,
    HEAD_BYTES,
    classify_content,
    classify_folder,
    language_of,
)
from referee.core.errors import InvalidInput, NotFound, PayloadTooLarge, StorageFull, Unavailable
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.sources import ExcludedPath, ExclusionReason, SourceFile, SourceSnapshot
from referee.foundation.settings import Settings

__all__ = ["SourceLimits", "load_snapshot", "render_listing", "sweep_snapshots", "take_snapshot"]

LISTING_SCHEMA: Final = "referee-source-listing"
LISTING_SCHEMA_VERSION: Final = "1.0"

_CHUNK_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 64
"""Folders below folders; deeper than any real project, far from the system's path limit."""
_MAX_NAME_BYTES: Final = 255
"""A percent-encoded name may be three times as long as the file's own; this is what filesystems take."""
_MAX_PATH_BYTES: Final = 1_024
"""A manifest names source files in an index whose entries hold at most 2,704 bytes."""
_ENTRIES_FOR_EACH_FILE: Final = 10
"""Entries looked at for each file that may be kept: what is left out costs time too."""
_MAX_COUNTED: Final = 50_000
"""Entries counted below one excluded folder."""
_MAX_COUNTED_IN_ALL: Final = 1_000_000
_MAX_EXCLUDED_NAMED: Final = 1_000
"""Excluded files kept by name; beyond it they are counted under their folder."""
_SWEEP_AGE_S: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What a subject may hold."""

    files_count: int
    """Files that tools see; vendored ones do not count."""
    total_bytes: int
    """Bytes of those files."""
    file_bytes: int
    """A larger file is excluded, and counted."""

    @classmethod
    def from_settings(cls, settings: Settings) -> SourceLimits:
        """Return the limits that the settings give."""
        return cls(
            files_count=settings.max_subject_files_count,
            total_bytes=settings.max_subject_bytes,
            file_bytes=settings.max_file_bytes,
        )


@dataclass(slots=True)
class _Copy:
    """A copy being made."""

    target: Path
    limits: SourceLimits
    files: list[SourceFile] = field(default_factory=list)
    excluded: list[ExcludedPath] = field(default_factory=list)
    total_bytes: int = 0
    entries_count: int = 0
    """Entries looked at, kept or not."""
    counted_count: int = 0
    """Entries counted below excluded folders."""

    def exclude(self, path: str, reason: ExclusionReason, files_count: int) -> None:
        if len(self.excluded) < _MAX_EXCLUDED_NAMED:
            self.excluded.append(ExcludedPath(path, reason, files_count))
            return
        last = self.excluded[-1]
        self.excluded[-1] = ExcludedPath(last.path, last.reason, last.files_count + files_count)


def take_snapshot(source: Path, snapshots_dir: Path, limits: SourceLimits, *, name: str) -> SourceSnapshot:
    """Copy the source below ``source`` into ``snapshots_dir`` and return the snapshot.

    Blocking; call it in a thread. Equal sources share one copy.

    Args:
        source: An absolute folder, already resolved and allowed.
        snapshots_dir: Where copies lie, on one filesystem.
        limits: What it may hold.
        name: How people call the subject.

    Raises:
        InvalidInput: The folder cannot be read, or has no file a tool could examine.
        PayloadTooLarge: More files or bytes than the limits.
        StorageFull: The disk took no more.
        Unavailable: The copy could not be made for another reason.
    """
    staging = snapshots_dir / f".staging-{new_id().hex}"
    try:
        snapshots_dir.mkdir(parents=True, exist_ok=True)
        snapshots_dir.chmod(0o711)  # a tool may enter the copy it is given, and find no other one
        _make_folder(staging)
        copy = _Copy(staging, limits)
        try:
            descriptor = _open_source(source)
        except OSError as error:
            raise _unreadable(source, error) from error
        try:
            _copy_folder(descriptor, "", copy, depth=0)
        finally:
            os.close(descriptor)
        if not copy.files:
            raise InvalidInput(
                "source.empty",
                f"The folder {str(source)!r} has no source file: {_describe_excluded(copy.excluded)}.",
                "Name the folder that holds the app's own files.",
            )
        files = tuple(sorted(copy.files, key=lambda file: file.path))
        digest = _digest_of(files)
        final = snapshots_dir / digest
        _publish(staging, final)
    except OSError as error:
        _remove_tree(staging)
        raise _not_copied(error) from error
    except BaseException:
        _remove_tree(staging)
        raise
    excluded = tuple(sorted(copy.excluded, key=lambda entry: entry.path))
    return SourceSnapshot(root=final, source_digest=digest, files=files, excluded=excluded, name=name)


def render_listing(snapshot: SourceSnapshot) -> bytes:
    """Return the snapshot's listing as JSON bytes, the form kept as an artifact."""
    listing = {
        "schema": LISTING_SCHEMA,
        "schema_version": LISTING_SCHEMA_VERSION,
        "name": snapshot.name,
        "source_digest": snapshot.source_digest,
        "files": [
            {
                "path": file.path,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "language": file.language,
            }
            for file in snapshot.files
        ],
        "excluded": [
            {"path": entry.path, "reason": entry.reason, "files_count": entry.files_count}
            for entry in snapshot.excluded
        ],
    }
    return json.dumps(listing, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def load_snapshot(listing: bytes, snapshots_dir: Path) -> SourceSnapshot:
    """Return the snapshot that ``listing`` describes.

    Raises:
        NotFound: Its copy is no longer on disk.
        InvalidInput: The listing is not of a known schema.
    """
    data: dict[str, JsonValue] = json.loads(listing)
    if (data.get("schema"), data.get("schema_version")) != (LISTING_SCHEMA, LISTING_SCHEMA_VERSION):
        raise InvalidInput("source.listing_unknown", "The source listing has an unknown schema.", "")
    digest = str(data["source_digest"])
    root = snapshots_dir / digest
    try:
        os.utime(root)
    except FileNotFoundError as error:
        raise NotFound(
            "source.snapshot_missing",
            "The copy of the source that this analysis was made from is no longer on disk.",
            "Start a new analysis of the same folder.",
            source_digest=digest,
        ) from error
    raw_files, raw_excluded = data["files"], data["excluded"]
    assert isinstance(raw_files, list) and isinstance(raw_excluded, list)  # noqa: S101 - checked by the schema
    return SourceSnapshot(
        root=root,
        source_digest=digest,
        files=tuple(SourceFile(**entry) for entry in raw_files),  # type: ignore[arg-type]  # our own schema
        excluded=tuple(ExcludedPath(**entry) for entry in raw_excluded),  # type: ignore[arg-type]  # our own schema
        name=str(data["name"]),
    )


def sweep_snapshots(snapshots_dir: Path, keep: frozenset[str]) -> int:
    """Remove copies that no unfinished analysis needs and nobody used for an hour.

    A copy loses its name before it loses its files: a half removed one is never taken for whole.

    Args:
        snapshots_dir: Where copies lie.
        keep: Source digests in use.

    Returns:
        Copies removed. Count.
    """
    removed_count = 0
    if not snapshots_dir.is_dir():
        return 0
    for entry in sorted(snapshots_dir.iterdir()):
        if entry.name in keep or not _is_old(entry):
            continue
        doomed = snapshots_dir / f".swept-{new_id().hex}"
        entry.rename(doomed)
        if not _is_old(doomed):  # somebody has taken it up in this moment
            with contextlib.suppress(OSError):  # or has made another one in its place
                doomed.rename(entry)
                continue
        _remove_tree(doomed)
        removed_count += 1
    return removed_count


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime >= _SWEEP_AGE_S


def printable_name(name: bytes) -> str:
    """Return a file name as printable text: undecodable bytes and control characters percent-encoded."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "%" not in text:
        return text
    return "".join(_encode_character(character) for character in text)


def _encode_character(character: str) -> str:
    if character.isprintable() and character != "%" and not "\udc80" <= character <= "\udcff":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _copy_folder(descriptor: int, prefix: str, copy: _Copy, *, depth: int) -> None:
    for entry in _list_entries(descriptor, copy):
        path = f"{prefix}{printable_name(os.fsencode(entry.name))}"
        if entry.is_symlink():
            copy.exclude(path, "symlink", 1)
        elif len(path.rsplit("/", 1)[-1].encode()) > _MAX_NAME_BYTES or len(path.encode()) > _MAX_PATH_BYTES:
            copy.exclude(path, "unreadable", 1)
        elif entry.is_dir(follow_symlinks=False):
            _enter_folder(descriptor, entry.name, path, copy, depth=depth)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(descriptor, entry.name, path, copy)
        else:
            copy.exclude(path, "special_file", 1)


def _list_entries(descriptor: int, copy: _Copy) -> list[os.DirEntry[str]]:
    limit_count = copy.limits.files_count * _ENTRIES_FOR_EACH_FILE
    entries = []
    with os.scandir(descriptor) as scan:
        for entry in scan:
            copy.entries_count += 1
            if copy.entries_count > limit_count:
                raise PayloadTooLarge(
                    "source.too_many_entries",
                    f"The folder holds more than {limit_count:,} files, folders and links.",
                    "Name a smaller folder, or raise REFEREE_MAX_SUBJECT_FILES_COUNT.",
                )
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry.name)


def _enter_folder(parent: int, name: str, path: str, copy: _Copy, *, depth: int) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        copy.exclude(path, "unreadable", 0)
        return
    try:
        signs = frozenset(sign for sign in FOLDER_SIGNS if _has_entry(descriptor, sign))
        reason = classify_folder(name, signs)
        if reason is not None:
            budget = min(_MAX_COUNTED, _MAX_COUNTED_IN_ALL - copy.counted_count)
            files_count, looked_count = _count_files(descriptor, budget)
            copy.counted_count += looked_count
            copy.exclude(path, reason, files_count)
        elif depth >= _MAX_DEPTH:
            copy.exclude(path, "too_large", 0)
        else:
            _copy_folder(descriptor, f"{path}/", copy, depth=depth + 1)
    finally:
        os.close(descriptor)


def _copy_file(parent: int, name: str, path: str, copy: _Copy) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except OSError:
        copy.exclude(path, "unreadable", 1)
        return
    with open(descriptor, "rb", buffering=0) as reader:  # noqa: PTH123 - opened by descriptor, not by path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            copy.exclude(path, "special_file", 1)
            return
        if status.st_size > copy.limits.file_bytes:
            copy.exclude(path, "too_large", 1)
            return
        try:
            head = _read(reader, HEAD_BYTES)
        except _ReadingFailed:
            copy.exclude(path, "unreadable", 1)
            return
        reason = classify_content(path, head, status.st_size)
        if reason is not None:
            copy.exclude(path, reason, 1)
            return
        _check_room(copy, status.st_size)
        target = copy.target / path
        _make_folder(target.parent)
        digest, size_bytes = hashlib.sha256(), 0
        try:
            with target.open("xb") as writer:
                for chunk in _chunks(head, reader, copy.limits.file_bytes):
                    digest.update(chunk)
                    writer.write(chunk)
                    size_bytes += len(chunk)
        except _ReadingFailed:
            target.unlink()
            copy.exclude(path, "unreadable", 1)
            return
        target.chmod(0o444)
    _check_room(copy, size_bytes)  # again: it may have grown while it was read
    copy.total_bytes += size_bytes
    copy.files.append(SourceFile(path, size_bytes, digest.hexdigest(), language_of(path)))


class _ReadingFailed(Exception):
    """A file of the source could be opened and not read; the copy goes on without it."""


def _read(reader: FileIO, size_bytes: int) -> bytes:
    try:
        data = reader.read(size_bytes)
    except OSError as error:
        raise _ReadingFailed from error
    if data is None:  # a special file that would have to be waited for
        raise _ReadingFailed
    return data


def _open_source(source: Path) -> int:
    """Open the folder without following a link that was put into its path after it was checked."""
    passing = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(source.anchor, passing)
    try:
        for part in source.parts[1:]:
            inner = os.open(part, passing, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    """Make a folder of the copy that tools can enter, whatever the umask."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir()
        folder.chmod(0o755)


def _has_entry(descriptor: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    return True


def _chunks(head: bytes, reader: FileIO, limit_bytes: int) -> Iterator[bytes]:
    """Yield the file's bytes, at most the limit even when it grows while it is read."""
    read_bytes = len(head)
    yield head
    while read_bytes < limit_bytes:
        chunk = _read(reader, min(_CHUNK_BYTES, limit_bytes - read_bytes))
        if not chunk:
            return
        read_bytes += len(chunk)
        yield chunk


def _check_room(copy: _Copy, size_bytes: int) -> None:
    if len(copy.files) >= copy.limits.files_count:
        raise PayloadTooLarge(
            "source.too_many_files",
            f"The folder holds more than {copy.limits.files_count:,} source files.",
            "Name a smaller folder, or raise REFEREE_MAX_SUBJECT_FILES_COUNT.",
        )
    if copy.total_bytes + size_bytes > copy.limits.total_bytes:
        raise PayloadTooLarge(
            "source.too_large",
            f"The folder holds more than {copy.limits.total_bytes:,} bytes of source.",
            "Name a smaller folder, or raise REFEREE_MAX_SUBJECT_BYTES.",
        )


def _count_files(descriptor: int, budget: int, *, depth: int = 0) -> tuple[int, int]:
    """Return how many files lie below an excluded folder, and how many entries were looked at: at most ``budget``."""
    files_count = looked_count = 0
    with os.scandir(descriptor) as scan:
        for entry in scan:
            if looked_count >= budget:
                break
            looked_count += 1
            if not entry.is_dir(follow_symlinks=False):
                files_count += 1
            elif depth < _MAX_DEPTH:
                with contextlib.suppress(OSError):
                    inner = os.open(
                        entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor
                    )
                    try:
                        found = _count_files(inner, budget - looked_count, depth=depth + 1)
                    finally:
                        os.close(inner)
                    files_count += found[0]
                    looked_count += found[1]
    return files_count, looked_count


def _digest_of(files: tuple[SourceFile, ...]) -> str:
    digest = hashlib.sha256(b"referee-source-1\0")
    for file in files:
        digest.update(f"{file.path}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def _publish(staging: Path, final: Path) -> None:
    """Move a finished copy into place; an equal one that is already there wins."""
    try:
        staging.rename(final)
    except OSError:
        try:
            os.utime(final)  # first: from here on it is not swept
        except FileNotFoundError:
            staging.rename(final)
            return
        if not final.is_dir():
            raise
        _remove_tree(staging)


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _describe_excluded(excluded: list[ExcludedPath]) -> str:
    if not excluded:
        return "it is empty"
    reasons = sorted({entry.reason.replace("_", " ") for entry in excluded})
    return f"all {len(excluded)} entries are left out ({', '.join(reasons)})"


def _not_copied(error: OSError) -> Unavailable:
    reason = os.strerror(error.errno or 0)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("source.disk_full", f"The source could not be copied: {reason}.", "Free space.")
    return Unavailable(
        "source.not_copied",
        f"The source could not be copied: {reason}.",
        "Check the disk and the permissions of the snapshots folder.",
    )


def _unreadable(source: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        "source.unreadable",
        f"The folder {str(source)!r} cannot be read: {os.strerror(error.errno or 0)}.",
        "Check the path and its permissions.",
    )
