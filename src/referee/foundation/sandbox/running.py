"""Run one command in the sandbox and wait for what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from referee.core.errors import IntegrityError, InvalidInput, StorageFull
from referee.foundation.sandbox.commands import Command, CommandEnd, CommandResult, Isolation, Limits
from referee.foundation.sandbox.isolation import detect_isolation, find_launch
from referee.foundation.sandbox.launching import (
    SYSTEM_FOLDERS,
    Launch,
    choose_uid,
    make_spec,
    output_paths,
    read_report,
    supervisor_command,
)
from referee.foundation.sandbox.leftovers import end_leftovers
from referee.foundation.sandbox.supervisor.folders import change_owner
from referee.foundation.sandbox.supervisor.spec import Report
from referee.foundation.sandbox.written import remove_written_folder

__all__ = ["run_command"]

REPORT_BYTES = 64 * 1024


async def run_command(command: Command, limits: Limits, output_dir: Path) -> CommandResult:
    """Run a command in the strongest isolation of this machine and return what became of it.

    Whatever the command does is told in the result, never raised. When this returns or raises, no
    process of the command is left; when the task is cancelled, its tree is killed first.

    Args:
        command: What to run. Its writable folders belong to a user of the sandbox meanwhile and
            to us afterwards; read them with ``read_written_file``.
        limits: What it may use.
        output_dir: Existing folder for ``<label>.stdout`` and ``<label>.stderr``; a second
            command of the same label needs another one.

    Raises:
        InvalidInput: The command cannot be run as given: a relative or absent path, a NUL byte, a
            writable folder inside a read-only one, a limit that is not above zero.
        StorageFull: The disk took no more of what it printed.
        IntegrityError: Somebody put another file in the place of its output.
    """
    _check_command(command, output_dir)
    _check_limits(limits)
    isolation = await asyncio.to_thread(detect_isolation)
    report = await _supervise(command, limits, output_dir, isolation)
    return _make_result(command, limits, output_dir, isolation, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One command on its way through the sandbox."""

    launch: Launch
    command: Command
    limits: Limits
    output_dir: Path
    private_dir: Path
    stdin_fd: int | None

    def make_spec(self, supervisor_pid: int) -> bytes:
        return make_spec(
            self.launch,
            self.command,
            self.limits,
            output_dir=self.output_dir,
            private_dir=os.fspath(self.private_dir),
            supervisor_pid=supervisor_pid,
            stdin_fd=self.stdin_fd,
        )

    def clean_up(self, supervisor_pid: int) -> None:
        """Do what the supervisor does at the end, if it was ended before."""
        if not self.private_dir.exists():
            return
        uid = choose_uid(supervisor_pid) if self.launch.has_user else None
        end_leftovers(uid, self.private_dir.name)
        remove_written_folder(self.private_dir)
        if uid is not None:
            for folder in self.command.writable:
                change_owner(os.fspath(folder), uid, os.geteuid())


async def _supervise(command: Command, limits: Limits, output_dir: Path, isolation: Isolation) -> Report:
    with tempfile.TemporaryFile() as stdin_file:
        stdin_file.write(command.stdin)
        stdin_file.seek(0)
        run = _Run(
            launch=find_launch(isolation),
            command=command,
            limits=limits,
            output_dir=output_dir,
            private_dir=Path(tempfile.mkdtemp(prefix="referee-run-")),
            stdin_fd=stdin_file.fileno() if command.stdin else None,
        )
        # A task of its own, so that nobody's cancellation cuts it short: cancelling means telling the supervisor.
        started: asyncio.Future[asyncio.subprocess.Process] = asyncio.get_running_loop().create_future()
        ended = asyncio.create_task(_talk(run, started))
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            started.add_done_callback(_close_order_pipe)
            await _wait_through_cancellations(ended)
            raise


def _close_order_pipe(started: asyncio.Future[asyncio.subprocess.Process]) -> None:
    if not started.cancelled() and not started.exception() and (pipe := started.result().stdin):
        pipe.close()


async def _talk(run: _Run, started: asyncio.Future[asyncio.subprocess.Process]) -> Report:
    """Start a supervisor, tell it what to do and read what became of it."""
    child: asyncio.subprocess.Process | None = None
    try:
        child = await asyncio.create_subprocess_exec(
            *supervisor_command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=() if run.stdin_fd is None else (run.stdin_fd,),
            cwd="/",
            start_new_session=True,
        )
        if child.stdin is None or child.stdout is None:
            raise AssertionError("both were asked for")
        child.stdin.write(run.make_spec(child.pid))
        started.set_result(child)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It says why on its output.
            await child.stdin.drain()
        said = b""
        while more := await child.stdout.read(REPORT_BYTES):
            said = (said + more)[-REPORT_BYTES:]
        await child.wait()
    finally:
        if child and child.stdin:
            child.stdin.close()
        await asyncio.to_thread(run.clean_up, child.pid if child else 0)
    return read_report(said)


