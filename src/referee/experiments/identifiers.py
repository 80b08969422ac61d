"""Ids of this room's nouns, which are plain UUIDs on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from referee.core.errors import InvalidInput, NotFound

__all__ = ["make_not_found", "read_id", "read_ids"]


def read_id(text: str, noun: str) -> UUID:
    """Return the id in an address. What is no UUID is the id of nothing.

    Raises:
        NotFound: It is no UUID.
    """
    try:
        return UUID(text)
    except ValueError:
        raise make_not_found(noun, text) from None


def read_ids(texts: Iterable[str], noun: str) -> list[UUID]:
    """Return the ids in a body, each once, in their order.

    Raises:
        InvalidInput: One is no UUID.
    """
    found: dict[UUID, None] = {}
    for text in texts:
        try:
            found[UUID(text)] = None
        except ValueError:
            raise InvalidInput(
                "experiments.unknown_reference",
                f"There is no {noun} {text[:80]!r}.",
                f"Name {noun}s that exist.",
            ) from None
    return list(found)


def make_not_found(noun: str, name: object) -> NotFound:
    """Return the error for an id, a name or a version that nothing has."""
    return NotFound(f"{noun}.not_found", f"There is no {noun.replace('_', ' ')} {str(name)[:80]!r}.")
