"""Read and remove what a sandboxed program left in a writable folder.

Such a folder is in hostile hands while the program runs: a report may have
been replaced by a symbolic link to a secret, a named pipe that never ends, or
a tree deeper than ordinary functions can walk.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from referee.core.errors import InvalidInput, NotFound
from referee.foundation.sandbox.supervisor.folders import remove_folder

__all__ = ["read_written_file", "remove_written_folder"]


def read_written_file(folder: Path, name: str, *, max_bytes: int) -> tuple[bytes, int]:
    """Return the first bytes of a file that a program wrote, and the size it has in all.

    Args:
        folder: The writable folder as it was given to the command.
        name: Path of the file below it, such as ``report.json`` or ``out/report.json``.
        max_bytes: Read at most so many.

    Raises:
        InvalidInput: The name leads out of the folder.
        NotFound: There is no regular file of that name; links are never followed.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise InvalidInput("sandbox.bad_name", f"The file name {name!r} leads out of its folder.", name=name)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    handles: list[int] = []
    try:
        handles.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            handles.append(os.open(part, flags | os.O_DIRECTORY, dir_fd=handles[-1]))
        handles.append(os.open(parts[-1], flags, dir_fd=handles[-1]))
        status = os.fstat(handles[-1])
        if not stat.S_ISREG(status.st_mode):
            raise NotFound(
                "sandbox.not_a_file", f"The program left something at {name} that is not a file.", name=name
            )
        with os.fdopen(os.dup(handles[-1]), "rb") as file:
            return file.read(max_bytes), status.st_size
    except OSError as error:
        raise NotFound(
            "sandbox.not_written", f"The program wrote no file {name} ({error.strerror}).", name=name
        ) from error
    finally:
        for handle in handles:
            os.close(handle)


def remove_written_folder(folder: Path) -> None:
    """Remove a folder that a program could write to, whatever is in it. Absent is fine."""
    remove_folder(os.fspath(folder))
