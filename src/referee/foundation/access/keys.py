"""The forms of an API key's secret, and its digest.

A key of a project is ``rfr_<32 characters>_<6 characters>``: the prefix lets
secret scanners find a key that leaked, the middle is random (190 bits, so a
plain SHA-256 is enough: there is nothing to guess), the end is a CRC-32 that
tells a mistyped key from an unknown one without asking the database. Keys that
only send telemetry, and keys of the data plane, have the form that telemetry
clients check before they send them, ``hh_ingst_<24>_<64>`` and
``hh_fgdp_<24>_<64>``; their last six characters are the same check.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from enum import StrEnum
from typing import Final

from referee.core.errors import Unauthorized

__all__ = ["KeyKind", "Scope", "hash_secret", "make_secret", "read_secret", "shown_part"]

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS: Final = 32
_CHECK_CHARACTERS: Final = 6
"""62⁶ is more than 2³², so a CRC-32 fits."""
_CLIENT_ID_CHARACTERS: Final = 24
_CLIENT_TAIL_CHARACTERS: Final = 64
_SHOWN_RANDOM_CHARACTERS: Final = 6
"""Characters after the prefix that lists show: enough to tell keys apart, and 154 random bits stay hidden."""


class KeyKind(StrEnum):
    """Where a key is used."""

    project = "project"
    """For everything that its scopes allow."""
    ingestion = "ingestion"
    """By agents, to send spans, sessions and events, and for nothing else."""
    data_plane = "data_plane"
    """For the operations that have a project's id in their path."""


class Scope(StrEnum):
    """What a key may do; of the first three each includes the ones before it."""

    read = "read"
    write = "write"
    """Create and change what belongs to the project."""
    admin = "admin"
    """Create projects and keys, revoke keys."""
    ingest = "ingest"
    """Send spans, sessions and events. Part of ``write``."""
    charts_read = "charts_read"
    """See charts. Part of ``read``."""
    charts_write = "charts_write"
    """Create, change and delete charts. Part of ``write``."""


_PREFIXES: Final = {KeyKind.ingestion: "hh_ingst_", KeyKind.data_plane: "hh_fgdp_", KeyKind.project: "rfr_"}
_FORM: Final = re.compile(
    rf"rfr_([0-9A-Za-z]{{{_RANDOM_CHARACTERS}}})_([0-9A-Za-z]{{{_CHECK_CHARACTERS}}})"
    rf"|hh_(?:ingst|fgdp)_([0-9A-Za-z]{{{_CLIENT_ID_CHARACTERS}}}_"
    rf"[0-9A-Za-z_-]{{{_CLIENT_TAIL_CHARACTERS - _CHECK_CHARACTERS}}})([0-9A-Za-z]{{{_CHECK_CHARACTERS}}})"
)


def make_secret(kind: KeyKind = KeyKind.project) -> str:
    """Return a new random secret."""
    if kind is KeyKind.project:
        random_part = _draw(_RANDOM_CHARACTERS)
        return f"{_PREFIXES[kind]}{random_part}_{_compute_check(random_part)}"
    random_part = f"{_draw(_CLIENT_ID_CHARACTERS)}_{_draw(_CLIENT_TAIL_CHARACTERS - _CHECK_CHARACTERS)}"
    return f"{_PREFIXES[kind]}{random_part}{_compute_check(random_part)}"


def shown_part(secret: str) -> str:
    """Return how a secret begins, which is what lists show."""
    prefix = next(prefix for prefix in _PREFIXES.values() if secret.startswith(prefix))
    return secret[: len(prefix) + _SHOWN_RANDOM_CHARACTERS]


def read_secret(bearer: str) -> str:
    """Return the secret that a caller sent, with or without the word ``Bearer`` in front.

    Raises:
        Unauthorized: It does not have the form of a key.
    """
    text = bearer.strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip()
    match = _FORM.fullmatch(text)
    if match is None or (match[2] or match[4]) != _compute_check(match[1] or match[3]):
        raise Unauthorized(
            "access.key_malformed",
            "What was sent is not an API key, or it was mistyped.",
            "Send the whole key that `referee key create` printed.",
        )
    return text


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 under which a secret is kept."""
    return hashlib.sha256(secret.encode()).digest()


def _draw(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _compute_check(random_part: str) -> str:
    number = zlib.crc32(random_part.encode())
    digits = ""
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
