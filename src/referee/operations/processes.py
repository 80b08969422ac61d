"""The server process of a home: started once, found again, stopped cleanly.

``<home>/server.lock`` is held exclusively for as long as a server lives, so two
servers on one home exclude each other whatever becomes of them; ``server.json``
beside it says where the server listens.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from referee.core.errors import Conflict, Unavailable
from referee.foundation.settings import Settings

__all__ = [
    "ServerState",
    "find_server",
    "hold_server_lock",
    "read_health",
    "start_detached",
    "stop_server",
    "wait_until_ready",
]

_STOP_TIMEOUT_S: Final = 30.0
_START_TIMEOUT_S: Final = 120.0
"""Long enough for a crash recovery of the database on a busy machine."""
_LOOK_S: Final = 0.05
_LOOKERS_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ServerState:
    """A running server."""

    pid: int
    host: str
    port: int
    version: str

    @property
    def url(self) -> str:
        """Address of its pages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@contextmanager
def hold_server_lock(settings: Settings, state: ServerState) -> Iterator[None]:
    """Be the one server of this home, and say where it listens.

    Raises:
        Conflict: Another server has this home.
    """
    settings.ensure_home()
    descriptor = os.open(_lock_path(settings), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take_lock(descriptor):
            raise _already_running(settings)
        _write_state(settings, state)
        yield
        _state_path(settings).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int) -> bool:
    """Take the lock; one that only looks at it (``find_server``) lets go of it within a moment."""
    deadline = time.monotonic() + _LOOKERS_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S / 5)
        else:
            return True


def find_server(settings: Settings) -> ServerState | None:
    """Return the server of this home, or None when none runs."""
    try:
        descriptor = os.open(_lock_path(settings), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_state(settings)
    finally:
        os.close(descriptor)
    return None


def start_detached(settings: Settings) -> ServerState:
    """Start a server in the background and return when it answers.

    Raises:
        Conflict: Another server has this home.
        Unavailable: It ended or did not answer in time; the message has its last words.
    """
    if find_server(settings) is not None:
        raise _already_running(settings)
    settings.ensure_home()
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    log_path = settings.logs_dir / "server.log"
    with log_path.open("ab") as log:
        offset = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "referee", "up", "--port", str(settings.port), "--host", settings.host],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "REFEREE_HOME": str(settings.home)},
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(
                "server.start_failed",
                f"The server ended with exit code {process.returncode}: {_last_words(log_path, offset)}",
                f"Its log is {log_path}.",
            )
        state = find_server(settings)
        if state is not None and state.pid == process.pid and _answers(state):
            return state
        time.sleep(_LOOK_S)
    raise Unavailable(
        "server.start_slow",
        f"The server does not answer after {_START_TIMEOUT_S:.0f} s.",
        f"Its log is {log_path}.",
    )


def wait_until_ready(state: ServerState, timeout_s: float) -> bool:
    """Return whether the server answers within the time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if _answers(state):
            return True
        time.sleep(_LOOK_S)
    return False


def read_health(state: ServerState) -> dict[str, Any]:
    """Return what the server says of itself.

    Raises:
        Unavailable: It gives no answer, such as while it starts or stops.
    """
    import httpx  # noqa: PLC0415 - only an asking command pays for it

    try:
        health = httpx.get(f"{state.url}/health", timeout=10.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        health = None
    if not isinstance(health, dict) or "checks" not in health:
        raise Unavailable(
            "server.no_answer",
            f"The server (process {state.pid}) does not say how it is.",
            "It may be starting or stopping: try again in a moment.",
        )
    return health


def stop_server(settings: Settings) -> bool:
    """Stop the server of this home and wait until it is gone.

    Returns:
        Whether there was one.

    Raises:
        Unavailable: It does not end.
    """
    state = find_server(settings)
    if state is None:
        return False
    try:
        os.kill(state.pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        if find_server(settings) is None:
            return True
        time.sleep(_LOOK_S)
    raise Unavailable(
        "server.stop_slow",
        f"The server (process {state.pid}) does not end after {_STOP_TIMEOUT_S:.0f} s.",
        "Look at its log, or end the process by hand.",
    )


def _answers(state: ServerState) -> bool:
    import httpx  # noqa: PLC0415 - the server itself imports this module and needs no client

    try:
        return httpx.get(f"{state.url}/ready", timeout=2.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _last_words(log_path: Path, offset: int) -> str:
    with log_path.open("rb") as log:
        log.seek(offset)
        lines = log.read()[-4_000:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _lock_path(settings: Settings) -> Path:
    return settings.home / "server.lock"


def _state_path(settings: Settings) -> Path:
    return settings.home / "server.json"


def _write_state(settings: Settings, state: ServerState) -> None:
    path = _state_path(settings)
    temporary = path.with_suffix(".json.new")
    temporary.write_text(json.dumps(asdict(state)))
    temporary.replace(path)


def _read_state(settings: Settings) -> ServerState | None:
    """Return what the server wrote; None in the moment between its lock and its words."""
    try:
        return ServerState(**json.loads(_state_path(settings).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _already_running(settings: Settings) -> Conflict:
    state = _read_state(settings)
    where = f" at {state.url} (process {state.pid})" if state is not None else ""
    return Conflict(
        "server.already_running",
        f"A server of {settings.home} is already running{where}.",
        "Use that one, or stop it with `referee down`.",
    )
