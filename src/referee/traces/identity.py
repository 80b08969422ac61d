"""How text ids and W3C ids become the 16 bytes that rows are found by.

A uid is written as 32 lower-case hexadecimal digits: half as dear as a UUID
object, and PostgreSQL reads it as a uuid.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

__all__ = ["MAX_ID_CHARACTERS", "compute_span_uid", "compute_uid", "format_uid", "show_id"]

MAX_ID_CHARACTERS: Final = 512
"""An id is a name for something; what is longer is content."""

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@lru_cache(maxsize=65_536)
def compute_uid(text: str) -> str:
    """Return the uid of a text id: its own digits when it is a UUID, otherwise a digest of it."""
    if len(text) == 36 and _UUID.fullmatch(text):
        return text.replace("-", "")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"referee text id")
    return digest.hexdigest()


def compute_span_uid(trace_id: bytes, span_id: bytes) -> str:
    """Return the uid of a span's row: the same for every copy, and known before the span itself arrives."""
    digest = hashlib.blake2b(trace_id + span_id, digest_size=16, person=b"referee span id")
    return digest.hexdigest()


def format_uid(uid: str) -> str:
    """Return the UUID text of a uid."""
    return f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"


def show_id(text: str, uid: str) -> str | None:
    """Return ``text`` if it has to be stored beside ``uid``; None when it is just the uid's text."""
    return None if len(text) == 36 and text.replace("-", "") == uid else text
