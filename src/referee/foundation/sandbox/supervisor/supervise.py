"""Run one command, watch it, end its whole tree, report.

States: *running* → *ending* (asked to stop, two seconds to obey) → *killing* →
*drained*. The end of standard input means that Referee is gone or wants the
command gone: then it is killed at once.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time

from referee.foundation.sandbox.supervisor import libc
from referee.foundation.sandbox.supervisor.cgroups import ControlGroups
from referee.foundation.sandbox.supervisor.child import become_program
from referee.foundation.sandbox.supervisor.deadline import Deadline
from referee.foundation.sandbox.supervisor.folders import DiskWatch, change_owner, remove_folder
from referee.foundation.sandbox.supervisor.output import Drain
from referee.foundation.sandbox.supervisor.processes import (
    list_descendants,
    measure_shared_fairly,
    sample_tree,
    signal_all,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from referee.foundation.sandbox.supervisor.spec import Report, Spec

__all__ = ["main"]

TICK_S = 0.2
FAST_TICK_S = 0.04
"""Between looks while memory is over half of its limit."""
GRACE_S = 2.0
"""Between the request to stop and the kill."""
SPARE_PROCESSES_COUNT = 4
"""Bubblewrap's own two, and one each that is about to be reaped."""
WATCHED_LIMITS = ["wall", "cpu", "memory", "file_size", "open_files", "disk", "output"]
MIB = 1024 * 1024


