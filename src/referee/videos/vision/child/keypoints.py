"""The rows a pass writes: ``referee.video.keypoints/1``, the same bytes for the same values."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from math import atan2, pi
from pathlib import Path
from typing import Any

import numpy as np

from .balls import SPOTS_COUNT
from .decoding import Picture
from .shapes import Floats, Person, Region

__all__ = ["Guide", "Rows", "region_of"]

MAX_GAP_S = 1.5
"""Between samples further apart than this nothing is interpolated."""


@dataclass(slots=True)
class Rows:
    """Keypoints in the making, one row a frame, positions in original pixels."""

    frame: list[int] = field(default_factory=list)
    t_s: list[float] = field(default_factory=list)
    xy: list[Floats] = field(default_factory=list)
    confidence: list[Floats] = field(default_factory=list)
    world: list[Floats] = field(default_factory=list)
    presence: list[float] = field(default_factory=list)
    is_corrupt: list[bool] = field(default_factory=list)
    ball: list[Floats] | None = None
    """Spots that may be a ball, positions in original pixels; None: not looked for."""

    def add(self, picture: Picture, person: Person | None, spots: Floats | None = None) -> None:
        """Add a frame, with the person seen on it or nobody, and the spots that may be a ball."""
        nobody = np.zeros((33, 3), dtype=np.float32)
        self.frame.append(picture.frame)
        self.t_s.append(picture.t_s)
        self.xy.append(person.xy * np.float32(picture.scale) if person else nobody[:, :2])
        self.confidence.append(person.confidence if person else nobody[:, 0])
        self.world.append(person.world if person else nobody)
        self.presence.append(person.presence if person else 0.0)
        self.is_corrupt.append(picture.is_corrupt)
        if self.ball is not None and spots is not None:
            scales = np.array([picture.scale] * 3 + [1, 1, 1], dtype=np.float32)
            self.ball.append(spots * scales)

    @property
    def detected_count(self) -> int:
        """Frames on which somebody was found."""
        return sum(one > 0 for one in self.presence)

    def pack(self) -> bytes:
        """Return the npz of all rows."""
        count = len(self.frame)
        buffer = io.BytesIO()
        spots: dict[str, Any] = {}
        if self.ball is not None:
            spots["ball"] = np.array(self.ball, dtype=np.float32).reshape(count, SPOTS_COUNT, 6)
        np.savez(
            buffer,
            **spots,
            frame=np.array(self.frame, dtype=np.int32),
            t_s=np.array(self.t_s, dtype=np.float64),
            xy=np.array(self.xy, dtype=np.float32).reshape(count, 33, 2),
            confidence=np.array(self.confidence, dtype=np.float32).reshape(count, 33),
            world=np.array(self.world, dtype=np.float32).reshape(count, 33, 3),
            presence=np.array(self.presence, dtype=np.float32),
            is_corrupt=np.array(self.is_corrupt, dtype=np.bool_),
        )
        return buffer.getvalue()


class Guide:
    """Where the athlete is by the stored quick pass, at any time."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            is_found = stored["presence"] > 0
            self.t_s = stored["t_s"][is_found]
            self._regions = [
                region_of(xy, confidence)
                for xy, confidence in zip(stored["xy"][is_found], stored["confidence"][is_found], strict=True)
            ]

    def region_at(self, t_s: float, scale: float) -> Region | None:
        """Return the region to look in at a time, in pixels of pictures reduced by ``scale``, None when unknown."""
        if not len(self.t_s):
            return None
        after = int(np.searchsorted(self.t_s, t_s))
        before = max(0, after - 1)
        after = min(after, len(self.t_s) - 1)
        nearest = before if abs(self.t_s[before] - t_s) <= abs(self.t_s[after] - t_s) else after
        if abs(self.t_s[nearest] - t_s) > MAX_GAP_S:
            return None
        first, second = self._regions[before], self._regions[after]
        gap = float(self.t_s[after] - self.t_s[before])
        share = float(np.clip((t_s - self.t_s[before]) / gap, 0, 1)) if gap > 0 else 0.0
        return Region(
            (first.x + share * (second.x - first.x)) / scale,
            (first.y + share * (second.y - first.y)) / scale,
            (first.side + share * (second.side - first.side)) / scale,
            self._regions[nearest].rotation,
        )

    def has_sample_at(self, t_s: float, within_s: float) -> bool:
        """Return whether the quick pass looked at this very frame and saw the athlete."""
        return bool(len(self.t_s)) and float(np.abs(self.t_s - t_s).min()) <= within_s


def region_of(xy: Floats, confidence: Floats) -> Region:
    """Return a region around known landmarks (33, 2): centre at the mid-hip, upright along the trunk."""
    hips, shoulders = xy[23:25].mean(axis=0), xy[11:13].mean(axis=0)
    seen = xy[confidence >= 0.3] if (confidence >= 0.3).sum() >= 8 else xy
    radius = float(np.sqrt(((seen - hips) ** 2).sum(axis=1)).max())
    across, down = float(shoulders[0] - hips[0]), float(shoulders[1] - hips[1])
    rotation = pi / 2 - atan2(-down, across)
    return Region(float(hips[0]), float(hips[1]), max(8.0, 2.5 * radius), (rotation + pi) % (2 * pi) - pi)
