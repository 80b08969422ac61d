"""Which ports are open, and whose they are, told by the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from referee.apps.listening import OWNER_VARIABLE, Listener, find_owned_listeners, list_listeners

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("family", "address", "host"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),  # noqa: S104 - the very case
        (socket.AF_INET6, "::1", "::1"),
    ],
)
def test_listening_socket_is_seen_with_the_address_that_reaches_it(
    family: socket.AddressFamily, address: str, host: str
) -> None:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        found = {listener.port: listener.host for listener in list_listeners()}

    assert found[port] == host
    assert port not in {listener.port for listener in list_listeners()}


def test_address_of_version_6_is_written_in_brackets() -> None:
    assert Listener(80, "::1", 1).url == "http://[::1]:80"


def test_socket_belongs_to_the_component_whose_processes_hold_it() -> None:
    owner = f"run-{os.getpid()}/backend"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={OWNER_VARIABLE: owner},
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        owned = [listener.port for listener in find_owned_listeners(owner)]
        others = find_owned_listeners(owner[:-1])
        child.communicate()

    assert (owned, others) == ([port], ())


def test_network_of_a_process_that_is_gone_has_no_listeners() -> None:
    assert list_listeners(2**22 + 1) == ()
