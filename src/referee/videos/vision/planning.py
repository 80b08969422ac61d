"""How a clip is divided for the deep pass, and which parts hold the action."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from referee.videos.shapes import Capture, Chunk, Probe, Track

__all__ = ["MIN_CHUNK_FRAMES", "plan_chunks"]

MIN_CHUNK_FRAMES = 240
"""Smaller chunks would decode and load more than they compute."""
ACTION_S = 1.5
"""An action lasts about this long around its peak: from the last stride to the follow-through."""
ACTION_SHARE = 0.34
"""At most this share of the chunks goes first."""
MIN_PEAK = 1.5
"""Trunk lengths a second of wrist or hip movement below which nothing is an action."""


def plan_chunks(probe: Probe, quick: Track, capture: Capture) -> tuple[Chunk, ...]:
    """Return the chunks in order of time, from key frame to key frame, together the whole clip.

    Each has at least 240 frames, except a clip's only one. ``frames_count`` is exact for the clip as a whole and, at
    a variable rate, near for each chunk.
    """
    del capture
    keys = [time for time in probe.key_frame_times_s if 0 < time < probe.duration_s]
    per_second = probe.frames_count / probe.duration_s if probe.duration_s > 0 else 0.0
    cuts, start = [0.0], 0.0
    for time in keys:
        if (time - start) * per_second >= MIN_CHUNK_FRAMES - 0.5:
            cuts.append(time)
            start = time
    if len(cuts) > 1 and (probe.duration_s - cuts[-1]) * per_second < MIN_CHUNK_FRAMES - 0.5:
        cuts.pop()
    ends = [*cuts[1:], probe.duration_s]
    counted = [round(time * per_second) for time in ends[:-1]]
    counts = np.diff([0, *counted, probe.frames_count])
    actions = _find_actions(quick, [*zip(cuts, ends, strict=True)])
    return tuple(
        Chunk(index, start, end, int(count), index in actions)
        for index, (start, end, count) in enumerate(zip(cuts, ends, counts, strict=True))
    )


def _find_actions(quick: Track, spans: list[tuple[float, float]]) -> set[int]:
    """Return the chunks that hold the strongest movement of the quick pass."""
    with np.load(io.BytesIO(quick.keypoints), allow_pickle=False) as stored:
        t_s, xy, is_found = stored["t_s"], stored["xy"].astype(np.float64), stored["presence"] > 0
    times, speeds = _compute_speeds(t_s[is_found], xy[is_found])
    most = max(1, round(ACTION_SHARE * len(spans)))
    found: set[int] = set()
    for index in np.argsort(-speeds, kind="stable"):
        if speeds[index] < MIN_PEAK or len(found) >= most:
            break
        low, high = times[index] - ACTION_S / 2, times[index] + ACTION_S / 2
        found |= {number for number, (start, end) in enumerate(spans) if start < high and end > low}
    return found


def _compute_speeds(
    t_s: NDArray[np.float64], xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times between samples and how fast wrists and hips moved there, trunk lengths a second."""
    if len(t_s) < 2:
        return np.zeros(0), np.zeros(0)
    hips, shoulders = xy[:, 23:25].mean(axis=1), xy[:, 11:13].mean(axis=1)
    trunk = max(1.0, float(np.median(np.linalg.norm(shoulders - hips, axis=1))))
    wrists = xy[:, 15:17] - hips[:, None]
    steps = np.maximum(np.diff(t_s), 1e-3)
    moved = np.linalg.norm(np.diff(wrists, axis=0), axis=2).max(axis=1)
    moved = moved + np.linalg.norm(np.diff(hips, axis=0), axis=1)
    return (t_s[1:] + t_s[:-1]) / 2, moved / trunk / steps
