"""A view of the file system in which the sandboxed user reaches what it needs and little else."""

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


def _is_open(path: str) -> bool:
    mode = os.stat(path).st_mode
    needed = stat.S_IROTH | stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    return mode & needed == needed


def _make_target(target: str, *, is_folder: bool) -> None:
    os.makedirs(target if is_folder else target.rpartition("/")[0] or "/", exist_ok=True)  # noqa: PTH103
    if not is_folder:
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644))


def _open_owner_map(uid: int) -> int:
    """Return a user namespace in which what is ours belongs to ``uid`` and all else to whom it did."""
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
            raise OSError("user namespaces are switched off")
        for name in ("uid_map", "gid_map"):
            handle = os.open(f"/proc/{child}/{name}", os.O_WRONLY)
            try:
                os.write(
                    handle, f"0 {uid} 1\n1 1 {uid - 1}\n{uid + 1} {uid + 1} {2**32 - 2 - uid}\n".encode()
                )
            finally:
                os.close(handle)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
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
    to_map = {path for path in read_only if not _is_open(path)}
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    namespace_fd = _open_owner_map(uid) if to_map else -1
    if is_whole:
        libc.make_tree_read_only("/")
    for cover in hidden:
        if is_whole and cover == "/tmp":  # noqa: S108 - the folder of that name is what gets replaced
            libc.bind_mount(private_dir, cover)
            libc.make_writable(cover)
        else:
            libc.mount("tmpfs", cover, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=755,size=16m")
    for path, handle in sources.items():
        is_below = any(path == cover or path.startswith(f"{cover}/") for cover in hidden)
        if is_below:
            _make_target(path, is_folder=stat.S_ISDIR(os.fstat(handle).st_mode))
        if path in to_map:
            libc.map_owner(f"/proc/self/fd/{handle}", path, namespace_fd)
        elif is_below or is_whole:
            libc.bind_mount(f"/proc/self/fd/{handle}", path)
            if is_whole and path in writable:
                libc.make_writable(path)
        os.close(handle)


def _list_hidden(paths: list[str], covers: list[str]) -> list[str]:
    closed = {cover for path in paths if (cover := _find_closed_ancestor(path))}
    closed.update(cover for cover in covers if os.path.isdir(cover) and not os.path.islink(cover))  # noqa: PTH112, PTH114
    return sorted(cover for cover in closed if not any(cover.startswith(f"{other}/") for other in closed))
