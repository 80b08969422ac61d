"""Angles and the centre of mass, from paths of landmarks."""

from __future__ import annotations

import numpy as np

from referee.videos.measuring.motion import Array, Motion

__all__ = ["centre_of_mass", "compute_lag_s", "included_angles", "turn_about_trunk"]

SEGMENTS = (
    (0.081, (7, 8), (7, 8), 0.0),
    (0.497, (11, 12), (23, 24), 0.5),
    (0.028, (11,), (13,), 0.436), (0.028, (12,), (14,), 0.436),
    (0.022, (13,), (15,), 0.682), (0.022, (14,), (16,), 0.682),
    (0.1, (23,), (25,), 0.433), (0.1, (24,), (26,), 0.433),
    (0.061, (25,), (27,), 0.606), (0.061, (26,), (28,), 0.606),
)  # fmt: skip
"""Share of the body's mass, landmarks of the two ends, where the segment's centre lies from the first end.

Source: Winter (2009), table 4.1; forearm with hand, shank with foot.
"""


def included_angles(first: Array, middle: Array, last: Array) -> Array:
    """Return the angle at ``middle`` of three paths (n, 2 or 3), 0 to 180 degrees; a straight limb has 180."""
    one, two = first - middle, last - middle
    with np.errstate(all="ignore"):
        cosine = (one * two).sum(axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), dtype=np.float64)


def centre_of_mass(motion: Motion) -> Array:
    """Return the path (n, 2) of the body's centre of mass as the picture shows it, pixels."""
    total = np.zeros((len(motion.t_s), 2))
    for share, start, end, where in SEGMENTS:
        first = motion.xy[:, list(start)].mean(axis=1)
        last = motion.xy[:, list(end)].mean(axis=1)
        total += share * (first + where * (last - first))
    return total / sum(segment[0] for segment in SEGMENTS)


def turn_about_trunk(world: Array, left: int) -> Array:
    """Return the turn (n) of the line between a pair of landmarks about the trunk, degrees, without jumps.

    Measured in the plane normal to the trunk from the direction of the camera's depth. Only its change in time means
    something: from one camera the absolute angle is off by tens of degrees.
    """
    trunk = (world[:, 11] + world[:, 12]) / 2 - (world[:, 23] + world[:, 24]) / 2
    with np.errstate(all="ignore"):
        axis = trunk / np.linalg.norm(trunk, axis=1, keepdims=True)
        depth = np.array([0.0, 0.0, 1.0]) - axis * axis[:, 2:3]
        depth /= np.linalg.norm(depth, axis=1, keepdims=True)
    side = np.cross(axis, depth)
    line = world[:, left] - world[:, left + 1]
    turn = np.arctan2((line * side).sum(axis=1), (line * depth).sum(axis=1))
    is_known = np.isfinite(turn)
    turn[is_known] = np.unwrap(turn[is_known])
    return np.asarray(np.degrees(turn), dtype=np.float64)


def compute_lag_s(first: Array, second: Array, step_s: float, max_lag_s: float) -> tuple[float, float]:
    """Return by how much ``second`` comes after ``first`` where they are most alike, and how alike they are then.

    Both are series of the same length without gaps. Likeness is the correlation, -1 to 1; the lag is refined by a
    parabola through it.
    """
    most = min(round(max_lag_s / step_s), len(first) // 2)
    lags = np.arange(-most, most + 1)
    likeness = np.array([_correlate(first, second, int(lag)) for lag in lags])
    best = int(np.argmax(likeness))
    lag = float(lags[best])
    if 0 < best < len(lags) - 1:
        before, here, after = likeness[best - 1 : best + 2]
        bend = before - 2 * here + after
        lag += float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
    return lag * step_s, float(likeness[best])


def _correlate(first: Array, second: Array, lag: int) -> float:
    one = first[max(0, -lag) : len(first) - max(0, lag)]
    two = second[max(0, lag) : len(second) - max(0, -lag)]
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum()) / size if size > 0 else 0.0