async def _wait_through_cancellations(ended: asyncio.Future[Report]) -> None:
    """Wait until nothing is left, however often somebody cancels the wait."""
    while not ended.done():
        try:
            await asyncio.shield(asyncio.wait([ended]))
        except asyncio.CancelledError:
            continue


def _make_result(
    command: Command, limits: Limits, output_dir: Path, isolation: Isolation, report: Report
) -> CommandResult:
    stdout_path, stderr_path = output_paths(command, output_dir)
    if report["errno"] in (errno.ENOSPC, errno.EDQUOT):
        raise StorageFull(
            "sandbox.disk_full", f"The disk took no more of what {command.label} printed.", "Free space."
        )
    for path, identity in ((stdout_path, report["stdout_id"]), (stderr_path, report["stderr_id"])):
        if not identity:
            path.unlink(missing_ok=True)
            path.touch()
            continue
        status = path.stat(follow_symlinks=False) if path.is_symlink() or path.exists() else None
        if status is None or [status.st_dev, status.st_ino] != identity:
            raise IntegrityError(
                "sandbox.output_replaced", f"The output of {command.label} was replaced while it ran."
            )
    return CommandResult(
        end=cast(
            CommandEnd, report["end"]
        ),  # the supervisor's words are those of CommandEnd, as its tests show
        exit_code=report["exit_code"],
        signal=report["signal"],
        duration_ms=report["duration_ms"],
        cpu_ms=report["cpu_ms"],
        peak_memory_bytes=report["peak_memory_bytes"],
        stdout_path=stdout_path,
        stderr_path=stderr_path,
        stdout_bytes=report["stdout_bytes"],
        stderr_bytes=report["stderr_bytes"],
        is_stdout_truncated=report["stdout_bytes"] > limits.output_bytes,
        is_stderr_truncated=report["stderr_bytes"] > limits.output_bytes,
        isolation=isolation,
        reason=_explain(report, stderr_path),
    )


def _explain(report: Report, stderr_path: Path) -> str:
    if report["end"] == "exited":
        return ""
    if report["end"] != "not_started" or not report["stderr_bytes"]:
        return report["reason"]
    with stderr_path.open("rb") as file:
        file.seek(max(0, stderr_path.stat().st_size - 300))
        return f"{report['reason']} {file.read().decode(errors='replace').strip()}"


def _check_command(command: Command, output_dir: Path) -> None:
    texts: Iterable[str] = (*command.argv, *command.environment, *command.environment.values())
    if not command.argv:
        raise InvalidInput("sandbox.no_program", "A command needs a program.")
    if any("\0" in text for text in texts) or any("=" in name or not name for name in command.environment):
        raise InvalidInput(
            "sandbox.bad_text", f"An argument or variable of {command.label} cannot be passed on."
        )
    if command.has_network and command.network is not None:
        raise InvalidInput("sandbox.two_networks", f"{command.label} cannot be in two networks at once.")
    program = Path(command.argv[0])
    folders = (*command.writable, command.working_dir, output_dir)
    for path in (program, *command.read_only, *folders):
        if "\0" in os.fspath(path) or not path.is_absolute() or ".." in path.parts:
            raise InvalidInput(
                "sandbox.bad_path",
                f"The path {os.fspath(path)!r} of {command.label} is not absolute.",
                "Give the whole path, without '..'.",
            )
        if not path.exists():
            raise InvalidInput("sandbox.absent_path", f"{command.label} needs {path}, which does not exist.")
    if not os.access(program, os.X_OK) or program.is_dir():
        raise InvalidInput("sandbox.not_a_program", f"{program} is not a program that can be run.")
    for path in folders:
        if not path.is_dir():
            raise InvalidInput("sandbox.not_a_folder", f"{path} of {command.label} is not a folder.")
    _check_shown(command, program)
    for path in command.writable:
        for outer in command.read_only:
            if path.resolve().is_relative_to(outer.resolve()):
                raise InvalidInput(
                    "sandbox.writable_inside_read_only",
                    f"The writable folder {path} of {command.label} lies inside {outer}, which is read-only.",
                )


def _check_shown(command: Command, program: Path) -> None:
    """Refuse a program or working folder that a strong sandbox would not show, in every method alike."""
    shown = [*map(Path, SYSTEM_FOLDERS), *command.read_only, *command.writable]
    needed, hops_count = [command.working_dir, program], 0
    while program.is_symlink() and hops_count < 40:
        program = Path(os.path.normpath(program.parent / program.readlink()))
        needed.append(program)
        hops_count += 1
    for path in needed:
        if not any(path.is_relative_to(folder) for folder in shown):
            raise InvalidInput(
                "sandbox.not_shown",
                f"{command.label} needs {path}, which the sandbox would not show.",
                "Name it, or a folder above it, in read_only or writable.",
            )


def _check_limits(limits: Limits) -> None:
    for name in limits.__slots__:
        if not getattr(limits, name) > 0:
            raise InvalidInput("sandbox.bad_limit", f"The limit {name} must be above zero.")
