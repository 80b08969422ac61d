"""Fetching an OSV export from a URL, within limits, into a file that is imported and removed.

Not here: what is read from the file (``importing.py``).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

import httpx

from referee.core.errors import InvalidInput, PayloadTooLarge, Unavailable
from referee.tools.advisories.exports import MIB, ImportLimits

__all__ = ["fetched_file", "is_url"]

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 60.0
"""Between two pieces of the body, not for all of it."""
TOTAL_TIMEOUT_S = 1_800.0
"""A full export of 200 MB on a slow line."""
MAX_REDIRECTS = 5
_FREE_BYTES_KEPT = 256 * MIB
"""Left free on the disk, so that a download never starves the database beside it."""


def is_url(source: str) -> bool:
    """Return whether a source is an address rather than a file."""
    return "://" in source


@contextmanager
def fetched_file(url: str, directory: Path, limits: ImportLimits | None = None) -> Iterator[tuple[Path, str]]:
    """Fetch ``url`` into a temporary file of ``directory``; yield its path and a name to show.

    The name carries no user, password, query or fragment.

    Raises:
        InvalidInput: The address is not http or https, or a redirect leads to another scheme.
        PayloadTooLarge: More bytes than the limit.
        Unavailable: It could not be fetched.
    """
    limits = limits or ImportLimits()
    directory.mkdir(parents=True, exist_ok=True)
    shown = _shown(url)
    with tempfile.NamedTemporaryFile(prefix=".download-", dir=directory) as file:
        try:
            _fetch(url, shown, file, limits, directory)  # type: ignore[arg-type]  # a binary temporary file
        except httpx.HTTPError as error:
            raise Unavailable(
                "advisories.fetch_failed",
                f"{shown} could not be fetched: {type(error).__name__}.",
                "Check the address and the network, or download the file and import that.",
            ) from error
        file.flush()
        yield Path(file.name), shown


def _fetch(url: str, shown: str, file: BinaryIO, limits: ImportLimits, directory: Path) -> None:
    address = _checked(url)
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    with httpx.Client(timeout=timeout, follow_redirects=False) as client:
        for _ in range(MAX_REDIRECTS + 1):
            with client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as response:
                if response.next_request is not None:
                    target = _checked(str(response.next_request.url))
                    if target.scheme != address.scheme:
                        raise InvalidInput(
                            "advisories.redirect_scheme",
                            f"{shown} leads on to another scheme ({address.scheme} to {target.scheme}).",
                            "Name the final address.",
                        )
                    address = target
                    continue
                if response.status_code != httpx.codes.OK:
                    raise Unavailable(
                        "advisories.fetch_failed",
                        f"{shown} answered {response.status_code}.",
                        "Check the address.",
                    )
                _copy(response, shown, file, limits, directory=directory, deadline=deadline)
                return
    raise Unavailable("advisories.fetch_failed", f"{shown} redirects more than {MAX_REDIRECTS} times.")


def _copy(
    response: httpx.Response,
    shown: str,
    file: BinaryIO,
    limits: ImportLimits,
    *,
    directory: Path,
    deadline: float,
) -> None:
    received = 0
    for piece in response.iter_raw(MIB):
        received += len(piece)
        if received > limits.source_bytes:
            raise PayloadTooLarge(
                "advisories.too_large", f"{shown} is larger than {limits.source_bytes / MIB:.0f} MB."
            )
        if shutil.disk_usage(directory).free < _FREE_BYTES_KEPT:
            raise Unavailable(
                "advisories.disk_full", "The disk is nearly full; the advisory store is as it was."
            )
        if time.monotonic() > deadline:
            raise Unavailable(
                "advisories.fetch_failed", f"{shown} took longer than {TOTAL_TIMEOUT_S:.0f} seconds."
            )
        file.write(piece)


def _checked(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput("advisories.address", f"{_shown(url)} is not an address.") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise InvalidInput(
            "advisories.address",
            f"{_shown(url)} is not an http or https address.",
            "Give a file or a web address.",
        )
    return address


def _shown(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    text = urlunsplit((parts.scheme, host + port, parts.path, "", ""))
    return "".join(one if one.isprintable() else "�" for one in text)[:200]
