"""The few calls of the C library and the kernel that Python does not offer."""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWUSER",
    "bind_mount",
    "bring_loopback_up",
    "end_with_parent",
    "find_orphans",
    "forbid_new_privileges",
    "join_namespace",
    "make_mounts_private",
    "make_tree_read_only",
    "make_writable",
    "map_owner",
    "mount",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

# New system calls have the same number on every architecture.
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_MOUNT_SETATTR = 442

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_IDMAP = 0x00100000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def find_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def forbid_new_privileges() -> None:
    """Make set-user-id programs ordinary ones for this process and its descendants."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def join_namespace(handle: int, kind: int) -> None:
    """Move this process into the namespace that an open file stands for; ``kind`` is its CLONE_NEW flag."""
    _check(_libc.setns(ctypes.c_int(handle), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Mount a file system."""
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
        ),
        f"mount {kind or 'bind'} on {target}",
    )


def make_mounts_private() -> None:
    """Keep what this process mounts from showing anywhere else."""
    mount("none", "/", "", MS_REC | MS_PRIVATE, "")


def bind_mount(source: str, target: str) -> None:
    """Show a file or folder, with everything mounted below it, at another place."""
    mount(source, target, "", MS_BIND | MS_REC, "")


def _set_attributes(folder: int, path: str, attributes: _MountAttributes, what: str) -> None:
    _check(
        _libc.syscall(
            ctypes.c_long(SYS_MOUNT_SETATTR),
            ctypes.c_int(folder),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.c_uint(AT_RECURSIVE | (AT_EMPTY_PATH if not path else 0)),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        ),
        what,
    )


def make_tree_read_only(path: str) -> None:
    """Make a mount and everything mounted below it read-only (Linux 5.12 or newer)."""
    _set_attributes(
        AT_FDCWD, path, _MountAttributes(attr_set=MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID), f"read-only {path}"
    )


def make_writable(path: str) -> None:
    """Take read-only back from one mount and everything mounted below it."""
    _set_attributes(AT_FDCWD, path, _MountAttributes(attr_clr=MOUNT_ATTR_RDONLY), f"writable {path}")


def map_owner(source: str, target: str, namespace_fd: int) -> None:
    """Show ``source`` at ``target`` read-only, with owners mapped as a user namespace maps them.

    Files that only their owner may read become readable to the user that the owner is mapped to,
    without a change to the files. Linux 5.12 or newer, and a file system that takes part.
    """
    tree = _check(
        _libc.syscall(
            ctypes.c_long(SYS_OPEN_TREE),
            ctypes.c_int(AT_FDCWD),
            ctypes.c_char_p(os.fsencode(source)),
            ctypes.c_uint(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE),
        ),
        f"open_tree {source}",
    )
    try:
        attributes = _MountAttributes(
            attr_set=MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, userns_fd=namespace_fd
        )
        _set_attributes(tree, "", attributes, f"map the owner of {source}")
        _check(
            _libc.syscall(
                ctypes.c_long(SYS_MOVE_MOUNT),
                ctypes.c_int(tree),
                ctypes.c_char_p(b""),
                ctypes.c_int(AT_FDCWD),
                ctypes.c_char_p(os.fsencode(target)),
                ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
            ),
            f"move_mount {target}",
        )
    finally:
        os.close(tree)


class _InterfaceRequest(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 16), ("flags", ctypes.c_short), ("rest", ctypes.c_char * 22))


def bring_loopback_up() -> None:
    """Switch on ``lo`` in a network namespace that was just made."""
    inet, datagram, set_flags, is_up = 2, 2, 0x8914, 0x1
    handle = _check(_libc.socket(inet, datagram, 0), "socket")
    try:
        request = _InterfaceRequest(name=b"lo", flags=is_up)
        _check(_libc.ioctl(handle, ctypes.c_ulong(set_flags), ctypes.byref(request)), "bring lo up")
    finally:
        os.close(handle)
