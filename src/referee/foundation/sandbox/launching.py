"""Turn a command and its limits into what the supervisor is told."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from referee.foundation.sandbox.commands import Command, Limits
from referee.foundation.sandbox.supervisor.spec import FIRST_DATA_FD, STATUS_FD, Report, Spec

__all__ = [
    "SYSTEM_FOLDERS",
    "Launch",
    "Method",
    "choose_uid",
    "make_spec",
    "output_paths",
    "read_report",
    "supervisor_command",
]

Method: TypeAlias = Literal["bubblewrap", "unprivileged_user", "limits_only"]

# Users nobody else has: between the ranges that systemd and the container engines hand out.
FIRST_UID = 1_879_048_192
UIDS_COUNT = 4_194_304
# Inside a container with few users, the range systemd uses for services without a user of their own.
FIRST_SMALL_UID = 61_184
SMALL_UIDS_COUNT = 4_336
NOBODY = 65534

SPARE_PROCESSES_COUNT = 4
"""Bubblewrap's own two, and one each that is about to be reaped."""

OWN_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nsandbox:x:65534:65534:sandbox:/tmp:/sbin/nologin\n",
    "/etc/group": "root:x:0:\nsandbox:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
"""Files made up for the sandbox, so that it learns nothing of this machine."""

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
)
NETWORK_FILES = (
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
)
COVERS = ("/root", "/home", "/tmp", "/var/tmp", "/dev/shm", "/run/user", "/mnt", "/media", "/srv")  # noqa: S108


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start commands in one isolation method on this machine."""

    method: Method
    bubblewrap: str = ""
    can_forbid_namespaces: bool = False
    has_user: bool = False
    """Whether each command gets a user of its own; only root can."""
    has_mounts: bool = False
    has_network_namespace: bool = False
    prlimit: str = ""
    """Program that sets the number of processes inside of bubblewrap, where users are counted anew."""


def supervisor_command(*words: str) -> list[str]:
    """Return the program and arguments of a supervisor; with the word ``network``, of a network's holder."""
    source_dir = Path(__file__).resolve().parents[3]
    script = Path(__file__).resolve().parent / "supervisor" / "__main__.py"
    return [sys.executable, "-I", "-S", "-E", os.fspath(script), os.fspath(source_dir), *words]


def output_paths(command: Command, output_dir: Path) -> tuple[Path, Path]:
    """Return where stdout and stderr of a command are kept."""
    name = (
        "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in command.label)
        or "command"
    )
    return output_dir / f"{name}.stdout", output_dir / f"{name}.stderr"


def make_spec(
    launch: Launch,
    command: Command,
    limits: Limits,
    *,
    output_dir: Path,
    private_dir: str,
    supervisor_pid: int,
    stdin_fd: int | None,
) -> bytes:
    """Return the line that tells a supervisor what to do."""
    shows_private_dir_as_tmp = launch.method == "bubblewrap" or launch.has_mounts
    stdout_path, stderr_path = output_paths(command, output_dir)
    is_user_shared = launch.method == "limits_only" and os.geteuid() != 0
    spec: Spec = {
        "argv": list(command.argv),
        "environment": _make_environment(command, "/tmp" if shows_private_dir_as_tmp else private_dir),  # noqa: S108
        "working_dir": os.fspath(command.working_dir),
        "uid": choose_uid(supervisor_pid) if launch.has_user else None,
        "covers": [] if launch.method == "bubblewrap" else list(COVERS),
        "read_only": [os.fspath(path) for path in command.read_only],
        "writable": [os.fspath(path) for path in command.writable],
        "private_dir": private_dir,
        "has_mounts": launch.has_mounts,
        "has_own_network": (
            launch.has_network_namespace and not command.has_network and command.network is None
        ),
        "shared_network": None
        if command.network is None
        else [command.network.holder_pid, command.network.holder_started_ticks, command.network.inode],
        "is_bubblewrap": launch.method == "bubblewrap",
        "data_files": [],
        "first_fd": STATUS_FD,
        "stdin_fd": stdin_fd,
        "output_dir": os.fspath(output_dir),
        "stdout_name": stdout_path.name,
        "stderr_name": stderr_path.name,
        "is_log_live": command.is_log_live,
        "output_bytes": limits.output_bytes,
        "wall_s": limits.wall_s,
        "wall_stretch": limits.wall_stretch,
        "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_bytes,
        "processes_count": limits.processes_count,
        "rlimit_processes_count": (
            limits.processes_count + SPARE_PROCESSES_COUNT if launch.has_user or is_user_shared else None
        ),
        "is_user_shared": is_user_shared,
        "binds_processes": launch.has_user or is_user_shared or bool(launch.prlimit),
        "open_files_count": limits.open_files_count,
        "file_bytes": limits.file_bytes,
        "disk_bytes": limits.disk_bytes,
        "disk_files_count": limits.disk_files_count,
    }
    if launch.method == "bubblewrap":
        spec["argv"], options = _wrap(launch, command, limits, private_dir)
        spec["data_files"] = [*OWN_FILES.values(), options]
    return json.dumps(spec).encode() + b"\n"


