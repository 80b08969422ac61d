"""A whole backup: database, artifacts, result files and secrets in one folder, checked before it counts.

Order makes it whole while others write. The database is dumped first, from one snapshot; whatever a row of that
snapshot names was stored before its row was committed, so the copy of artifacts and files made afterwards has
it. Bytes that came later are harmless. ``backup.json`` is written last: a folder without it is no backup.
Artifacts that lie on S3 are in it as those of a folder are, so a backup can be restored into either.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from referee import __version__
from referee.core.errors import Conflict, IntegrityError, InvalidInput, NotFound, StorageFull
from referee.foundation.settings import Settings
from referee.foundation.store import (
    ArtifactStore,
    dump_database,
    open_artifacts,
    open_database,
    record_artifact_place,
    restore_backup,
)
from referee.operations.moving import do_all

__all__ = ["BackupContents", "back_up", "read_backup", "restore_whole"]

MANIFEST: Final = "backup.json"
DUMP: Final = "database.dump"
SCHEMA: Final = "referee-backup"
SCHEMA_VERSION: Final = "1.0"
_ARTIFACTS: Final = "artifacts"
_PARTS: Final = (_ARTIFACTS, "results", "generated", "advisories")
"""Folders of the home that hold what cannot be made again; tools, environments and scratch can."""
_SECRETS: Final = "*.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupContents:
    """What a backup has."""

    folder: Path
    created_at: str
    version: str
    revision: str
    files_count: int
    bytes_count: int
    files: dict[str, dict[str, Any]]
    """Relative name → ``sha256`` and ``size_bytes``."""


async def back_up(settings: Settings, folder: Path) -> BackupContents:
    """Back up everything into a new folder, while others go on writing.

    Everything that was acknowledged before the call is in it.

    Raises:
        Conflict: The folder has something in it, or the server is newer than the pg_dump that comes along.
        IntegrityError: What is stored is damaged; an unfinished folder stays for you to look at.
        StorageFull: There is no room.
        Unavailable: S3 does not answer.
    """
    target = await asyncio.to_thread(_prepare_folder, settings, folder)
    revision = await dump_database(settings, target / DUMP)
    await asyncio.to_thread(_copy_home, settings, target)
    if settings.artifacts_url is not None:
        await _copy_from_s3(open_artifacts(settings), target / _ARTIFACTS)
    return await asyncio.to_thread(_finish, target, version=__version__, revision=revision)


async def restore_whole(settings: Settings, folder: Path) -> tuple[BackupContents, str]:
    """Put a whole backup into a home that has nothing of another installation.

    The database that is replaced stays beside it. Returns what was restored and the replaced database's name.

    Raises:
        NotFound: The folder is no finished backup.
        IntegrityError: A file of it is not what was backed up; nothing was changed.
        Conflict: The home or the place on S3 has other files, or the database is in use.
    """
    contents = await asyncio.to_thread(read_backup, folder)
    settings.ensure_home()
    if settings.artifacts_url is not None:
        store = open_artifacts(settings)
        await _refuse_others(store, contents)
        await asyncio.to_thread(_copy_back, contents, settings)
        await _copy_to_s3(store, contents)
    else:
        await asyncio.to_thread(_copy_back, contents, settings)
    replaced = await restore_backup(settings, folder / DUMP)
    # A backup of an earlier version says nothing of S3: its schema is brought up to date, so that it can.
    database = await open_database(settings, migrate=settings.artifacts_url is not None)
    try:
        await record_artifact_place(database, settings)
    finally:
        await database.close()
    return contents, replaced


def _prepare_folder(settings: Settings, folder: Path) -> Path:
    """Make the empty folder that a backup goes into.

    Raises:
        Conflict: It has something in it.
        InvalidInput: It lies within what is backed up.
    """
    target = folder.absolute()
    for part in _PARTS:
        if target.is_relative_to((settings.home / part).absolute()):
            raise InvalidInput(
                "backup.inside_itself", f"{target} lies within what is backed up.", "Give a folder elsewhere."
            )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(
            "backup.folder_not_empty",
            f"{target} is not an empty folder.",
            "Give a new name; nothing is overwritten.",
        )
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    return target


def _copy_home(settings: Settings, target: Path) -> None:
    """Copy artifacts, result files and secrets, with their digests looked at in ``_finish``. Blocking."""
    for part in _list_parts(settings):
        for source in _list_files(settings.home / part):
            copied = target / part / source.relative_to(settings.home / part)
            copied.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                shutil.copyfile(source, copied)
            except FileNotFoundError:
                # Only what no row of the snapshot names goes away while it is copied.
                continue
            except OSError as error:
                raise _explain(error) from error
    for source in sorted(settings.home.glob(_SECRETS)):
        if source.is_file() and not source.is_symlink():
            shutil.copyfile(source, target / source.name)
            (target / source.name).chmod(0o600)


def _finish(target: Path, *, version: str, revision: str) -> BackupContents:
    """Digest everything, fsync it, and write the list that makes the folder a backup. Blocking.

    Raises:
        IntegrityError: A copied artifact is not what its name says; the source is damaged.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in _list_files(target):
        name = path.relative_to(target).as_posix()
        digest = _digest(path)
        if name.startswith("artifacts/") and path.name != digest:
            raise _find_altered(path.name)
        files[name] = {"sha256": digest, "size_bytes": path.stat().st_size}
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created_at": datetime.now(UTC).isoformat(),
        "version": version,
        "revision": revision,
        "files": files,
    }
    partial = target / f"{MANIFEST}.partial"
    with partial.open("x", encoding="utf-8") as file:
        json.dump(document, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(target / MANIFEST)
    _sync(target)
    return _view(target, document)


def read_backup(folder: Path) -> BackupContents:
    """Read a backup's list and compare every file with it. Blocking.

    Raises:
        NotFound: The folder is no backup, or one that was not finished.
        IntegrityError: A file is missing, cut or altered.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFound(
            "backup.not_found",
            f"{folder} is not a finished backup: it has no {MANIFEST}.",
            "Give a folder that `referee backup` finished.",
        )
    try:
        document = json.loads(path.read_bytes())
        files = document["files"]
        is_ours = document["schema"] == SCHEMA and document["schema_version"] == SCHEMA_VERSION
        names = [Path(name) for name in files]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("backup.unreadable", f"{path} cannot be read.", "Give another backup.") from error
    if not is_ours:
        raise InvalidInput(
            "backup.version_unknown",
            f"{path} is of another version.",
            "Restore it with the Referee that made it.",
        )
    for name in names:
        if name.is_absolute() or ".." in name.parts:
            raise InvalidInput("backup.unreadable", f"{path} names files outside it.", "Give another backup.")
        copied = folder / name
        if copied.is_symlink() or not copied.is_file() or _digest(copied) != files[name.as_posix()]["sha256"]:
            raise IntegrityError(
                "backup.file_broken",
                f"{copied} is missing or not what was backed up.",
                "Give another backup.",
            )
    return _view(folder, document)


def _copy_back(contents: BackupContents, settings: Settings) -> None:
    """Copy artifacts, result files and secrets into a home that has none but these. Blocking.

    Raises:
        Conflict: The home has others.
    """
    parts = _list_parts(settings)
    for part in parts:
        for path in _list_files(settings.home / part):
            known = contents.files.get(path.relative_to(settings.home).as_posix())
            if known is None or known["sha256"] != _digest(path):
                raise Conflict(
                    "backup.home_not_empty",
                    f"{path} is not of this backup, and a restore never mixes two installations.",
                    "Set REFEREE_HOME to a new folder, or move that one away.",
                )
    for name in contents.files:
        if name == DUMP or name.partition("/")[0] in set(_PARTS) - set(parts):
            continue
        target = settings.home / name
        if target.is_file() and name.partition("/")[0] in parts:
            continue  # an earlier try got this far, and it was compared above
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            shutil.copyfile(contents.folder / name, target)
        except OSError as error:
            raise _explain(error) from error
        target.chmod(0o440 if name.startswith("artifacts/") else 0o600)
        _sync(target)
    for part in parts:
        if (settings.home / part).is_dir():
            _sync(settings.home / part)


async def _copy_from_s3(store: ArtifactStore, folder: Path) -> None:
    """Copy all artifacts of a store into a folder, in the folder's own form.

    Raises:
        IntegrityError: One is not what its name says.
    """

    async def copy(sha256: str) -> None:
        target = folder / sha256[:2] / sha256[2:4] / sha256
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with target.open("xb") as file:
                async for piece in store.stream(sha256):
                    await asyncio.to_thread(file.write, piece)
        except NotFound:
            target.unlink()  # only what no row of the snapshot names goes away while it is copied
        except IntegrityError as error:
            raise _find_altered(sha256) from error
        except OSError as error:
            raise _explain(error) from error

    async for batch in _gather(store.list_digests()):
        await do_all(copy, batch)


async def _refuse_others(store: ArtifactStore, contents: BackupContents) -> None:
    """Make sure that a place on S3 has nothing of another installation.

    Raises:
        Conflict: It has.
    """
    known = {name.rpartition("/")[2] for name in contents.files if name.startswith(f"{_ARTIFACTS}/")}
    async for sha256 in store.list_digests():
        if sha256 not in known:
            raise Conflict(
                "backup.home_not_empty",
                f"The artifact {sha256} on S3 is not of this backup, and a restore never mixes two installations.",
                "Set REFEREE_ARTIFACTS_URL to another bucket or prefix.",
            )


async def _copy_to_s3(store: ArtifactStore, contents: BackupContents) -> None:
    """Store the artifacts of a backup whose files were all compared with its list."""

    async def copy(name: str) -> None:
        await store.adopt_file(
            contents.folder / name, str(contents.files[name]["sha256"]), "application/octet-stream"
        )

    names = [name for name in contents.files if name.startswith(f"{_ARTIFACTS}/")]
    await do_all(copy, names)


async def _gather(digests: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    async for sha256 in digests:
        batch.append(sha256)
        if len(batch) >= 1_000:
            yield batch
            batch = []
    yield batch


def _list_parts(settings: Settings) -> tuple[str, ...]:
    """Return the folders of the home that are backed up: without that of artifacts when they lie on S3."""
    return _PARTS if settings.artifacts_url is None else tuple(part for part in _PARTS if part != _ARTIFACTS)


def _find_altered(sha256: str) -> IntegrityError:
    return IntegrityError(
        "backup.artifact_altered",
        f"The artifact {sha256} is not what was stored.",
        "Run `referee verify --repair`, then back up again.",
    )


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield regular files below a folder; no link is followed, and no file that is still being written."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one != "tmp" and not (Path(root) / one).is_symlink())
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _view(folder: Path, document: dict[str, Any]) -> BackupContents:
    files: dict[str, dict[str, Any]] = document["files"]
    return BackupContents(
        folder=folder,
        created_at=str(document["created_at"]),
        version=str(document["version"]),
        revision=str(document["revision"]),
        files_count=len(files),
        bytes_count=sum(int(one["size_bytes"]) for one in files.values()),
        files=files,
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError) -> StorageFull:
    return StorageFull(
        "backup.not_written",
        f"A file could not be copied: {error.strerror}.",
        "Free space, then back up again.",
    )
