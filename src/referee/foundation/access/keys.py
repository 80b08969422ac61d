"""The form of an API key's secret, and its digest.

``rfr_<32 characters>_<6 characters>``: the prefix lets secret scanners find a
key that leaked, the middle is random (190 bits, so a plain SHA-256 is enough:
there is nothing to guess), the end is a CRC-32 that tells a mistyped key from
an unknown one without asking the database.
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

__all__ = ["SHOWN_CHARACTERS", "Scope", "hash_secret", "make_secret", "read_secret"]

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS: Final = 32
_CHECK_CHARACTERS: Final = 6
"""62⁶ is more than 2³², so a CRC-32 fits."""

SHOWN_CHARACTERS: Final = len("rfr_") + 6
"""Characters of a secret that lists show: enough to tell keys apart, and 154 random bits stay hidden."""

_FORM: Final = re.compile(rf"rfr_([0-9A-Za-z]{{{_RANDOM_CHARACTERS}}})_([0-9A-Za-z]{{{_CHECK_CHARACTERS}}})")


class Scope(StrEnum):
    """What a key may do; each includes the ones before it."""

    read = "read"
    write = "write"
    """Create and change what belongs to the project."""
    admin = "admin"
    """Create projects and keys, revoke keys."""


def make_secret() -> str:
    """Return a new random secret."""
    random_part = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return f"rfr_{random_part}_{_compute_check(random_part)}"


def read_secret(bearer: str) -> str:
    """Return the secret that a caller sent, with or without the word ``Bearer`` in front.

    Raises:
        Unauthorized: It does not have the form of a key.
    """
    text = bearer.strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip()
    match = _FORM.fullmatch(text)
    if match is None or match[2] != _compute_check(match[1]):
        raise Unauthorized(
            "access.key_malformed",
            "What was sent is not an API key, or it was mistyped.",
            "Send the whole key that `referee key create` printed.",
        )
    return text


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 under which a secret is kept."""
    return hashlib.sha256(secret.encode()).digest()


def _compute_check(random_part: str) -> str:
    number = zlib.crc32(random_part.encode())
    digits = ""
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
