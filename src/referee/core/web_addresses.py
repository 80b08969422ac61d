"""Reading addresses strictly, and telling public ones from all others. Pure: nothing is resolved here.

An address has one spelling. What libraries read differently from each other (decimal, octal, hexadecimal and
short IPv4, user and password, backslashes, other scripts' digits, zone ids) is refused rather than
understood, because a guard that reads an address differently from the library that connects guards nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from referee.core.errors import InvalidInput

__all__ = [
    "IpAddress",
    "WebAddress",
    "is_link_local",
    "is_public_address",
    "read_allowed_place",
    "read_host",
    "read_ip",
    "read_web_address",
]

IpAddress: TypeAlias = IPv4Address | IPv6Address

_MAX_URL_CHARS: Final = 2_000
_PLAIN: Final = re.compile(r"[!-~]+")
"""Printable ASCII: no white space, no control characters, no other script."""
_NAME: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_V6_IN_V4_FORMS: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64: the last 32 bits are the address that is reached."""
_REFUSED_V6: Final = tuple(
    map(IPv6Network, ("::/96", "2002::/16", "2001::/32", "fec0::/10", "3fff::/20", "5f00::/16", "100::/64"))
)
"""IPv4-compatible, 6to4, Teredo, site-local, documentation, segment routing, discard: a way round, or no way at all."""
_REFUSED_V4: Final = tuple(map(IPv4Network, ("192.88.99.0/24", "100.64.0.0/10", "168.63.129.16/32")))
"""6to4 relays, shared carrier space (some clouds' metadata stands in it), and one cloud's host agent."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A URL that was read strictly."""

    url: str
    scheme: str
    host: str
    """Lower case, without brackets and without a dot at its end."""
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port, for people; never path or query, which may hold a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{shown}"


def read_web_address(url: str, *, schemes: tuple[str, ...] = ("http", "https")) -> WebAddress:
    """Return what a URL names.

    Raises:
        InvalidInput: It has another scheme, a user or password, or a spelling that not all read alike.
    """
    if len(url) > _MAX_URL_CHARS or not _PLAIN.fullmatch(url) or any(one in url for one in "\\<>\"'`{}|^"):
        raise _invalid(schemes, "it is too long, or holds characters that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid(schemes, "it cannot be read") from None
    if parts.scheme not in schemes or not url.lower().startswith(f"{parts.scheme}://"):
        raise _invalid(schemes, "it has another scheme")
    if "@" in parts.netloc:
        raise _invalid(schemes, "it holds a user or a password")
    if port == 0 or (port is None and parts.netloc.endswith(":")):
        raise _invalid(schemes, "its port is none")
    text = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    return WebAddress(url, parts.scheme, read_host(text), port or _DEFAULT_PORTS[parts.scheme])


def read_host(text: str) -> str:
    """Return a host's name or address in its one spelling.

    Raises:
        InvalidInput: It is no name, or a number in another spelling than ``192.0.2.7``.
    """
    if text.startswith("[") and text.endswith("]"):
        return _read_v6(text[1:-1])
    host = text.lower().removesuffix(".")
    if ":" in host:
        return _read_v6(host)
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise _invalid_host("it is no name of a host; one in another script is written in its xn-- form")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(text))
        except ValueError:
            raise _invalid_host("a number is written as four decimal parts, such as 192.0.2.7") from None
    return host


def is_public_address(address: IpAddress) -> bool:
    """Return whether an address belongs to the public internet: none of a machine, a site, a link or a cloud's own.

    Source:
        IANA special-purpose address registries (RFC 6890), as the standard library knows them, and what it
        lets through: transition forms that carry another address, and clouds' metadata outside link-local space.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public_address(address.ipv4_mapped)
        if address in _V6_IN_V4_FORMS[0]:
            return is_public_address(IPv4Address(int(address) & 0xFFFFFFFF))
        if address.scope_id is not None or any(address in one for one in (*_REFUSED_V6, _V6_IN_V4_FORMS[1])):
            return False
        if int(address) >> 32 & 0xFDFFFFFF == 0x00005EFE:  # ISATAP carries an IPv4 address at its end
            return False
    elif any(address in network for network in _REFUSED_V4):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_link_local(address: IpAddress) -> bool:
    """Return whether an address is one of a link, where clouds keep their metadata: no name leads there."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    found = mapped or address
    return (
        found.is_link_local
        or found.is_multicast
        or found in IPv4Network("168.63.129.16/32")
        or found == IPv4Address("100.100.100.200")
        or found in IPv6Network("fd00:ec2::/32")
        or found in IPv6Network("fd20:ce::/32")
    )


def read_ip(host: str) -> IpAddress | None:
    """Return the address that a host read by ``read_host`` is; None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def read_allowed_place(text: str) -> str:
    """Return an entry of a list of allowed places in its one spelling: a name, an address, or a network.

    Raises:
        ValueError: It is none of these.
    """
    try:
        return str(ip_network(text)) if "/" in text else read_host(text)
    except InvalidInput as error:
        raise ValueError("is no host, address or network") from error


def _read_v6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError
        address = IPv6Address(text)
        if address.ipv4_mapped is not None:
            raise _invalid_host(f"it is written as {address.ipv4_mapped}")
        if "." in text:
            raise _invalid_host(f"it is written as [{address}]")
        return str(address)
    except ValueError:
        raise _invalid_host("it is no IPv6 address") from None


def _invalid(schemes: tuple[str, ...], why: str) -> InvalidInput:
    return InvalidInput(
        "outgoing.address_invalid",
        f"That is not an address that can be connected to: {why}.",
        f"Write it as {schemes[-1]}://host.example/path; a key or password has a place of its own.",
    )


def _invalid_host(why: str) -> InvalidInput:
    return InvalidInput(
        "outgoing.address_invalid",
        f"That is not an address that can be connected to: {why}.",
        "Write the host as a name such as hooks.example, or as an address such as 192.0.2.7 or [2001:db8::7].",
    )
