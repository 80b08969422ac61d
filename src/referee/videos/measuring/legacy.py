"""The five scores of the earlier system, under their old names, to compare with old data; never used for findings.

Computed as they were, at ten samples a second in shares of the picture, with their known faults: head movement per
sample over a shoulder width that shrinks side-on; balance in shares of the picture's width, so that zoom changes it;
angles in a space where x and y have different units; the least angle of both knees over the whole clip; an elbow score
that rises with the drop. Only one thing differs: without data a score is None, where it was 0.5 (timing: 0).
"""

from __future__ import annotations

import numpy as np

from referee.videos.measuring.angles import included_angles
from referee.videos.measuring.motion import Array, Rows
from referee.videos.shapes import Probe

__all__ = ["compute_legacy_scores"]

SAMPLE_FPS = 10.0
MIN_VISIBILITY = 0.5


def compute_legacy_scores(rows: Rows, probe: Probe) -> dict[str, float | None]:
    """Return the scores, 0 to 1, and the timing in seconds; None where there is no data."""
    t_s, points = _sample(rows, probe)
    return {
        "head_stability_score": _score(1 - _head_steps(points) / 0.3),
        "balance_drift_score": _score(
            1 - _mean(np.abs(_middle(points, 23)[:, 0] - _middle(points, 27)[:, 0])) / 0.2
        ),
        "front_knee_brace_score": _score((_least_knee(points) - 80) / 100),
        "hip_shoulder_separation_timing": _timing(t_s, points),
        "elbow_drop_score": _score(
            (_mean(_middle(points, 13)[:, 1] - _middle(points, 11)[:, 1]) - 0.05) / 0.25
        ),
    }


def _sample(rows: Rows, probe: Probe) -> tuple[Array, Array]:
    """Return every n-th row as the old worker took them, positions as shares of the picture, NaN below visibility."""
    step = max(1, int(probe.median_fps / SAMPLE_FPS))
    chosen = np.flatnonzero(rows.is_found & (rows.frame % step == 0))
    if len(chosen) < 2:
        chosen = np.flatnonzero(rows.is_found)
    size = np.array([max(1, probe.width_px), max(1, probe.height_px)])
    points = np.where((rows.confidence[chosen] >= MIN_VISIBILITY)[..., None], rows.xy[chosen] / size, np.nan)
    return rows.t_s[chosen], points


def _middle(points: Array, left: int) -> Array:
    return np.asarray((points[:, left] + points[:, left + 1]) / 2)


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _head_steps(points: Array) -> float:
    steps = np.linalg.norm(np.diff(points[:, 0], axis=0), axis=1)
    widths = np.maximum(0.1, np.linalg.norm(points[1:, 11] - points[1:, 12], axis=1))
    return _mean(steps / widths)


def _least_knee(points: Array) -> float:
    both = np.concatenate(
        [included_angles(points[:, 23 + side], points[:, 25 + side], points[:, 27 + side]) for side in (0, 1)]
    )
    known = both[np.isfinite(both)]
    return float(known.min()) if len(known) else float("nan")


def _timing(t_s: Array, points: Array) -> float | None:
    peaks = []
    for left in (23, 11):
        line = points[:, left + 1] - points[:, left]
        angle = np.arctan2(line[:, 1], line[:, 0])
        with np.errstate(all="ignore"):
            speed = np.abs(np.diff(angle) / np.diff(t_s))
        if not np.isfinite(speed).any():
            return None
        peaks.append(float(t_s[1:][np.nanargmax(speed)]))
    return peaks[1] - peaks[0]


def _score(value: float) -> float | None:
    return float(np.clip(value, 0, 1)) if np.isfinite(value) else None