class Supervision:
    """One command from start to report."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.end = ""
        self.reason = ""
        self.is_main_over = False
        self.main_status = 0
        self.peak_memory_bytes = 0
        self.cpu_s = 0.0
        self.tick_s = TICK_S
        self.kill_at_s: float | None = None
        self.groups = ControlGroups(spec["memory_bytes"], spec["processes_count"] + SPARE_PROCESSES_COUNT)
        self.stdout = Drain(
            spec["output_dir"], spec["stdout_name"], spec["output_bytes"], has_name=spec["is_log_live"]
        )
        self.stderr = Drain(spec["output_dir"], spec["stderr_name"], spec["output_bytes"])
        self.status_fd, self.status_write_fd = os.pipe2(os.O_CLOEXEC)
        self.disk = DiskWatch([*spec["writable"], spec["private_dir"]])
        self.started_s = time.monotonic()
        self.deadline = Deadline(spec["wall_s"], spec["wall_stretch"], self.started_s)
        self.parent = os.getppid()

    def start(self) -> str:
        """Fork the program; return an empty text, or why it did not start."""
        uid = self.spec["uid"]
        if uid is not None:
            for folder in (*self.spec["writable"], self.spec["private_dir"]):
                change_owner(folder, os.geteuid(), uid)
        while self.disk.is_first:
            self.disk.advance(1.0)
        failed_fd, failed_write_fd = os.pipe2(os.O_CLOEXEC)
        self.started_s = time.monotonic()
        self.main_pid = os.fork()
        if not self.main_pid:
            try:
                become_program(
                    self.spec,
                    self.stdout.write_fd,
                    (self.stdout if self.spec["is_log_live"] else self.stderr).write_fd,
                    self.status_write_fd,
                    self.groups.join_files,
                )
            except BaseException as error:
                os.write(failed_write_fd, str(error).encode(errors="replace")[:2000])
            finally:
                os._exit(127)
        for handle in (failed_write_fd, self.status_write_fd):
            os.close(handle)
        self.stdout.give_away()
        self.stderr.give_away()
        failure = os.read(failed_fd, 4096).decode(errors="replace")
        os.close(failed_fd)
        return failure

    def watch(self) -> None:
        """Stand by until the program is over or has to be ended."""
        wake_fd, wake_write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        poll = select.poll()
        for handle in (0, wake_fd, self.stdout.read_fd, self.stderr.read_fd):
            poll.register(handle, select.POLLIN | select.POLLHUP)
        drains = {drain.read_fd: drain for drain in (self.stdout, self.stderr)}
        next_look_s = time.monotonic() + FAST_TICK_S
        self.reap()
        while not self.is_main_over:
            wait_s = max(0.0, min(next_look_s, self.kill_at_s or next_look_s) - time.monotonic())
            for handle, _ in poll.poll(wait_s * 1000 + 1):
                if handle in drains:
                    drains[handle].take()
                    if not drains[handle].is_open:
                        poll.unregister(handle)
                elif handle == wake_fd:
                    os.read(wake_fd, 512)
                elif not os.read(0, 512):
                    self.end, self.reason = "cancelled", "Referee asked for its end, or ended itself."
                    return
            self.reap()
            now_s = time.monotonic()
            if self.kill_at_s is not None and now_s >= self.kill_at_s:
                return
            if now_s >= next_look_s:
                self.look(now_s)
                next_look_s = now_s + min(self.tick_s, max(0.01, self.deadline.compute_rest(now_s)))
                if self.end and self.kill_at_s is None:
                    return

    def look(self, now_s: float) -> None:
        """Compare what the tree uses with its limits."""
        spec, sample = self.spec, sample_tree(os.getpid())
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s = max(self.cpu_s, sample.cpu_s + reaped.ru_utime + reaped.ru_stime)
        memory_bytes = sample.memory_bytes
        if memory_bytes > spec["memory_bytes"]:
            memory_bytes = measure_shared_fairly(sample.pids) or memory_bytes
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory_bytes)
        self.tick_s = FAST_TICK_S if memory_bytes > spec["memory_bytes"] / 2 else TICK_S
        if self.end:
            return
        disk_bytes, files_count = self.disk.advance(0.02)
        write_error = self.stdout.error or self.stderr.error
        if os.getppid() != self.parent:
            self.end, self.reason = "cancelled", "Referee ended."
        elif self.groups.count_memory_kills():
            self.end, self.reason = "memory_exceeded", self.explain_memory_kill()
        elif memory_bytes > spec["memory_bytes"]:
            self.end = "memory_exceeded"
            self.reason = (
                f"It used {memory_bytes // MIB} MiB of memory; {spec['memory_bytes'] // MIB} are allowed."
            )
        elif self.cpu_s > spec["cpu_s"]:
            self.end = "cpu_exceeded"
            self.reason = f"It used {self.cpu_s:.1f} s of CPU time; {spec['cpu_s']:g} are allowed."
        elif disk_bytes > spec["disk_bytes"]:
            self.end = "signaled"
            self.reason = (
                f"It wrote {disk_bytes // MIB} MiB to disk; {spec['disk_bytes'] // MIB} are allowed."
            )
        elif files_count > spec["disk_files_count"]:
            self.end = "signaled"
            self.reason = f"It made {files_count} files; {spec['disk_files_count']} are allowed."
        elif sample.tasks_count > spec["processes_count"] + SPARE_PROCESSES_COUNT:
            self.end = "signaled"
            self.reason = (
                f"It ran {sample.tasks_count} threads at once; {spec['processes_count']} are allowed."
            )
        elif write_error:
            self.end, self.reason = "signaled", f"Its output could not be stored: {write_error.strerror}."
        elif self.deadline.is_over(now_s, sample.threads):
            self.end, self.reason = "timed_out", self.deadline.explain(now_s)
            self.kill_at_s = now_s + GRACE_S
            # Ending bubblewrap itself would kill the program before it could obey.
            signal_all(
                [pid for pid in sample.pids if pid != self.main_pid or not spec["is_bubblewrap"]],
                signal.SIGTERM,
            )

    def reap(self) -> bool:
        """Collect every child that ended; return whether none is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return False
                if pid == self.main_pid:
                    self.is_main_over, self.main_status = True, status
        except ChildProcessError:
            return True

    def kill(self) -> None:
        """End every descendant. Returns when the kernel says that none is left."""
        self.groups.kill()
        pause_s = 0.001
        while not self.reap():
            pids = list_descendants(os.getpid())
            # What is stopped cannot fork, so the second pass meets everything that the first one saw.
            signal_all(pids, signal.SIGSTOP)
            signal_all(list_descendants(os.getpid()), signal.SIGKILL)
            time.sleep(pause_s)
            pause_s = min(0.05, pause_s * 2)
        until_s = time.monotonic() + GRACE_S
        for drain in (self.stdout, self.stderr):
            while drain.is_open and time.monotonic() < until_s and drain.take():
                pass
            drain.close()

    def report(self) -> Report:
        """Say what became of it."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        end, exit_code, signal_number = self.end, None, None
        if not end and self.groups.count_memory_kills():
            end, self.reason = "memory_exceeded", self.explain_memory_kill()
        elif not end:
            end, exit_code, signal_number = self.read_status()
        elif end == "signaled":
            signal_number = int(signal.SIGKILL)
        write_error = self.stdout.error or self.stderr.error
        return {
            "end": end,
            "exit_code": exit_code,
            "signal": signal_number,
            "duration_ms": round((time.monotonic() - self.started_s) * 1000),
            "cpu_ms": round(max(self.cpu_s, used.ru_utime + used.ru_stime) * 1000),
            "peak_memory_bytes": max(self.peak_memory_bytes, used.ru_maxrss * 1024),
            "stdout_bytes": self.stdout.total_bytes,
            "stderr_bytes": self.stderr.total_bytes,
            "stdout_id": self.stdout.identity,
            "stderr_id": self.stderr.identity,
            "reason": self.reason,
            "limits": self.list_limits(),
            "errno": write_error.errno if write_error else None,
        }

    def read_status(self) -> tuple[str, int | None, int | None]:
        """Turn the main process' status into end, exit code and signal."""
        code = os.waitstatus_to_exitcode(self.main_status)
        if self.spec["is_bubblewrap"]:
            os.set_blocking(self.status_fd, False)
            try:
                told = os.read(self.status_fd, 65536)
            except BlockingIOError:
                told = b""
            is_killed = code < 0 and b'"child-pid"' in told
            if b'"exit-code"' not in told and not is_killed:
                self.reason = "The sandbox could not start it."
                return "not_started", None, None
            # Bubblewrap tells of signals only in this way, as shells do.
            if 128 < code <= 128 + 31:
                code = 128 - code
        if code >= 0:
            return "exited", code, None
        if -code == signal.SIGXCPU:
            self.reason = (
                f"One of its processes used more than the {self.spec['cpu_s']:g} s of CPU time allowed."
            )
            return "cpu_exceeded", None, None
        self.reason = f"It was ended by signal {-code} ({signal.strsignal(-code)})."
        return "signaled", None, -code

    def explain_memory_kill(self) -> str:
        """Return one sentence about a kill by the kernel."""
        return f"It needed more than the {self.spec['memory_bytes'] // MIB} MiB of memory allowed."

    def list_limits(self) -> list[str]:
        """Return the limits that bind here."""
        binds = self.spec["binds_processes"] or "processes" in self.groups.limits
        return [*WATCHED_LIMITS, "processes"] if binds else WATCHED_LIMITS

    def give_back(self) -> None:
        """Return the folders to us and remove the private one."""
        if self.spec["uid"] is not None:
            for folder in self.spec["writable"]:
                change_owner(folder, self.spec["uid"], os.geteuid())
        remove_folder(self.spec["private_dir"])
        self.groups.remove()


def _read_spec() -> Spec:
    data = b""
    while not data.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk:
            raise EOFError("no command was sent")
        data += chunk
    spec: Spec = json.loads(data)
    return spec


def main() -> None:
    """Read a command from standard input, run it, write the report to standard output."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(0, False)
    os.set_inheritable(1, False)
    libc.find_orphans()
    spec = _read_spec()
    if spec["stdin_fd"] is not None:
        os.set_inheritable(spec["stdin_fd"], False)
    supervision = Supervision(spec)
    try:
        failure = supervision.start()
        if failure:
            supervision.end, supervision.reason = "not_started", f"{failure.rstrip('.')}."
        else:
            supervision.watch()
    finally:
        supervision.kill()
        report = supervision.report()
        supervision.give_back()
        supervision.stdout.publish()
        supervision.stderr.publish()
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
