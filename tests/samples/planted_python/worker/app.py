"""Another module named app: no type checker may stop at that."""

import os  # noqa: F401


def work(queue: list[int]) -> str:
    """Return the length of the queue."""
    return len(queue)
