"""A deadline that knows a busy machine.

Time in which the command was ready to run and other programs had the CPU does
not count. What counts as "others" is the surprising part: threads of one
command also wait for each other, and that is its own affair.
"""

from __future__ import annotations

import os

__all__ = ["Deadline"]


class Deadline:
    """The time that one command has, stretched by what it had to wait for."""

    def __init__(self, wall_s: float, stretch: float, started_s: float) -> None:
        self._wall_s = wall_s
        self._stretch = max(1.0, stretch)
        self._started_s = self._looked_s = started_s
        self._threads: dict[int, tuple[int, int]] = {}
        self._cores_count = len(os.sched_getaffinity(0))
        self.starved_s = 0.0

    def is_over(self, now_s: float, threads: dict[int, tuple[int, int]]) -> bool:
        """Take in what each thread ran and waited so far (ns); return whether the time is up."""
        ran_s = waited_s = 0.0
        for thread, (ran_ns, waited_ns) in threads.items():
            before_ran_ns, before_waited_ns = self._threads.get(thread, (0, 0))
            ran_s += max(0, ran_ns - before_ran_ns) / 1e9
            waited_s += max(0, waited_ns - before_waited_ns) / 1e9
        self._threads = threads
        self.starved_s += compute_starvation(now_s - self._looked_s, ran_s, waited_s, self._cores_count)
        self._looked_s = now_s
        passed_s = now_s - self._started_s
        return passed_s - self.starved_s >= self._wall_s or passed_s >= self._wall_s * self._stretch

    def compute_rest(self, now_s: float) -> float:
        """Return the seconds that are left if nothing more is lost to others."""
        return self._wall_s - (now_s - self._started_s - self.starved_s)

    def explain(self, now_s: float) -> str:
        """Return one sentence about a deadline that is over."""
        waited = f", not counting {self.starved_s:.1f} s without a CPU" if self.starved_s >= 0.1 else ""
        return (
            f"It was not done after {now_s - self._started_s:.1f} s; {self._wall_s:g} s are allowed{waited}."
        )


def compute_starvation(passed_s: float, ran_s: float, waited_s: float, cores_count: int) -> float:
    """Return how much of a stretch of time a command lost to other programs.

    Alone on the machine it would have run for ``min(ran + waited, cores × passed)``; the share of
    that which it did not get is lost, over the part of the time in which it wanted to run at all.

    Args:
        passed_s: Length of the stretch. Seconds.
        ran_s: CPU time that its threads got. Seconds, summed.
        waited_s: Time that its threads were ready and had no CPU. Seconds, summed.
        cores_count: CPUs it may use.

    Returns:
        Seconds, between 0 and ``passed_s``.
    """
    wanted_s = ran_s + waited_s
    if passed_s <= 0 or wanted_s <= 0:
        return 0.0
    possible_s = min(wanted_s, cores_count * passed_s)
    return min(passed_s, wanted_s) * max(0.0, 1 - ran_s / possible_s)
