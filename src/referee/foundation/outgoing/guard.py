"""Who may be connected to: the public internet, and what the settings allow beyond it.

A name is resolved once, every address it has is judged, and the connection goes to the very address that was
judged; so a name that answers differently the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from referee.core.errors import Forbidden, Unavailable
from referee.core.web_addresses import (
    IpAddress,
    is_link_local,
    is_public_address,
    read_host,
    read_ip,
    read_web_address,
)

if TYPE_CHECKING:
    from referee.foundation.settings import Settings

__all__ = ["OutgoingGuard", "PinnedAddress", "Resolve", "open_guard"]

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""``(host, port) -> addresses``; raises ``OSError``. Blocking."""

RESOLVE_TIMEOUT_S: Final = 10.0
_MAX_ADDRESSES: Final = 4
"""Of one name that are tried in turn."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system knows them, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class PinnedAddress:
    """A host and the addresses it may be reached at, judged."""

    host: str
    port: int
    addresses: tuple[str, ...]
    """At least one."""


@dataclass(frozen=True, slots=True)
class OutgoingGuard:
    """Judges addresses before they are connected to. Immutable; one for a process.

    Args:
        allowed: Hosts, addresses and networks that may be reached though they are not public.
        resolve: How names become addresses.
    """

    allowed: tuple[str, ...] = ()
    resolve: Resolve = resolve

    def allowing(self, url: str) -> Self:
        """Return a guard that also lets pass the host of an address the operator wrote into a setting.

        That permits what such an address is usually for (a server of one's own machine or network), and never
        a link's own addresses: a cloud's metadata needs a network in ``outgoing_allowed``.
        """
        host = read_web_address(url, schemes=("http", "https", "ws", "wss")).host
        return replace(self, allowed=(*self.allowed, host))

    async def pin(self, host: str, port: int) -> PinnedAddress:
        """Return where a host may be connected to.

        Raises:
            InvalidInput: The host is none, or oddly spelt.
            Forbidden: It is, or has, an address that may not be reached.
            Unavailable: Its name is not known.
        """
        name = read_host(host)
        if read_ip(name) is not None:
            return self._judge(name, port, [name])
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await asyncio.to_thread(self.resolve, name, port)
        except (OSError, UnicodeError, TimeoutError):
            raise _unknown(name) from None
        return self._judge(name, port, found)

    def pin_sync(self, host: str, port: int) -> PinnedAddress:
        """Do the same in a thread or a command. Blocking."""
        name = read_host(host)
        if read_ip(name) is not None:
            return self._judge(name, port, [name])
        try:
            found = self.resolve(name, port)
        except (OSError, UnicodeError):
            raise _unknown(name) from None
        return self._judge(name, port, found)

    def check_literal(self, host: str) -> None:
        """Refuse what needs no name service to be refused: for a form, before anything is stored.

        Raises:
            InvalidInput: The host is none, or oddly spelt.
            Forbidden: It is an address, or a name of this machine, that may not be reached.
        """
        name = read_host(host)
        address = read_ip(name)
        if address is not None and not self._may_reach(name, address):
            raise _forbidden(name)
        is_own_name = name == "localhost" or name.endswith((".localhost", ".internal", ".local"))
        if address is None and is_own_name and name not in self.allowed:
            raise _forbidden(name)

    def _judge(self, name: str, port: int, found: Sequence[str]) -> PinnedAddress:
        addresses = [ip_address(text) for text in found]
        if not addresses:
            raise _unknown(name)
        # One refused address refuses the name: a mixture is how a name is made to answer differently later.
        if not all(self._may_reach(name, address) for address in addresses):
            raise _forbidden(name)
        return PinnedAddress(name, port, tuple(str(one) for one in addresses[:_MAX_ADDRESSES]))

    def _may_reach(self, name: str, address: IpAddress) -> bool:
        if is_public_address(address):
            return True
        if any("/" in entry and address in ip_network(entry) for entry in self.allowed):
            return True
        return not is_link_local(address) and not {name, str(address)}.isdisjoint(self.allowed)


def open_guard(settings: Settings) -> OutgoingGuard:
    """Return the guard of a process."""
    return OutgoingGuard(tuple(settings.outgoing_allowed))


def _unknown(name: str) -> Unavailable:
    return Unavailable(
        "outgoing.host_unknown", f"The name {name} is not known.", "Check the address and the name service."
    )


def _forbidden(name: str) -> Forbidden:
    return Forbidden(
        "outgoing.address_refused",
        f"{name} is, or leads to, an address that is not public.",
        "Use a public address, or let the operator name the host or network in REFEREE_OUTGOING_ALLOWED.",
    )
