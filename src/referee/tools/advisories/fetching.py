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
from referee.foundation.outgoing import GuardedTransportSync, OutgoingGuard, RefusedAddressError
from referee.tools.advisories.exports import MIB, ImportLimits

__all__ = ["fetched_file", "is_url"]

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 60.0
"""Between two pieces of the body, not for all of it."""
TOTAL_TIMEOUT_S = 1_800.0
"""A full export of 200 MB on a slow line."""
_FREE_BYTES_KEPT = 256 * MIB
"""Left free on the disk, so that a download never starves the database beside it."""


def is_url(source: str) -> bool:
    """Return whether a source is an address rather than a file."""
    return "://" in source


@contextmanager
def fetched_file(
    url: str, directory: Path, guard: OutgoingGuard, limits: ImportLimits | None = None
) -> Iterator[tuple[Path, str]]:
    """Fetch ``url`` into a temporary file of ``directory``; yield its path and a name to show.

    The name carries no user, password, query or fragment.

    Raises:
        InvalidInput: The address is not http or https, or leads on to another.
        Forbidden: The address is not public, and no setting allows it.
        PayloadTooLarge: More bytes than the limit.
        Unavailable: It could not be fetched.
    """
    limits = limits or ImportLimits()
    directory.mkdir(parents=True, exist_ok=True)
    shown = _shown(url)
    with tempfile.NamedTemporaryFile(prefix=".download-", dir=directory) as file:
        try:
            _fetch(url, shown, file, limits, directory, guard)  # type: ignore[arg-type]  # a binary temporary file
        except RefusedAddressError as error:
            raise error.reason from error
        except httpx.HTTPError as error:
            raise Unavailable(
                "advisories.fetch_failed",
                f"{shown} could not be fetched: {type(error).__name__}.",
                "Check the address and the network, or download the file and import that.",
            ) from error
        file.flush()
        yield Path(file.name), shown


def _fetch(
    url: str, shown: str, file: BinaryIO, limits: ImportLimits, directory: Path, guard: OutgoingGuard
) -> None:
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    with (
        httpx.Client(
            timeout=timeout, follow_redirects=False, transport=GuardedTransportSync(guard)
        ) as client,
        client.stream("GET", _checked(url), headers={"Accept-Encoding": "identity"}) as response,
    ):
        if response.next_request is not None:
            raise InvalidInput(
                "advisories.redirected",
                f"{shown} leads on to {_shown(str(response.next_request.url))}.",
                "Name the final address: a redirect is never followed.",
            )
        if response.status_code != httpx.codes.OK:
            raise Unavailable(
                "advisories.fetch_failed", f"{shown} answered {response.status_code}.", "Check the address."
            )
        _copy(response, shown, file, limits, directory=directory, deadline=deadline)


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
