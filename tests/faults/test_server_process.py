"""Commands that ask for a server while it starts, stops or has just been killed."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.programs import Referee

from referee.foundation.settings import load_settings
from referee.operations.processes import ServerState, find_server, hold_server_lock


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_status_of_a_server_that_does_not_answer_is_one_sentence(home: Path, referee: Referee) -> None:
    state = ServerState(pid=os.getpid(), host="127.0.0.1", port=free_port(), version="0")
    with hold_server_lock(load_settings(home=home), state):
        answer = referee("status")

    assert (answer.returncode, answer.stdout) == (6, "")
    assert answer.stderr.startswith(f"Error: The server (process {os.getpid()}) does not say how it is.\n")


def test_server_starts_although_somebody_looks_at_its_lock(home: Path) -> None:
    settings = load_settings(home=home)
    settings.ensure_home()
    descriptor = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [descriptor]).start()
    with hold_server_lock(settings, ServerState(pid=1, host="127.0.0.1", port=1, version="0")):
        found = find_server(settings)

    assert found is not None


def test_many_look_while_a_server_starts_again_and_again(home: Path) -> None:
    settings = load_settings(home=home)
    state = ServerState(pid=1, host="127.0.0.1", port=1, version="0")
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            find_server(settings)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for _ in range(100):
        with hold_server_lock(settings, state):
            assert find_server(settings) is not None
    is_over.set()
    for looker in lookers:
        looker.join()

    assert find_server(settings) is None


def test_output_that_cannot_be_written_is_one_sentence(home: Path, tools_dir: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "referee", "tool", "list", "--json"],
            env={**os.environ, "REFEREE_HOME": str(home), "REFEREE_TOOLS_DIR": str(tools_dir)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert ended.returncode == 6
    assert ended.stderr == "Error: The output could not be written: No space left on device.\n"


def test_state_of_a_killed_server_is_not_believed(home: Path) -> None:
    settings = load_settings(home=home)
    settings.ensure_home()
    (home / "server.lock").touch()
    (home / "server.json").write_text(
        json.dumps({"pid": os.getpid(), "host": "127.0.0.1", "port": 1, "version": "0"})
    )

    assert find_server(settings) is None
