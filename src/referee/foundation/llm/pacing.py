"""No more requests in a minute than a server wants: a short burst, then evenly spaced.

Each request takes its turn before it is sent, retries included. Turns are
given in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from referee.core.clock import Clock

__all__ = ["Pace"]

_BURST_COUNT: Final = 3
"""Requests that may follow one another at once after a quiet time: the first question of an app and its repair."""
_NS_IN_A_MINUTE: Final = 60_000_000_000


class Pace:
    """Gives turns for requests to one server. For one event loop.

    Args:
        requests_per_minute: In the long run; more than 0.
        wait: Called with the seconds until the turn.
        clock: Its monotonic time is used.
    """

    def __init__(
        self, requests_per_minute: float, *, wait: Callable[[float], Awaitable[None]], clock: Clock
    ) -> None:
        self._gap_ns = int(_NS_IN_A_MINUTE / requests_per_minute)
        self._burst_ns = self._gap_ns * (min(_BURST_COUNT, max(1, int(requests_per_minute))) - 1)
        self._wait = wait
        self._clock = clock
        self._next_ns: int | None = None
        """When the next turn would be if there were no burst."""

    async def wait_for_turn(self) -> None:
        """Return when a request may be sent."""
        now_ns = self._clock.monotonic_ns()
        planned_ns = now_ns if self._next_ns is None else max(now_ns, self._next_ns)
        self._next_ns = planned_ns + self._gap_ns
        pause_ns = planned_ns - now_ns - self._burst_ns
        if pause_ns > 0:
            await self._wait(pause_ns / 1_000_000_000)
