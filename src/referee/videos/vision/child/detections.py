"""Raw output of the person detector → a few detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Floats

__all__ = ["Detection", "decode_detections", "make_anchors"]

SIDE = 224
STRIDES = (8, 16, 32, 32, 32)
PER_CELL = 2
MIN_SCORE = 0.5
MIN_OVERLAP = 0.3
MAX_DETECTIONS = 12


@dataclass(frozen=True, slots=True)
class Detection:
    """A person, in shares of the square looked at.

    ``keypoints`` (4, 2): mid-hip, a point that tells size and turn,
    and two of the upper body.
    """

    score: float
    box: Floats
    keypoints: Floats


def make_anchors() -> Floats:
    """Return the middles of the anchors, (2254, 2), x and y as shares, in the model's order."""
    parts, position = [], 0
    while position < len(STRIDES):
        stride = STRIDES[position]
        layers = STRIDES.count(stride)
        cells = SIDE // stride
        middles = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middles, middles, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), PER_CELL * layers, axis=0))
        position += layers
    return np.concatenate(parts).astype(np.float32)


def decode_detections(raw: Floats, logits: Floats, anchors: Floats) -> list[Detection]:
    """Return the people, best first: what overlaps is averaged, weighted by score.

    Args:
        raw: (n, 12): centre and size of the box, then four keypoints, in 1/224 from the anchor.
        logits: (n), of the score.
        anchors: (n, 2).
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    wanted = np.flatnonzero(scores >= MIN_SCORE)
    wanted = wanted[np.argsort(-scores[wanted], kind="stable")]
    values = raw[wanted] / SIDE
    values[:, :2] += anchors[wanted]
    points = values[:, 4:].reshape(-1, 4, 2) + anchors[wanted][:, None, :]
    boxes = np.concatenate([values[:, :2] - values[:, 2:4] / 2, values[:, :2] + values[:, 2:4] / 2], axis=1)
    left = np.arange(len(wanted))
    found: list[Detection] = []
    while len(left) and len(found) < MAX_DETECTIONS:
        is_same = _overlaps(boxes[left[0]], boxes[left]) > MIN_OVERLAP
        is_same[0] = True
        same = left[is_same]
        weights = scores[wanted[same]]
        weights = weights / weights.sum()
        found.append(
            Detection(
                score=float(scores[wanted[left[0]]]),
                box=(boxes[same] * weights[:, None]).sum(axis=0),
                keypoints=(points[same] * weights[:, None, None]).sum(axis=0),
            )
        )
        left = left[~is_same]
    return found


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of one box (left, top, right, bottom) with others (n, 4)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    union = area + areas - shared
    result: Floats = np.where(union > 0, shared / np.where(union > 0, union, 1), 0)
    return result
