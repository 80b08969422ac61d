"""A view of the file system in which the sandboxed user reaches what it needs and little else."""

# ruff: noqa: PTH103, PTH112, PTH114, PTH116
# Loading pathlib takes longer than all the rest of a supervisor.

from __future__ import annotations

import os
import signal
import stat

from referee.foundation.sandbox.supervisor import libc

__all__ = ["arrange_mounts"]


def _find_closed_ancestor(path: str) -> str | None:
    """Return the highest folder above ``path`` that other users may not pass through."""
    parts = path.split("/")[1:-1]
    folder = ""
    for part in parts:
        folder = f"{folder}/{part}"
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return folder
    return None


def _make_target(target: str, *, is_folder: bool) -> None:
    os.makedirs(target if is_folder else target.rpartition("/")[0] or "/", exist_ok=True)
    if not is_folder:
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644))


def _open_owner_map(uid: int) -> int:
    """Return a user namespace in which what is ours belongs to ``uid`` and all else as before; -1 if none."""
    ready_fd, ready_write_fd = os.pipe()
    child = os.fork()
    if not child:
        try:
            libc.unshare(libc.CLONE_NEWUSER)
            os.write(ready_write_fd, b"1")
            signal.pause()
        finally:
            os._exit(0)
    os.close(ready_write_fd)
    try:
        if not os.read(ready_fd, 1):
            return -1
        for name in ("uid_map", "gid_map"):
            handle = os.open(f"/proc/{child}/{name}", os.O_WRONLY)
            try:
                os.write(
                    handle, f"0 {uid} 1\n1 1 {uid - 1}\n{uid + 1} {uid + 1} {2**32 - 2 - uid}\n".encode()
                )
            finally:
                os.close(handle)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    finally:
        os.close(ready_fd)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def arrange_mounts(
    uid: int,
    *,
    read_only: list[str],
    writable: list[str],
    covers: list[str],
    private_dir: str,
    is_whole: bool,
) -> None:
    """Make a mount namespace in which ``uid`` reaches every path it was given.

    Folders that others may not pass through are covered by empty ones in which only those
    paths exist. Nothing changes outside of the namespace.

    Args:
        uid: The user who will look at it.
        read_only: Paths that must be there, at the same place, and that nobody may change.
        writable: Folders that must be there, at the same place, and that ``uid`` may fill.
        covers: Further folders to cover.
        private_dir: Folder shown as ``/tmp`` when ``is_whole``.
        is_whole: Whether this is all the protection there is; False when bubblewrap follows.
    """
    libc.unshare(libc.CLONE_NEWNS)
    libc.make_mounts_private()
    paths = sorted({*read_only, *writable}) if is_whole else sorted({*read_only, *writable, private_dir})
    hidden = _list_hidden(paths, covers)
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    namespace_fd = _open_owner_map(uid) if read_only else -1
    if is_whole:
        libc.make_tree_read_only("/")
    for cover in hidden:
        if is_whole and cover == "/tmp":  # noqa: S108 - the folder of that name is what gets replaced
            libc.bind_mount(private_dir, cover)
            libc.make_writable(cover)
        else:
            libc.mount("tmpfs", cover, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=755,size=16m")
    if is_whole:
        _hide_other_processes()
    for path, handle in sources.items():
        is_below = any(path == cover or path.startswith(f"{cover}/") for cover in hidden)
        if is_below:
            _make_target(path, is_folder=stat.S_ISDIR(os.fstat(handle).st_mode))
        if path in writable or path == private_dir:
            if is_below or is_whole:
                libc.bind_mount(f"/proc/self/fd/{handle}", path)
            if is_whole:
                libc.make_writable(path)
        else:
            _show_read_only(f"/proc/self/fd/{handle}", path, namespace_fd)
        os.close(handle)


def _hide_other_processes() -> None:
    try:
        libc.mount("proc", "/proc", "proc", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC, "hidepid=2")
    except OSError:
        return  # Others' processes stay visible by name; their memory and variables are closed to it anyway.


def _show_read_only(source: str, target: str, namespace_fd: int) -> None:
    """Show a path as if it belonged to the sandboxed user; where that cannot be done, as it is."""
    if namespace_fd >= 0:
        try:
            libc.map_owner(source, target, namespace_fd)
        except OSError:
            pass  # An older kernel, or a file system that takes no part: what all may read is still readable.
        else:
            return
    libc.bind_mount(source, target)


def _list_hidden(paths: list[str], covers: list[str]) -> list[str]:
    closed = {cover for path in paths if (cover := _find_closed_ancestor(path))}
    closed.update(cover for cover in covers if os.path.isdir(cover) and not os.path.islink(cover))
    return sorted(cover for cover in closed if not any(cover.startswith(f"{other}/") for other in closed))
