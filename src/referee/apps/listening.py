"""Which ports are listened on in a network, read from the kernel: no connection is made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["OWNER_VARIABLE", "Listener", "find_owned_listeners", "list_listeners"]

OWNER_VARIABLE: Final = "REFEREE_APP_COMPONENT"
"""Variable by which every process of an app tells to which run and component it belongs."""

_LISTEN: Final = "0A"
_ANY_4, _LOOP_4 = "00000000", "0100007F"
_ANY_6, _LOOP_6 = "0" * 32, "0" * 24 + "01000000"
_MAX_BYTES: Final = 4 * 1024 * 1024
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One listening socket that loopback reaches."""

    port: int
    host: str
    """``127.0.0.1`` where that reaches it, else ``::1``."""
    inode: int

    @property
    def url(self) -> str:
        """Address for HTTP."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def list_listeners(pid: int | None = None) -> tuple[Listener, ...]:
    """Return what listens in the network of a process, by port; None: in our own.

    Source:
        proc(5), /proc/net/tcp: local address in the byte order of the machine, state 0A is LISTEN.
    """
    folder = Path(f"/proc/{'self' if pid is None else pid}/net")
    found: dict[int, Listener] = {}
    for name, hosts in (
        ("tcp6", {_ANY_6: "::", _LOOP_6: "::1"}),
        ("tcp", {_ANY_4: "127.0.0.1", _LOOP_4: "127.0.0.1"}),
    ):
        for line in _read_lines(folder / name):
            fields = line.split()
            if len(fields) < 10 or fields[3] != _LISTEN:
                continue
            address, _, port = fields[1].partition(":")
            host = hosts.get(address)
            if host is None:
                continue
            # A socket on every IPv6 address answers IPv4 too, unless it was told not to; then IPv6 does.
            known = "127.0.0.1" if host == "::" else host
            found[int(port, 16)] = Listener(int(port, 16), known, int(fields[9]))
    return tuple(sorted(found.values()))


def find_owned_listeners(owner: str) -> tuple[Listener, ...]:
    """Return what one component of an app listens on in our own network, by port.

    For apps without a network of their own, where a port says nothing about who listens.

    Args:
        owner: What ``OWNER_VARIABLE`` holds in the component's processes.
    """
    owned = _find_owned_inodes(f"{OWNER_VARIABLE}={owner}")
    return tuple(listener for listener in list_listeners() if listener.inode in owned)


def _find_owned_inodes(variable: str) -> frozenset[int]:
    wanted = os.fsencode(variable)
    inodes: set[int] = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                inodes.update(_list_sockets(folder / "fd"))
        except OSError:
            continue  # it has ended, or is somebody else's
    return frozenset(inodes)


def _list_sockets(folder: Path) -> Iterable[int]:
    for handle in folder.iterdir():
        try:
            match = _SOCKET.match(str(handle.readlink()))
        except OSError:
            continue
        if match:
            yield int(match.group(1))


def _read_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("ascii", errors="replace").splitlines()[1:]
    except OSError:
        return []
