"""Ids: UUID version 7, shown to people with the noun in front.

A UUIDv7 begins with its millisecond of creation, so ids sort by age and keep
index pages warm. In the database and in JSON an id of ours is a plain UUID;
where people read it, it is ``analysis_<32 hex digits>``, and both forms are
accepted wherever an id is asked for.

Source:
    RFC 9562, section 5.7 (UUID version 7), method 1 of section 6.2 for the
    counter that keeps ids of one process in order within a millisecond.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final
from uuid import UUID

from referee.core.errors import InvalidInput

__all__ = ["format_id", "new_id", "parse_id"]

_COUNTER_BITS: Final = 12

_lock = threading.Lock()
_last: tuple[int, int] = (0, 0)


def new_id() -> UUID:
    """Return a new UUIDv7, greater than every earlier one of this process."""
    global _last  # noqa: PLW0603 - the order of ids within one process is process-wide state by definition
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        last_ms, counter = _last
        if now_ms > last_ms:
            last_ms, counter = now_ms, 0
        else:
            counter += 1
            if counter >> _COUNTER_BITS:
                last_ms, counter = last_ms + 1, 0
        _last = (last_ms, counter)
    random_bits = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return UUID(int=last_ms << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | random_bits)


def format_id(noun: str, value: UUID) -> str:
    """Return the form people read: ``format_id("analysis", id)`` is ``analysis_<hex>``."""
    return f"{noun}_{value.hex}"


def parse_id(text: str, noun: str) -> UUID:
    """Return the UUID in ``text``, with or without the prefix ``<noun>_``.

    Raises:
        InvalidInput: ``text`` is not a UUID, or its prefix names another noun.
    """
    prefix, separator, digits = text.strip().rpartition("_")
    if not separator:
        digits = text.strip()
    elif prefix != noun:
        raise InvalidInput(
            f"{noun}.id_invalid",
            f"{text!r} is not the id of one {noun}.",
            f"Give an id that begins with {noun}_ or a plain UUID.",
        )
    try:
        return UUID(digits)
    except ValueError as error:
        raise InvalidInput(
            f"{noun}.id_invalid",
            f"{text!r} is not the id of one {noun}.",
            f"Give an id that begins with {noun}_ or a plain UUID.",
        ) from error