def _make_environment(command: Command, home: str) -> dict[str, str]:
    given = dict(command.environment)
    path = ":".join(part for part in (given.pop("PATH", ""), "/usr/bin:/bin") if part)
    return {"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "PATH": path, **given}


def choose_uid(supervisor_pid: int) -> int:
    """Return a user of its own for a command: no two supervisors alive have the same process id."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = (int(word) for word in line.split())
        if first <= FIRST_UID and first + count >= FIRST_UID + UIDS_COUNT:
            return FIRST_UID + supervisor_pid % UIDS_COUNT
    return FIRST_SMALL_UID + supervisor_pid % SMALL_UIDS_COUNT


def _wrap(launch: Launch, command: Command, limits: Limits, private_dir: str) -> tuple[list[str], str]:
    """Return the bubblewrap command line around a command, and the options it reads from a file."""
    words = ["--die-with-parent", "--new-session", "--json-status-fd", str(STATUS_FD)]
    words += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "sandbox", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
    if launch.can_forbid_namespaces:
        words.append("--disable-userns")
    if not command.has_network and command.network is None:
        words.append("--unshare-net")
    for folder in SYSTEM_FOLDERS:
        if Path(folder).is_symlink():
            words += ["--symlink", os.fspath(Path(folder).readlink()), folder]
        elif Path(folder).is_dir():
            words += ["--ro-bind", folder, folder]
    for name in (*SYSTEM_FILES, *(NETWORK_FILES if command.has_network else ())):
        words += ["--ro-bind-try", name, name]
    for number, name in enumerate(OWN_FILES, FIRST_DATA_FD):
        words += ["--perms", "0444", "--ro-bind-data", str(number), name]
    # /dev/shm too: pools of processes (multiprocessing) keep their semaphores there.
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--bind", private_dir, "/tmp", "--bind", private_dir, "/dev/shm"]  # noqa: S108
    binds = [("--ro-bind", os.fspath(path)) for path in command.read_only]
    binds += [("--bind", os.fspath(path)) for path in command.writable]
    # A folder comes before what lies in it, so that the inner one stays on top.
    for option, path in sorted(binds, key=lambda bind: bind[1]):
        words += [option, path, path]
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", os.fspath(command.working_dir)]
    words += ["--clearenv"]
    for name, value in _make_environment(command, "/tmp").items():  # noqa: S108
        words += ["--setenv", name, value]
    inner = [launch.prlimit, f"--nproc={limits.processes_count}", "--"] if launch.prlimit else []
    # Options go through an open file: bubblewrap's own command line is the one thing the program can see of it.
    last_fd = FIRST_DATA_FD + len(OWN_FILES)
    return [launch.bubblewrap, "--args", str(last_fd), "--", *inner, *command.argv], "".join(
        f"{word}\0" for word in words
    )


def read_report(data: bytes) -> Report:
    """Read what a supervisor said; a supervisor that said nothing sensible is a failure, never a success."""
    try:
        report: Report = json.loads(data.rstrip().rpartition(b"\n")[2])
        report["end"]
    except (ValueError, TypeError, KeyError):
        said = data[-400:].decode(errors="replace").strip()
        return {
            "end": "not_started" if data else "signaled",
            "exit_code": None,
            "signal": None if data else 9,
            "duration_ms": 0,
            "cpu_ms": 0,
            "peak_memory_bytes": None,
            "stdout_bytes": 0,
            "stderr_bytes": 0,
            "stdout_id": [],
            "stderr_id": [],
            "reason": f"Its supervisor failed: {said}" if said else "Its supervisor was ended from outside.",
            "limits": [],
            "errno": None,
        }
    return report
