"""Which isolation this machine can give, found by really running something in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from referee.core.errors import InvalidInput, Unavailable
from referee.foundation.sandbox.commands import Command, Isolation, Limits
from referee.foundation.sandbox.launching import Launch, Method, make_spec, read_report, supervisor_command
from referee.foundation.sandbox.supervisor.spec import Report

__all__ = ["METHOD_VARIABLE", "detect_isolation", "find_launch"]

METHOD_VARIABLE = "REFEREE_SANDBOX_METHOD"
"""Environment variable that asks for a weaker method than the machine can give."""

METHODS: tuple[Method, ...] = ("bubblewrap", "unprivileged_user", "limits_only")
PROBE_LIMITS = Limits(wall_s=10)

_found: dict[str, tuple[Isolation, Launch]] = {}
_lock = Lock()


def detect_isolation(*, refresh: bool = False) -> Isolation:
    """Return the strongest isolation that works here.

    The first call of a process runs a harmless program in each method, strongest first, until one
    works; later calls return what it found.

    Args:
        refresh: Forget what was found before.

    Raises:
        InvalidInput: ``REFEREE_SANDBOX_METHOD`` is not a method.
    """
    wanted = os.environ.get(METHOD_VARIABLE, "")
    if wanted and wanted not in METHODS:
        raise InvalidInput(
            "sandbox.unknown_method",
            f"{METHOD_VARIABLE} is {wanted!r}, which is not an isolation method.",
            f"Use one of {', '.join(METHODS)}, or unset it.",
        )
    with _lock:
        if refresh:
            _found.clear()
        if wanted not in _found:
            _found[wanted] = _detect(wanted)
        return _found[wanted][0]


def _detect(wanted: str) -> tuple[Isolation, Launch]:
    reasons = [f"{METHOD_VARIABLE} asks for it"] if wanted else []
    first = METHODS.index(wanted) if wanted else 0
    for method in METHODS[first:]:
        for launch in _list_launches(method):
            report = _probe(launch)
            if report["end"] == "exited" and report["exit_code"] == 0:
                return _describe(launch, report, "; ".join(dict.fromkeys(reasons))), launch
            reasons.append(f"{_name(launch)} does not work here ({report['reason'].rstrip('.')})")
        reasons.extend(_explain_absence(method))
    launch = Launch(method="limits_only")
    return _describe(launch, None, "; ".join(dict.fromkeys(reasons))), launch


def _list_launches(method: Method) -> list[Launch]:
    """Return the ways to try for a method, strongest first."""
    is_root = os.geteuid() == 0
    if method == "bubblewrap":
        program = shutil.which("bwrap")
        if program is None:
            return []
        can_forbid = b"--disable-userns" in _read_help(program)
        return [
            Launch(
                method=method,
                bubblewrap=program,
                can_forbid_namespaces=forbids,
                has_mounts=has_mounts,
                has_user=is_root,
                prlimit="" if is_root else shutil.which("prlimit", path="/usr/bin:/bin") or "",
            )
            for has_mounts in ((True, False) if is_root else (False,))
            for forbids in ((True, False) if can_forbid else (False,))
        ]
    if method == "unprivileged_user":
        if not is_root:
            return []
        return [
            Launch(method=method, has_user=True, has_mounts=has_mounts, has_network_namespace=has_network)
            for has_mounts, has_network in ((True, True), (True, False), (False, True), (False, False))
        ]
    return [Launch(method=method)]


def _name(launch: Launch) -> str:
    """Return what a way is called in a reason, with the part that the next weaker way goes without."""
    name = launch.method.replace("_", " ")
    if launch.has_user and launch.has_mounts:
        return f"{name} with mounts of its own"
    if launch.can_forbid_namespaces:
        return f"{name} that forbids namespaces"
    return f"{name} with a network of its own" if launch.has_network_namespace else name


def _explain_absence(method: Method) -> list[str]:
    if method == "bubblewrap" and shutil.which("bwrap") is None:
        return ["bubblewrap is not installed"]
    if method == "unprivileged_user" and os.geteuid() != 0:
        return ["only root can become another user"]
    return []


def _read_help(program: str) -> bytes:
    try:
        return subprocess.run([program, "--help"], capture_output=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""


def _probe(launch: Launch) -> Report:
    program = shutil.which("true", path="/usr/bin:/bin")
    if program is None:
        raise Unavailable(
            "sandbox.no_system", "There is no /usr/bin/true here, so no isolation can be tried."
        )
    with TemporaryDirectory(prefix="referee-probe-") as name:
        folder = Path(name)
        # Closed folders are opened by mounts; without them only open ones can be shown.
        mode = 0o700 if launch.has_mounts or not launch.has_user else 0o755
        folder.chmod(mode)
        for part in ("readable", "writable", "private"):
            (folder / part).mkdir(mode=mode)
        command = Command(
            label="probe",
            argv=(program,),
            working_dir=folder / "writable",
            read_only=(folder / "readable",),
            writable=(folder / "writable",),
        )
        report = _supervise_probe(launch, command, folder)
        if report["end"] != "exited" or report["exit_code"] != 0:
            said = folder / "probe.stderr"
            text = said.read_bytes()[-300:].decode(errors="replace").strip() if said.exists() else ""
            report["reason"] = f"{report['reason']} {text}".strip()
        return report


def _supervise_probe(launch: Launch, command: Command, folder: Path) -> Report:
    with subprocess.Popen(
        supervisor_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("both were asked for")
        spec = make_spec(
            launch,
            command,
            PROBE_LIMITS,
            output_dir=folder,
            private_dir=str(folder / "private"),
            supervisor_pid=child.pid,
            stdin_fd=None,
        )
        with contextlib.suppress(BrokenPipeError):  # It says why on its output.
            child.stdin.write(spec)
            child.stdin.flush()
        return read_report(child.stdout.read())


def _describe(launch: Launch, report: Report | None, reason: str) -> Isolation:
    is_bubblewrap = launch.method == "bubblewrap"
    text = reason or "the strongest method, and it works here"
    return Isolation(
        method=launch.method,
        has_own_network=is_bubblewrap or launch.has_network_namespace,
        has_read_only_system=is_bubblewrap or launch.has_mounts,
        has_own_processes=is_bubblewrap,
        limits=tuple(report["limits"]) if report else (),
        reason=f"{launch.method.replace('_', ' ').capitalize()}: {text}.",
    )


def find_launch(isolation: Isolation) -> Launch:
    """Return how to start a command in an isolation that ``detect_isolation`` returned."""
    with _lock:
        return next(launch for known, launch in _found.values() if known == isolation)
