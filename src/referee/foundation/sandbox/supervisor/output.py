"""Drain what a program prints into a file, up to a limit, and count the rest."""

# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import fcntl
import os

__all__ = ["Drain"]

CHUNK_BYTES = 256 * 1024
F_SETPIPE_SZ = 1031


class Drain:
    """One stream of a program on its way into a file."""

    def __init__(self, folder: str, name: str, limit_bytes: int, *, has_name: bool = False) -> None:
        self.limit_bytes = limit_bytes
        self.total_bytes = 0
        self.error: OSError | None = None
        self.is_open = True
        self._name = name
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        try:  # noqa: SIM105 - contextlib would be loaded for this alone
            fcntl.fcntl(self.read_fd, F_SETPIPE_SZ, 1024 * 1024)
        except OSError:
            pass  # A user's share of pipe memory is used up; the small pipe works too.
        os.set_blocking(self.read_fd, False)
        self._null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._has_name = has_name
        if has_name:
            self._file_fd = self._make_named()
        else:
            try:
                # Without a name until the program is over, so that it can neither change nor replace it.
                self._file_fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            except OSError:
                self._file_fd = self._make_named()
                self._has_name = True
        status = os.fstat(self._file_fd)
        self.identity = [status.st_dev, status.st_ino]

    def _make_named(self) -> int:
        self._remove_old()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._name, flags, 0o600, dir_fd=self._folder_fd)

    def _remove_old(self) -> None:
        try:  # noqa: SIM105 - contextlib would be loaded for this alone
            os.unlink(self._name, dir_fd=self._folder_fd)
        except FileNotFoundError:
            pass

    def give_away(self) -> None:
        """Close our copy of the writing end, once the program has its own."""
        os.close(self.write_fd)

    def take(self) -> bool:
        """Move one chunk; return whether there may be more at once."""
        wanted = self.limit_bytes - self.total_bytes
        try:
            if wanted <= 0 or self.error:
                # The kernel moves the bytes: what is dropped costs nearly nothing.
                moved = os.splice(self.read_fd, self._null_fd, CHUNK_BYTES)
            else:
                data = os.read(self.read_fd, CHUNK_BYTES)
                moved = len(data)
                self._keep(data[:wanted])
        except BlockingIOError:
            return False
        if not moved:
            self.close()
            return False
        self.total_bytes += moved
        return True

    def _keep(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file_fd, data) :]
        except OSError as error:
            self.error = error

    def close(self) -> None:
        """Stop reading. A program that goes on printing gets a broken pipe."""
        if self.is_open:
            self.is_open = False
            os.close(self.read_fd)

    def publish(self) -> None:
        """Give the file its name. Nothing of the program is left."""
        if not self._has_name:
            self._remove_old()
            os.link(
                f"/proc/self/fd/{self._file_fd}", self._name, dst_dir_fd=self._folder_fd, follow_symlinks=True
            )
        for handle in (self._file_fd, self._folder_fd, self._null_fd):
            os.close(handle)
