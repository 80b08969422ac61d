"""Which spans' tokens count, when spans report the sum of those below them.

An agent's span often carries the total of its model calls. Adding all of them
up counts each token as often as there are levels, so a span counts only when no
span below it, at any depth, has tokens or cost of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["find_uncounted"]


def find_uncounted(spans: Iterable[tuple[str, str | None, bool]]) -> set[str]:
    """Return the uids of spans with numbers that have spans with numbers below them.

    Args:
        spans: Uid, uid of the parent, whether it has tokens or cost; all of some traces, in any order.
            A parent that is not among them ends the way up, and so does a circle.
    """
    parents: dict[str, str | None] = {}
    with_numbers: list[str] = []
    for uid, parent_uid, has_numbers in spans:
        parents[uid] = parent_uid
        if has_numbers:
            with_numbers.append(uid)
    reached: set[str] = set()
    for uid in with_numbers:
        above = parents[uid]
        while above is not None and above in parents and above not in reached:
            reached.add(above)
            above = parents[above]
    return reached.intersection(with_numbers)
