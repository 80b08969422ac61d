"""The process that owns the embedded PostgreSQL of one home.

Standard library only, and nothing of this package: it stays resident as long
as the database does, so it is kept small, and it is started as a plain file
(``python -I -S supervisor.py``). The first client starts it; it holds
``database.lock`` exclusively while it lives. Clients hold ``clients.lock``
shared; when nobody has for ``--idle-stop-s``, the supervisor takes it
exclusively, stops PostgreSQL cleanly and leaves. Locks die with their process,
so ``kill -9`` of any of them needs no cleaning up: PostgreSQL shuts down by
itself when the supervisor dies, and the next supervisor waits for that.

The starting client reads one JSON line from ``--report-fd``: ``ready`` with the
socket's folder, ``busy`` when another supervisor lives, or ``error`` with code,
message and hint.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

if __package__:
    from referee.foundation.store import privileges
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import privileges  # type: ignore[import-not-found,no-redef]

__all__ = [
    "PORT",
    "SOCKET_PATH_MAX_BYTES",
    "SUPERUSER",
    "Supervisor",
    "SupervisorError",
    "main",
    "read_server_state",
]

SUPERUSER = "postgres"
PORT = 5432
SOCKET_PATH_MAX_BYTES = 107
"""sun_path of a Unix socket holds 108 bytes, the last of them NUL."""

STOP_FAST_S = 20.0
STOP_IMMEDIATE_S = 5.0
LOG_MAX_BYTES = 10_000_000

POLL_S = 0.2
"""Between two looks for clients: 5 wake-ups a second cost nothing measurable and bound a stop's delay."""

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "48MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "48MB",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_max_workers": "1",
    "autovacuum_naptime": "10s",
    "io_method": "sync",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
}
"""Small for a laptop: one writer process and one autovacuum worker, no parallel plans on two cores, and
nothing that would trade an acknowledged commit for speed."""


