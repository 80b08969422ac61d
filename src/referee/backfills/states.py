"""States of a run, and what may follow which.

::

    running ──► paused ──► running        asked for by a person; goes on at its cursor
       │   ├──► finished                  every row was seen, and the checks hold
       │   ├──► failed ──► running        too many rows failed, a check did not hold, the database was lost
       │   └──► cancelled                 what is written stays until it is undone
       ▼
    (finished | failed | cancelled | paused) ──► undoing ──► undone
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["RESUMABLE_STATES", "RunState"]


class RunState(StrEnum):
    """What a run does or came to."""

    queued = "queued"
    running = "running"
    paused = "paused"
    finished = "finished"
    failed = "failed"
    cancelled = "cancelled"
    undoing = "undoing"
    undone = "undone"


RESUMABLE_STATES: Final = (RunState.running, RunState.paused, RunState.failed)
"""A run in one of these is gone on with, not begun again."""
