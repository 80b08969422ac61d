"""What an import writes into folders: files of an archive put into place at once, and archives put aside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from referee.core.errors import RefereeError, StorageFull
from referee.core.ids import new_id
from referee.pipelines.archive_reading import ArchiveReader

__all__ = ["put_aside", "write_folder"]

MAX_QUARANTINED_COUNT: Final = 10


def write_folder(reader: ArchiveReader, folder: Path, files: dict[str, str]) -> None:
    """Write beside the folder, then put it in its place. Blocking.

    Raises:
        StorageFull: The disk took no more, or a name is none here.
    """
    staging = folder.parent / f".{folder.name}-{new_id().hex}"
    try:
        staging.mkdir(parents=True)
        for name, entry in files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in reader.read_pieces(entry):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():  # an earlier try got this far and then died before its commit
            shutil.rmtree(folder)
        staging.rename(folder)
        descriptor = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageFull(
            "import.files_not_written",
            f"The files of the pipeline could not be written: {error.strerror or error}.",
            "Free space or correct the permissions of the home, then import it again.",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def put_aside(path: Path, folder: Path, digest: str, error: RefereeError) -> str:
    """Keep a file that cannot be read with the reason, and say where. Blocking."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{digest}.zip"
    if not kept.exists():
        if len(list(folder.glob("*.zip"))) >= MAX_QUARANTINED_COUNT:
            return f"It was not kept: {MAX_QUARANTINED_COUNT} files wait in {folder} already."
        shutil.copyfile(path, kept)
    kept.with_suffix(".txt").write_text(f"{error.code}: {error.message}\n")
    return f"It is kept as {kept}."
