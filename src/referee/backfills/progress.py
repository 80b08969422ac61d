"""How fast a run is and how long it will take: measured, without pauses, and unknown while it is unknown."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["Pacer", "Progress", "RateMeter", "format_duration"]

_WINDOW_S: Final = 10.0
_LEAST_S: Final = 0.5
"""Before that much work, a rate would be a guess."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    state: str
    done_count: int
    total_count: int
    done_share: float
    rows_per_s: float | None
    """Of the last seconds of work; None: not known yet."""
    remaining_s: float | None
    """None: not known."""
    failed_count: int
    batch_size: int
    """Rows of the last batch's limit: smaller than asked for where batches took too long."""


class RateMeter:
    """Rows a second over the last seconds in which there was work."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, float]] = deque()
        self._rows_count = 0
        self._elapsed_s = 0.0

    def add(self, rows_count: int, elapsed_s: float) -> None:
        """Note a batch and what it took, throttle included, pauses not."""
        self._batches.append((rows_count, elapsed_s))
        self._rows_count += rows_count
        self._elapsed_s += elapsed_s
        while len(self._batches) > 1 and self._elapsed_s - self._batches[0][1] > _WINDOW_S:
            rows, seconds = self._batches.popleft()
            self._rows_count -= rows
            self._elapsed_s -= seconds

    @property
    def rows_per_s(self) -> float | None:
        """Rows a second; None until it can be told."""
        if self._elapsed_s < _LEAST_S or self._rows_count == 0:
            return None
        return self._rows_count / self._elapsed_s

    def remaining_s(self, rows_count: int) -> float | None:
        """Return how long so many rows will take; None when that is not known."""
        rate = self.rows_per_s
        return None if rate is None else max(0, rows_count) / rate


class Pacer:
    """The size of the next batch: as asked for, and smaller while batches hold the lock for too long."""

    def __init__(self, *, max_batch_s: float = 1.0, least: int = 50) -> None:
        self._max_batch_s = max_batch_s
        self._least = least
        self._limit: int | None = None

    def size(self, wanted: int) -> int:
        """Return how many rows the next batch takes at most."""
        return wanted if self._limit is None else min(wanted, self._limit)

    def note(self, wanted: int, rows_count: int, elapsed_s: float) -> None:
        """Learn from what a batch took."""
        size = self.size(wanted)
        if elapsed_s > self._max_batch_s and rows_count > self._least:
            # What would have taken half the bound; a batch twice as large stays within it.
            self._limit = max(self._least, int(rows_count * self._max_batch_s / elapsed_s / 2))
        elif self._limit is not None and elapsed_s < self._max_batch_s / 4:
            self._limit = None if size * 2 >= wanted else size * 2


def format_duration(seconds: float) -> str:
    """Return a time as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"
