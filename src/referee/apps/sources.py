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

import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from referee.apps.languages import HEAD_BYTES, classify_content, classify_folder, language_of
from referee.core.errors import InvalidInput, NotFound, PayloadTooLarge, StorageFull, Unavailable
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.sources import ExcludedPath, ExclusionReason, SourceFile, SourceSnapshot

__all__ = ["SourceLimits", "load_snapshot", "render_listing", "sweep_snapshots", "take_snapshot"]

LISTING_SCHEMA: Final = "referee-source-listing"
LISTING_SCHEMA_VERSION: Final = "1.0"

_CHUNK_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 64
"""Folders below folders; deeper than any real project, far from the system's path limit."""
_MAX_NAME_BYTES: Final = 255
"""A percent-encoded name may be three times as long as the file's own; this is what filesystems take."""
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


@dataclass(slots=True)
class _Copy:
    """A copy being made."""

    target: Path
    limits: SourceLimits
    files: list[SourceFile] = field(default_factory=list)
    excluded: list[ExcludedPath] = field(default_factory=list)
    total_bytes: int = 0

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
        staging.mkdir(mode=0o755)
        copy = _Copy(staging, limits)
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
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
    if not root.is_dir():
        raise NotFound(
            "source.snapshot_missing",
            "The copy of the source that this analysis was made from is no longer on disk.",
            "Start a new analysis of the same folder.",
            source_digest=digest,
        )
    os.utime(root)
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
        if entry.name in keep or time.time() - entry.lstat().st_mtime < _SWEEP_AGE_S:
            continue
        _remove_tree(entry)
        removed_count += 1
    return removed_count


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
    with os.scandir(descriptor) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{prefix}{printable_name(os.fsencode(entry.name))}"
        if entry.is_symlink():
            copy.exclude(path, "symlink", 1)
        elif len(path.rsplit("/", 1)[-1].encode()) > _MAX_NAME_BYTES:
            copy.exclude(path, "unreadable", 1)
        elif entry.is_dir(follow_symlinks=False):
            _enter_folder(descriptor, entry.name, path, copy, depth=depth)
        elif entry.is_file(follow_symlinks=False):
            _copy_file(descriptor, entry.name, path, copy)
        else:
            copy.exclude(path, "special_file", 1)


def _enter_folder(parent: int, name: str, path: str, copy: _Copy, *, depth: int) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        copy.exclude(path, "unreadable", 0)
        return
    try:
        reason = classify_folder(name, frozenset(os.listdir(descriptor)))  # noqa: PTH208 - by descriptor, not by path
        if reason is not None:
            copy.exclude(path, reason, _count_files(descriptor))
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
        head = reader.read(HEAD_BYTES)
        reason = classify_content(path, head, status.st_size)
        if reason is not None:
            copy.exclude(path, reason, 1)
            return
        _check_room(copy, status.st_size)
        target = copy.target / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size_bytes = hashlib.sha256(), 0
        with target.open("xb") as writer:
            for chunk in _chunks(head, reader, copy.limits.file_bytes):
                digest.update(chunk)
                writer.write(chunk)
                size_bytes += len(chunk)
        target.chmod(0o444)
    copy.total_bytes += size_bytes
    copy.files.append(SourceFile(path, size_bytes, digest.hexdigest(), language_of(path)))


def _chunks(head: bytes, reader: object, limit_bytes: int) -> Iterator[bytes]:
    """Yield the file's bytes, at most the limit even when it grows while it is read."""
    read_bytes = len(head)
    yield head
    while read_bytes < limit_bytes:
        chunk: bytes = reader.read(min(_CHUNK_BYTES, limit_bytes - read_bytes))  # type: ignore[attr-defined]
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


def _count_files(descriptor: int, *, budget: int = 50_000) -> int:
    """Return how many files lie below an excluded folder, at most ``budget``."""
    count = 0
    for _, folders, names, _ in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
        count += len(names)
        if count >= budget:
            folders.clear()
            return budget
    return count


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
        if not final.is_dir():
            raise
        _remove_tree(staging)
        os.utime(final)


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