class SupervisorError(Exception):
    """Why the database cannot run: a code, one sentence of what happened, one of what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Supervisor:
    """Starts, watches and stops one PostgreSQL cluster."""

    def __init__(
        self, home: Path, bin_dir: Path, major: int, idle_stop_s: float, start_timeout_s: float
    ) -> None:
        self.home = home
        self.data_dir = home / "database"
        self.log_file = home / "logs" / "database.log"
        self.bin_dir = bin_dir
        self.major = major
        self.idle_stop_s = idle_stop_s
        self.start_timeout_s = start_timeout_s
        self.should_stop = False
        self.socket_dir = self.data_dir
        self._server: subprocess.Popen[bytes] | None = None
        self._account: privileges.Account | None = None

    def start(self) -> None:
        """Make the cluster if there is none, recover what an earlier one left, and wait until it answers."""
        self._account = privileges.choose_account(self.data_dir, self.bin_dir)
        self.log_file.parent.mkdir(mode=0o700, exist_ok=True)
        self._truncate_log()
        self._sweep_unfinished()
        if (self.data_dir / "PG_VERSION").exists():
            self._check_major()
        else:
            self._create_cluster()
        self._wait_for_predecessor()
        self.socket_dir = self._choose_socket_dir()
        self._launch()
        self._wait_until_ready()

    def serve(self) -> None:
        """Stay while clients are there; stop the server when none is left, or when told to."""
        server = self._server
        if server is None:
            raise RuntimeError("serve() needs start() first")
        with (self.home / "clients.lock").open("a") as clients:
            idle_since_ns = time.monotonic_ns()
            while not self.should_stop and server.poll() is None:
                time.sleep(POLL_S)
                self._truncate_log()
                if not _try_lock(clients.fileno()):
                    idle_since_ns = time.monotonic_ns()
                elif (time.monotonic_ns() - idle_since_ns) / 1e9 < self.idle_stop_s:
                    fcntl.flock(clients, fcntl.LOCK_UN)
                else:
                    break  # the lock stays ours until the process ends: a newcomer waits, then starts anew
            self.stop()

    def stop(self) -> None:
        """Shut the server down cleanly; if it does not heed that, at once."""
        if self._server is None:
            return
        for number, patience_s in ((signal.SIGINT, STOP_FAST_S), (signal.SIGQUIT, STOP_IMMEDIATE_S)):
            if self._server.poll() is not None:
                break
            self._server.send_signal(number)
            try:
                self._server.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        if self._server.poll() is None:
            self._server.kill()
            self._server.wait()
        if self.socket_dir != self.data_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _sweep_unfinished(self) -> None:
        """Remove clusters whose making was interrupted; none of them was ever used."""
        for leftover in self.home.glob("database.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _check_major(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != str(self.major):
            raise SupervisorError(
                "database.other_major",
                f"The database in {self.data_dir} is of PostgreSQL {found}, this Referee's is {self.major}.",
                "Use the Referee that made it to dump it, then restore the dump into a new home.",
            )

    def _create_cluster(self) -> None:
        """Run initdb beside its final place and rename, so that there is a whole cluster or none."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise SupervisorError(
                "database.folder_foreign",
                f"The folder {self.data_dir} holds files and no PostgreSQL cluster.",
                "Move its files elsewhere, or give another REFEREE_HOME.",
            )
        new_dir = self.home / f"database.new-{os.getpid()}"
        new_dir.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(new_dir, self._account.uid, self._account.gid)
        command = [
            str(self.bin_dir / "initdb"), "--pgdata", str(new_dir), "--username", SUPERUSER, "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--data-checksums", "--no-instructions",
        ]  # fmt: skip
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=self._child_setup(),
            env=_server_environment(),
            cwd="/",
            check=False,
        )
        output = result.stdout.decode("utf-8", "replace")
        if result.returncode != 0:
            shutil.rmtree(new_dir, ignore_errors=True)
            raise _explain(output, self.log_file, "initdb could not make the database cluster")
        if self.data_dir.exists():
            self.data_dir.rmdir()
        new_dir.rename(self.data_dir)
        _fsync_dir(self.home)

    def _wait_for_predecessor(self) -> None:
        """Wait until a server whose supervisor was killed has shut down; hurry it if it does not."""
        escalation = iter(((10.0, signal.SIGQUIT), (5.0, signal.SIGKILL), (5.0, None)))
        for patience_s, number in escalation:
            pid = self._read_live_postmaster()
            if pid is None:
                return
            deadline_ns = time.monotonic_ns() + int(patience_s * 1e9)
            while time.monotonic_ns() < deadline_ns:
                if self._read_live_postmaster() is None:
                    return
                time.sleep(0.01)
            if number is not None:
                os.kill(pid, number)
        raise SupervisorError(
            "database.predecessor_stuck",
            f"An earlier PostgreSQL server of {self.data_dir} does not end.",
            "End the process named in the first line of postmaster.pid there, then try again.",
        )

    def _read_live_postmaster(self) -> int | None:
        """Return the pid of a server that still runs on this cluster.

        A pid file whose pid now belongs to another program is removed, since PostgreSQL
        would take that program for a server and refuse to start.
        """
        pid_file = self.data_dir / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except (ValueError, IndexError):
            pid_file.unlink(missing_ok=True)
            return None
        except PermissionError:
            pass
        if _is_server_of(pid, self.data_dir):
            return pid
        pid_file.unlink(missing_ok=True)
        return None

    def _choose_socket_dir(self) -> Path:
        """Return the folder of the socket: the cluster's own, or a private one when that path is too long.

        Its name depends on the home alone, so that clients find the server again after a restart.
        """
        if len(os.fsencode(self.data_dir / f".s.PGSQL.{PORT}.lock")) <= SOCKET_PATH_MAX_BYTES:
            return self.data_dir
        parent = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - the folder made in it is private
        if not parent.startswith("/") or len(os.fsencode(parent)) > SOCKET_PATH_MAX_BYTES // 2:
            parent = "/tmp"  # noqa: S108 - as above
        path = os.fsencode(self.data_dir)
        name = f"referee-{zlib.crc32(path):08x}{zlib.crc32(path[::-1]):08x}"
        uid, gid = (self._account.uid, self._account.gid) if self._account else (os.geteuid(), os.getegid())
        for number in range(100):
            socket_dir = Path(parent) / f"{name}-{number}"
            try:
                socket_dir.mkdir(mode=0o700)
                os.chown(socket_dir, uid, gid)
            except FileExistsError:
                found = socket_dir.lstat()
                if (found.st_mode, found.st_uid) != (stat.S_IFDIR | 0o700, uid):
                    continue  # somebody else's, perhaps laid there on purpose
            return socket_dir
        raise SupervisorError(
            "database.socket_impossible",
            f"The path of {self.data_dir} is too long for a socket, and {parent} has no room for one.",
            "Give a shorter REFEREE_HOME, or a TMPDIR of your own.",
        )

    def _launch(self) -> None:
        # No server of this cluster lives, so these are leftovers; PostgreSQL would believe a lock file
        # whose pid has gone to another program or whose process nobody has collected yet.
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.socket_dir / name).unlink(missing_ok=True)
        settings = {**SERVER_SETTINGS, "unix_socket_directories": str(self.socket_dir)}
        command = [str(self.bin_dir / "postgres"), "-D", str(self.data_dir)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._child_setup(),  # noqa: PLW1509 - this process has one thread
                env=_server_environment(),
                cwd="/",
            )

    def _wait_until_ready(self) -> None:
        server = self._server
        if server is None:
            raise RuntimeError("no server was launched")
        log_start = self.log_file.stat().st_size
        deadline_ns = time.monotonic_ns() + int(self.start_timeout_s * 1e9)
        while time.monotonic_ns() < deadline_ns and not self.should_stop:
            if server.poll() is not None:
                with self.log_file.open("rb") as log:
                    log.seek(max(0, log_start - 4096))
                    output = log.read(65_536).decode("utf-8", "replace")
                raise _explain(output, self.log_file, "PostgreSQL ended while it was starting")
            if read_server_state(self.data_dir) == ("ready", self.socket_dir, server.pid):
                return
            time.sleep(0.005)
        self.stop()
        raise SupervisorError(
            "database.start_timeout",
            f"PostgreSQL did not become ready within {self.start_timeout_s:g} s.",
            f"Look into {self.log_file}; recovery after a crash may need a longer "
            "REFEREE_DATABASE_START_TIMEOUT_S.",
        )

    def _child_setup(self) -> Callable[[], None]:
        account = self._account

        def set_up() -> None:
            os.umask(0o077)
            if account is not None:
                privileges.become(account)
            privileges.die_with_parent(signal.SIGINT)

        return set_up

    def _truncate_log(self) -> None:
        """Empty the log when it has grown large; it is opened for appending by everyone who writes to it."""
        try:
            if self.log_file.stat().st_size > LOG_MAX_BYTES:
                os.truncate(self.log_file, 0)
        except FileNotFoundError:
            pass


