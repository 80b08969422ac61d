"""Running PostgreSQL as an ordinary user when Referee was started by root.

PostgreSQL refuses root. The server then runs as the owner of its cluster, for
a new one as the system user ``referee-db``, made on demand. When a folder above
the cluster or above the program is closed to that user (``/root`` is 0700), the
server keeps the one capability that lets it pass through folders, and nobody's
permissions are changed.

Standard library only: the supervisor uses it without the package.

Source:
    capabilities(7), section "Ambient capability set" and "The securebits flags"; prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["FULL_ERRNOS", "Account", "become", "choose_account", "die_with_parent"]

FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)

USER_NAME = "referee-db"

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 4
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Account(NamedTuple):
    """Who the server runs as."""

    uid: int
    gid: int
    capability: int | None
    """The one capability it needs to reach its files; None when ordinary permissions suffice."""


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def choose_account(data_dir: Path, bin_dir: Path) -> Account | None:
    """Return who the server must run as; None when it can run as we are.

    Raises:
        OSError: We are root and there is no other user.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _choose_ids(data_dir)
    can_execute = _is_allowed(bin_dir / "postgres", uid, gid)
    folders = {*data_dir.absolute().parents, *bin_dir.resolve().parents, bin_dir.resolve()}
    if can_execute and all(_is_allowed(folder, uid, gid) for folder in folders):
        return Account(uid, gid, None)
    return Account(uid, gid, _CAP_DAC_READ_SEARCH if can_execute else _CAP_DAC_OVERRIDE)


def become(account: Account) -> None:
    """Turn this process into ``account``. Called between fork and exec.

    Raises:
        OSError: The kernel refuses.
    """
    if _libc is not None and account.capability is not None:
        # Capabilities outlive the change of user, and access(2), by which PostgreSQL's programs look for
        # one another, then counts them too.
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([account.gid])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if _libc is None or account.capability is None:
        return
    try:
        _keep_only(account.capability)
    except OSError:
        # Containers withhold the right to read everything and often grant the one to write everything.
        _keep_only(_CAP_DAC_OVERRIDE)


def die_with_parent(number: int) -> None:
    """Have the kernel send ``number`` to this process when its parent dies.

    Call it after ``become``: a change of user clears it.
    """
    if _libc is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number))


def _choose_ids(data_dir: Path) -> tuple[int, int]:
    if data_dir.exists() and (owner := data_dir.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in (USER_NAME, "postgres", "nobody"):
        entry = _find_user(name)
        if entry is None and name == USER_NAME:
            _create_user(name)
            entry = _find_user(name)
        if entry is not None:
            return entry.pw_uid, entry.pw_gid
    raise OSError(errno.EPERM, "no user but root exists, and PostgreSQL does not run as root")


def _is_allowed(path: Path, uid: int, gid: int) -> bool:
    """Whether the user may pass through the folder, or execute the file."""
    found = path.stat()
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_user(name: str) -> None:
    """Make a system user that cannot log in; where that is impossible, do nothing."""
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return
    subprocess.run(
        [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
         "--shell", "/usr/sbin/nologin", name],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def _keep_only(capability: int) -> None:
    """Reduce this process to one capability and hand it on to the program that is executed."""
    bit = 1 << capability
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    data[0] = _CapabilityData(bit, bit, bit)
    if _libc is not None and _libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _prctl(option: int, *arguments: int) -> None:
    numbers = [ctypes.c_ulong(argument) for argument in arguments]
    numbers += [ctypes.c_ulong(0)] * (4 - len(numbers))
    if _libc is not None and _libc.prctl(option, *numbers) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
