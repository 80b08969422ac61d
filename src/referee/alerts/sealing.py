"""Secrets of channels at rest: sealed under a key of the home, and useless without it.

A secret is the address of a Slack webhook or a signing secret. It is enciphered with a key stream of HMAC-SHA-256
in counter mode under a random nonce, and authenticated with HMAC-SHA-256 under another key (encrypt, then MAC).

Source:
    NIST SP 800-108, section 4.1 (a PRF in counter mode), and RFC 5869 for the two keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from referee.core.errors import IntegrityError
from referee.foundation.web.sessions import ensure_session_secret

__all__ = ["Sealer", "open_sealer"]

_NONCE_BYTES: Final = 16
_TAG_BYTES: Final = 32
_VERSION: Final = b"\x01"


class Sealer:
    """Seals and opens short texts. Its key is read on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._master: bytes | None = None

    def seal(self, text: str, purpose: str) -> bytes:
        """Return a text that only this home can open, for this purpose only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = text.encode()
        hidden = bytes(a ^ b for a, b in zip(data, self._stream(nonce, len(data)), strict=True))
        return _VERSION + nonce + hidden + self._tag(purpose, nonce + hidden)

    def open(self, sealed: bytes, purpose: str) -> str:
        """Return what was sealed.

        Raises:
            IntegrityError: It was sealed under another key, for another purpose, or was changed.
        """
        body, tag = sealed[1:-_TAG_BYTES], sealed[-_TAG_BYTES:]
        if (
            sealed[:1] != _VERSION
            or len(body) < _NONCE_BYTES
            or not hmac.compare_digest(tag, self._tag(purpose, body))
        ):
            raise IntegrityError(
                "alert.secret_unreadable",
                "A secret cannot be opened with the key of this home.",
                f"Restore {self._path.name} into the home, or enter the channel's secret again.",
            )
        nonce, hidden = body[:_NONCE_BYTES], body[_NONCE_BYTES:]
        return bytes(a ^ b for a, b in zip(hidden, self._stream(nonce, len(hidden)), strict=True)).decode()

    def _key(self, use: str) -> bytes:
        if self._master is None:
            self._master = ensure_session_secret(self._path)
        return hmac.digest(self._master, f"referee.alerts.{use}\x01".encode(), hashlib.sha256)

    def _stream(self, nonce: bytes, length: int) -> bytes:
        key, blocks = self._key("cipher"), range(-(-length // 32))
        return b"".join(hmac.digest(key, nonce + block.to_bytes(4), hashlib.sha256) for block in blocks)[
            :length
        ]

    def _tag(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(
            self._key("tag"), len(purpose).to_bytes(4) + purpose.encode() + body, hashlib.sha256
        )


def open_sealer(home: Path) -> Sealer:
    """Return the sealer of a home."""
    return Sealer(home / "alerts.key")