def read_server_state(data_dir: Path) -> tuple[str, Path, int] | None:
    """Return (state, socket folder, pid) out of ``postmaster.pid``; None while it is not whole."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        return lines[7].strip(), Path(lines[4]), int(lines[0])
    except (OSError, IndexError, ValueError):
        return None


def _is_server_of(pid: int, data_dir: Path) -> bool:
    """Whether the process is a PostgreSQL server whose working folder is this cluster."""
    if not Path("/proc/self").exists():
        command = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        return "postgres" in command and str(data_dir) in command
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data_dir)
    except OSError:
        return False


def _explain(output: str, log_file: Path, summary: str) -> SupervisorError:
    """Return the error that PostgreSQL's own words mean."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return SupervisorError(
            "storage.full",
            f"The disk has no room for the database: {summary}.",
            "Free some space, then try again.",
        )
    reasons = [line for line in output.splitlines() if "FATAL" in line or "PANIC" in line or "error:" in line]
    reason = reasons[-1].strip() if reasons else (output.strip().splitlines() or ["it said nothing"])[-1]
    return SupervisorError("database.start_failed", f"{summary}: {reason}", f"Look into {log_file}.")


def _server_environment() -> dict[str, str]:
    """Return the environment of the server: nothing of the caller's can change what it does."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _fsync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own_home(home: Path) -> int | None:
    """Take ``database.lock`` and write our pid into it; None when another supervisor has it.

    Clients probe the lock for an instant, hence the few repetitions.
    """
    descriptor = os.open(home / "database.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(20):
        if _try_lock(descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        time.sleep(0.005)
    os.close(descriptor)
    return None


def main() -> int:
    """Run the supervisor of one home."""
    parser = argparse.ArgumentParser(description="Owns the embedded PostgreSQL of one home.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--major", type=int, required=True)
    parser.add_argument("--idle-stop-s", type=float, required=True)
    parser.add_argument("--start-timeout-s", type=float, required=True)
    parser.add_argument("--report-fd", type=int, required=True)
    options = parser.parse_args()

    def report(**values: str) -> None:
        line = json.dumps(values).encode() + b"\n"
        try:
            os.write(options.report_fd, line)
            os.close(options.report_fd)
        except OSError:
            pass  # the client that started us is gone; others find the server by themselves

    os.set_inheritable(options.report_fd, False)
    lock = _own_home(options.home)
    if lock is None:
        report(state="busy")
        return 0
    supervisor = Supervisor(
        options.home, options.bin_dir, options.major, options.idle_stop_s, options.start_timeout_s
    )

    def ask_to_stop(_number: int, _frame: object) -> None:
        supervisor.should_stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    try:
        supervisor.start()
    except SupervisorError as error:
        supervisor.stop()
        report(state="error", code=error.code, message=error.message, hint=error.hint)
        return 1
    except subprocess.SubprocessError:
        supervisor.stop()
        report(
            state="error",
            code="database.user_unavailable",
            message="The database may not run as root, and this machine does not let root become another user.",
            hint="Run Referee as an ordinary user, or allow it SETUID, SETGID and SETPCAP.",
        )
        return 1
    except OSError as error:
        supervisor.stop()
        report(
            state="error",
            code="storage.full" if error.errno in privileges.FULL_ERRNOS else "database.start_failed",
            message=f"The database could not be started: {error.strerror or error}.",
            hint=f"Look at {options.home}: it must be writable and have room.",
        )
        return 1
    report(state="ready", socket_dir=str(supervisor.socket_dir))
    supervisor.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
