"""States of what a revision is made of.

::

    awaiting_upload ──► queued ──► quick_running ──► quick_done ──► deep_running ──► done
          │                │             │               │  └────── quick only ────► done
          └────────────────┴─────────────┴──► failed ◄───┴──────────────┘
                                                └──► queued         asked for again; finished parts are kept
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from referee.videos.shapes import VideoState

__all__ = ["ACTIVE_STATES", "ChunkState", "NoteKind", "PassState", "ProxyState"]

ACTIVE_STATES: Final = (
    VideoState.queued,
    VideoState.quick_running,
    VideoState.quick_done,
    VideoState.deep_running,
)
"""Those in which a revision changes by itself."""


class PassState(StrEnum):
    """A pass is written piece by piece while it runs, and never after it is done."""

    running = "running"
    done = "done"


class ChunkState(StrEnum):
    """What became of one stretch of frames."""

    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"


class ProxyState(StrEnum):
    """Whether there is a clip that every browser plays."""

    none = "none"
    queued = "queued"
    done = "done"
    failed = "failed"


class NoteKind(StrEnum):
    """A note on the whole, or what happens at an instant."""

    note = "note"
    setup = "setup"
    catch = "catch"
    throw = "throw"
    dive = "dive"
    stumping = "stumping"
    other = "other"
