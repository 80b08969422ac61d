"""Standard Webhooks: what is signed, how, and how a receiver checks it. Pure.

Source:
    https://www.standardwebhooks.com, specification 1.0.0: ``webhook-id``, ``webhook-timestamp`` and
    ``webhook-signature`` with ``v1,`` and Base64 of HMAC-SHA-256 over ``id.timestamp.body``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from referee.core.errors import Unauthorized

__all__ = ["SECRET_PREFIX", "TOLERANCE_S", "make_secret", "sign_message", "verify_message"]

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
TOLERANCE_S: Final = 300
"""Messages further off than this, before or after, are not believed."""
_SECRET_BYTES: Final = 32


def make_secret() -> str:
    """Return a new signing secret, as a receiver is given it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign_message(
    signing_secrets: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of a message: one signature for each secret, so that one can be replaced.

    Args:
        signing_secrets: The newest first; more than one while a receiver changes over.
        message_id: The same for each attempt at the same message.
        timestamp: Seconds since 1970 of this attempt.
        body: Byte for byte as it is sent.
    """
    signatures = [_sign(one, message_id, str(timestamp), body) for one in signing_secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify_message(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float) -> None:
    """Check a message as a receiver does.

    Args:
        secret: What the receiver was given.
        headers: By lower-case name.
        body: As it came.
        now_s: Seconds since 1970.

    Raises:
        Unauthorized: A header is missing, the message is too old or too new, or no signature fits.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        raise Unauthorized("webhook.headers_missing", "The message does not say its id and instant.")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise Unauthorized("webhook.timestamp_off", "The message is more than five minutes off.")
    expected = _sign(secret, message_id, timestamp, body)
    given = headers.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise Unauthorized("webhook.signature_wrong", "No signature of the message fits the secret.")


def _sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise Unauthorized("webhook.secret_invalid", "The signing secret is not Base64.") from None
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
