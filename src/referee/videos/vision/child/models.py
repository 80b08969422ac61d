"""The two models behind BlazePose: a detector that finds people, and landmarks of one person in a region.

Source:
    Bazarevsky et al. (2020), BlazePose: On-device real-time body pose tracking; numbers of the released models.
"""

from __future__ import annotations

from math import atan2, cos, hypot, pi, sin
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .detections import Detection, decode_detections, make_anchors
from .pictures import cut_region
from .shapes import Floats, Packed, Person, Region

__all__ = ["Detector", "Landmarker", "region_between"]

DETECTOR_SIDE = 224
LANDMARK_SIDE = 256
HEAT_SIDE = 64
POINTS = 39
"""33 landmarks, two that give the next region, four that nothing here uses."""
REGION_SCALE = 1.25
MIN_HEAT = 0.5
"""Below this maximum of its heat map a landmark is not refined."""


class _Model:
    """One interpreter with its single input, on one thread so that workers share the cores evenly."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = {
            int(np.prod(one["shape"])): int(one["index"]) for one in self._interpreter.get_output_details()
        }

    def run(self, values: Floats) -> None:
        self._interpreter.set_tensor(self._input, values[None])
        self._interpreter.invoke()

    def output(self, size: int) -> Floats:
        """Return the output that has so many elements, flat."""
        found: Floats = self._interpreter.get_tensor(self._outputs[size])
        return found.reshape(-1)


class Detector(_Model):
    """Finds people in a whole picture or in a part of it."""

    def __init__(self, models_dir: Path) -> None:
        super().__init__(models_dir / "pose_solution_packed_assets.data")
        self._anchors = make_anchors()

    def detect(self, picture: Packed, within: Region | None = None) -> list[tuple[float, Region]]:
        """Return (score, region) of people, best first.

        Args:
            picture: Upright picture.
            within: An upright square to look in; the whole picture without it.
        """
        height, width = picture.shape
        square = within or Region(width / 2, height / 2, float(max(width, height)), 0.0)
        values = cut_region(picture, square, DETECTOR_SIDE, has_black_border=True)
        self.run(values / 127.5 - 1.0)
        count = len(self._anchors)
        found = decode_detections(
            self.output(count * 12).reshape(count, 12), self.output(count), self._anchors
        )
        return [(one.score, _to_region(one, square)) for one in found]


class Landmarker(_Model):
    """Finds the landmarks of the person in a region."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def find(self, picture: Packed, region: Region) -> Person:
        """Return what is in the region; ``presence`` says whether it is a person."""
        self.run(cut_region(picture, region, LANDMARK_SIDE) / 255.0)
        points = self.output(POINTS * 5).reshape(POINTS, 5)
        heat = self.output(HEAT_SIDE * HEAT_SIDE * POINTS).reshape(HEAT_SIDE, HEAT_SIDE, POINTS)
        inside = refine(points[:, :2] / np.float32(LANDMARK_SIDE), heat) - 0.5
        cosine, sine = cos(region.rotation) * region.side, sin(region.rotation) * region.side
        xy = np.stack(
            [
                region.x + cosine * inside[:, 0] - sine * inside[:, 1],
                region.y + sine * inside[:, 0] + cosine * inside[:, 1],
            ],
            axis=1,
        ).astype(np.float32)
        confidence = _sigmoid(np.minimum(points[:33, 3], points[:33, 4]))
        return Person(
            xy=xy[:33],
            confidence=confidence,
            world=_rotate_world(self.output(POINTS * 3).reshape(POINTS, 3)[:33], region.rotation),
            presence=float(self.output(1)[0]),
            next=region_between(xy[33], xy[34]),
        )


def refine(points: Floats, heat: Floats) -> Floats:
    """Return points (n, 2), shares of the region, moved to the middle of their heat (side, side, n) nearby."""
    side, _, count = heat.shape
    offsets = np.arange(-3, 4)
    columns = (points[:, 0] * side).astype(np.int32)[:, None] + offsets
    rows = (points[:, 1] * side).astype(np.int32)[:, None] + offsets
    is_in = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    values = heat[
        np.clip(rows, 0, side - 1)[:, :, None],
        np.clip(columns, 0, side - 1)[:, None, :],
        np.arange(count)[:, None, None],
    ]
    weights = np.where(is_in, _sigmoid(values), 0).astype(np.float32)
    total = weights.sum(axis=(1, 2))
    is_refined = (weights.max(axis=(1, 2)) >= MIN_HEAT) & (total > 0)
    safe = np.where(is_refined, total, 1)
    x = (weights * columns[:, None, :]).sum(axis=(1, 2)) / safe / side
    y = (weights * rows[:, :, None]).sum(axis=(1, 2)) / safe / side
    refined: Floats = np.where(is_refined[:, None], np.stack([x, y], axis=1), points).astype(np.float32)
    return refined


def region_between(centre: Floats, above: Floats) -> Region:
    """Return the square around ``centre`` that reaches past ``above``, turned so that it points up."""
    across, down = float(above[0] - centre[0]), float(above[1] - centre[1])
    rotation = pi / 2 - atan2(-down, across)
    rotation -= 2 * pi * np.floor((rotation + pi) / (2 * pi))
    return Region(
        float(centre[0]), float(centre[1]), max(4.0, 2 * REGION_SCALE * hypot(across, down)), float(rotation)
    )


def _to_region(detection: Detection, square: Region) -> Region:
    corner = np.array([square.x - square.side / 2, square.y - square.side / 2], dtype=np.float32)
    centre, above = (corner + square.side * point for point in detection.keypoints[:2])
    return region_between(centre, above)


def _rotate_world(world: Floats, rotation: float) -> Floats:
    turned = world.copy()
    turned[:, 0] = cos(rotation) * world[:, 0] - sin(rotation) * world[:, 1]
    turned[:, 1] = sin(rotation) * world[:, 0] + cos(rotation) * world[:, 1]
    return turned


def _sigmoid(values: Floats) -> Floats:
    result: Floats = (1 / (1 + np.exp(-np.clip(values, -60, 60)))).astype(np.float32)
    return result
