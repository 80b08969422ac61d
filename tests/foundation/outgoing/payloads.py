"""Addresses that should lead nowhere: every spelling of what is not public, around one port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket

__all__ = ["Payload", "Seen", "listener", "make_payloads"]

_PLACES = (
    "127.0.0.1", "127.1.2.3", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.254",  # noqa: S104
    "192.168.0.1", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "198.18.0.1",
)  # fmt: skip
_NAMES = (
    "localhost", "LOCALHOST", "localhost.", "LocalHost.", "a.localhost", "ip6-localhost", "localhost.localdomain",
    "metadata.google.internal", "metadata", "instance-data.ec2.internal",
)  # fmt: skip
_V6 = (
    "::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "fe80::1", "fc00::1", "fd00:ec2::254",
    "fec0::1", "ff02::1", "::1%251", "fe80::1%25lo", "100::1", "2001:db8::1", "fd20:ce::254",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Payload:
    """One address."""

    url: str
    is_plain: bool = False
    """Written as the one spelling of a name or address; which an operator's own setting may be."""

    def __str__(self) -> str:
        return self.url.encode("unicode_escape").decode()


@dataclass(slots=True)
class Seen:
    """What the listener saw."""

    port: int
    connections: list[str] = field(default_factory=list)


def make_payloads(port: int, *, path: str = "/x") -> list[Payload]:
    """Return some hundred addresses, all of which name this machine, a private network or a cloud's metadata."""
    hosts = [(name, True) for name in _NAMES]
    for place in _PLACES:
        hosts += [(place, True), *((text, False) for text in _spell_v4(place))]
    hosts += [(f"[{text}]", "%" not in text) for text in _V6]
    found = [Payload(f"http://{host}:{port}{path}", is_plain) for host, is_plain in hosts]
    found += [Payload(url) for url in _spell_urls(port, path)]
    return list({payload.url: payload for payload in reversed(found)}.values())


def _spell_v4(text: str) -> Iterator[str]:
    a, b, c, d = (int(part) for part in text.split("."))
    number = int(IPv4Address(text))
    yield from (
        str(number),
        hex(number),
        hex(number).upper().replace("0X", "0x"),
        f"0{number:o}",
        f"{text}.",
        f"0x{number:012x}",
    )
    yield from (f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}")
    yield from (
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"{a:03d}.{b:03d}.{c:03d}.{d:03d}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
    )
    yield f"000000{a:o}.{b}.{c}.{d}"
    yield "".join(chr(0xFF10 + int(one)) if one.isdigit() else one for one in text)
    yield text.replace(".", "\u3002")
    yield text.replace("1", "\u2460").replace("2", "\u2461")
    yield text.replace(".", "%2e")
    yield from (f"[::ffff:{text}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[::{text}]")
    yield from (
        f"[64:ff9b::{text}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[fe80::5efe:{text}]",
    )
    yield f"[2001:0:0:0:0:0:{~number >> 16 & 0xFFFF:x}:{~number & 0xFFFF:x}]"


def _spell_urls(port: int, path: str) -> Iterator[str]:
    here = f"127.0.0.1:{port}"
    yield from (
        f"http://public.example@{here}{path}",
        f"http://{here}#@public.example{path}",
        f"http://:@{here}{path}",
    )
    yield from (
        f"http://public.example:80@{here}{path}",
        f"http://{here}\\@public.example{path}",
        f"http:\\\\{here}{path}",
    )
    yield from (f"http:{here}{path}", f"http:/{here}{path}", f"http:///{here}{path}", f"//{here}{path}", here)
    yield from (
        f" http://{here}{path}",
        f"http://{here} {path}",
        f"http://\t{here}{path}",
        f"http://127.0.0.1\n:{port}{path}",
    )
    yield from (
        f"gopher://{here}{path}",
        f"file://{here}{path}",
        f"ftp://{here}{path}",
        f"dict://{here}{path}",
    )
    yield from (
        f"http://[127.0.0.1]:{port}{path}",
        f"http://[::1]x:{port}{path}",
        f"http://[::1:{port}{path}",
        "http://[/",
    )
    yield from (
        "http://",
        "http://:80/",
        "http://./",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:-1/",
    )
    yield from (
        f"http://127.0.0.1%00.public.example:{port}{path}",
        f"http://127.0.0.1\0.public.example:{port}{path}",
    )
    yield from (
        f"http://%31%32%37.0.0.1:{port}{path}",
        f"HTTP://0X7F000001:{port}{path}",
        f"http://-127.0.0.1:{port}{path}",
    )


@contextmanager
def listener() -> Iterator[Seen]:
    """Listen on every address of this machine, IPv4 and IPv6, and note each connection."""
    first = _open(AF_INET, "0.0.0.0", 0)  # noqa: S104 - it has to see all
    seen = Seen(first.getsockname()[1])
    sockets = [first, _open(AF_INET6, "::", seen.port)]

    def accept(one: socket) -> None:
        while True:
            try:
                connection, peer = one.accept()
            except OSError:
                return
            seen.connections.append(f"{peer[0]} {connection.getsockname()[0]}")
            connection.close()

    threads = [threading.Thread(target=accept, args=(one,), daemon=True) for one in sockets]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        for one in sockets:
            one.shutdown(2)
            one.close()
        for thread in threads:
            thread.join(5)


def _open(family: int, host: str, port: int) -> socket:
    one = socket(family)
    one.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    if family == AF_INET6:
        one.setsockopt(41, 26, 1)  # IPPROTO_IPV6, IPV6_V6ONLY
    one.bind((host, port))
    one.listen(64)
    return one
