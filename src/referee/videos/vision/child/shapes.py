"""Values that the modules of the child process share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Packed", "Person", "Refused", "Region"]

Floats: TypeAlias = NDArray[np.float32]
Packed: TypeAlias = NDArray[np.uint32]
"""An upright picture, (height, width), each element the four bytes red, green, blue and 255."""


class Refused(Exception):
    """The clip cannot be analysed. ``code`` as in ``VideoRefused``."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Region:
    """A square of the picture: centre and side in pixels, rotation in radians clockwise."""

    x: float
    y: float
    side: float
    rotation: float


@dataclass(frozen=True, slots=True)
class Person:
    """What the landmark model saw in a region.

    ``xy`` (33, 2) pixels, ``confidence`` (33), ``world`` (33, 3) metres, ``presence`` of a person 0 to 1, ``next``
    the region to look in on the next frame.
    """

    xy: Floats
    confidence: Floats
    world: Floats
    presence: float
    next: Region

    @property
    def score(self) -> float:
        """How surely this is a person: presence times the mean confidence of shoulders to ankles."""
        return self.presence * float(self.confidence[11:29].mean())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the landmarks that can be seen, in pixels."""
        seen = self.xy[self.confidence >= 0.3] if (self.confidence >= 0.3).sum() >= 4 else self.xy
        low, high = seen.min(axis=0), seen.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
