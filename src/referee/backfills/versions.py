"""Schema versions of the agent system, compared as numbers: 0.9.0 is older than 0.21.0."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["newest_version", "parse_version", "version_number"]

_NUMBERS = re.compile(r"\d+")


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version: ``0.21.0`` and ``v21`` become (0, 21, 0) and (0, 21, 0)."""
    numbers = tuple(int(part) for part in _NUMBERS.findall(text[:40])[:4])
    if len(numbers) == 1:  # v21 and 21 are short for 0.21.0
        return (0, numbers[0], 0)
    return numbers or (0,)


def version_number(text: str | None) -> int:
    """Return the number that counts: 21 for ``0.21.0``; 0 when there is none."""
    if text is None:
        return 0
    numbers = parse_version(text)
    return numbers[1] if len(numbers) > 1 else 0


def newest_version(texts: Iterable[str]) -> str | None:
    """Return the newest of all versions; None without any."""
    return max(texts, key=parse_version, default=None)
