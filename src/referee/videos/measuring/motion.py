"""Keypoints of a pass → a motion that can be measured: swaps and outliers mended, gaps kept, evenly sampled, smooth.

All times inside are seconds of the real movement; ``Motion.to_clip`` turns them into the clip's presentation time,
which is slower when the camera recorded slow motion.

Source:
    Winter (2009), Biomechanics and Motor Control of Human Movement, for filters and segment masses.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from referee.videos.shapes import Capture, Handedness, Probe

__all__ = ["Array", "Motion", "Rows", "load_rows", "prepare_motion", "smooth_motion"]

Array: TypeAlias = NDArray[np.float64]

MIN_CONFIDENCE: Final = 0.5
MAX_GAP_S: Final = 0.12
"""Longer gaps stay missing: a limb can turn around within them."""
CUTOFF_HZ: Final = 6.0
FAST_CUTOFF_HZ: Final = 10.0
"""For instants and wrists, which move faster."""
HAMPEL_WINDOW: Final = 7
HAMPEL_LIMIT: Final = 3.0
TRUNK_SHARE: Final = 0.288
"""Length of the trunk over the height of the body."""
MAX_TRUNKS_A_SECOND: Final = 30.0
"""About 15 m/s: faster is another body."""
ROLLING_CHANGE_SHARE: Final = 0.15
"""A size that changes more than this over the clip means zoom or approach, and is followed."""
_LEGS: Final = (np.array([23, 25, 27, 29, 31]), np.array([11, 13, 15]))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of all tracks in order of time.

    ``frame`` (n), ``t_s`` (n), ``xy`` (n, 33, 2), ``confidence`` (n, 33), ``world`` (n, 33, 3), ``is_found`` (n).
    """

    frame: NDArray[np.int64]
    t_s: Array
    xy: Array
    confidence: Array
    world: Array
    is_found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Motion:
    """An evenly sampled movement of n instants.

    ``xy``, ``fast`` (n, 33, 2) pixels, filtered at 6 and 10 Hz; ``world`` (n, 33, 3) metres; NaN where missing.
    ``scale_px`` (n): trunk length. ``noise_px`` (33) and ``world_noise`` (33): what filtering took away.
    ``front`` and ``rear`` are "left" or "right" by handedness.
    """

    t_s: Array
    frame: NDArray[np.int64]
    raw: Array
    xy: Array
    fast: Array
    raw_world: Array
    world: Array
    confidence: Array
    scale_px: Array
    fps: float
    noise_px: Array
    world_noise: Array
    detection_share: float
    coverage_share: float
    slow_motion: float
    is_right_handed: bool

    @property
    def height_px(self) -> Array:
        """Height of the body at each instant, pixels."""
        return self.scale_px / TRUNK_SHARE

    def point(self, name: str, *, is_fast: bool = False) -> Array:
        """Return a point's path (n, 2): a landmark without side, with ``front_``, ``rear_`` or ``mid_`` before it.

        Front is the side opposite to the hand that bowls or is lower on the handle.
        """
        source = self.fast if is_fast else self.xy
        side, _, joint = name.partition("_")
        left = JOINTS[joint]
        if side == "mid":
            return np.asarray((source[:, left] + source[:, left + 1]) / 2)
        is_left = (side == "front") == self.is_right_handed
        return source[:, left if is_left else left + 1]

    def to_clip(self, t_s: float) -> float:
        """Return the clip's presentation time of a real time, seconds."""
        return t_s * self.slow_motion

    def from_clip(self, t_s: float) -> float:
        """Return the real time of a presentation time, seconds."""
        return t_s / self.slow_motion

    def cut(self, start_s: float, end_s: float) -> Motion:
        """Return the part between two real times."""
        low = int(np.searchsorted(self.t_s, start_s - 1e-9))
        high = max(low + 2, int(np.searchsorted(self.t_s, end_s + 1e-9)))
        part = slice(low, high)
        names = ("t_s", "frame", "raw", "xy", "fast", "raw_world", "world", "confidence", "scale_px")
        return replace(self, **{name: getattr(self, name)[part] for name in names})


JOINTS: Final = {
    "shoulder": 11,
    "elbow": 13,
    "wrist": 15,
    "hip": 23,
    "knee": 25,
    "ankle": 27,
    "heel": 29,
    "toe": 31,
}
"""Landmark of the left side; the right one is the next."""


def load_rows(tracks: Sequence[bytes]) -> Rows:
    """Return the rows of all tracks, in order of time, each instant once."""
    parts = []
    for one in tracks:
        with np.load(io.BytesIO(one), allow_pickle=False) as stored:
            parts.append({name: stored[name] for name in stored.files if name != "ball"})
    if not parts:
        return Rows(
            np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 33, 2)), np.zeros((0, 33)), np.zeros((0, 33, 3)),
            np.zeros(0, np.bool_),
        )  # fmt: skip
    names = ("frame", "t_s", "xy", "confidence", "world", "presence")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    _, order = np.unique(joined["t_s"], return_index=True)
    return Rows(
        frame=joined["frame"][order].astype(np.int64),
        t_s=joined["t_s"][order].astype(np.float64),
        xy=joined["xy"][order].astype(np.float64),
        confidence=joined["confidence"][order].astype(np.float64),
        world=joined["world"][order].astype(np.float64),
        is_found=joined["presence"][order] > 0,
    )


def find_slow_motion(probe: Probe, capture: Capture) -> float:
    """Return how many times slower the clip plays than the movement was."""
    if capture.capture_fps is None or probe.median_fps <= 0:
        return 1.0
    return max(1.0, capture.capture_fps / probe.median_fps)


def prepare_motion(rows: Rows, probe: Probe, capture: Capture) -> Motion | None:
    """Return the motion of the athlete, None when too little of them was seen to sample anything."""
    if rows.is_found.sum() < 4:
        return None
    slow = find_slow_motion(probe, capture)
    found = np.flatnonzero(rows.is_found)
    t_s = rows.t_s / slow
    xy = np.where((rows.confidence >= MIN_CONFIDENCE)[..., None], rows.xy, np.nan)
    xy[~rows.is_found] = np.nan
    trunk = _trunk_lengths(xy)
    if not np.isfinite(trunk).sum() >= 4:
        return None
    size = float(np.nanmedian(trunk))
    xy[_find_strangers(t_s, xy, size)] = np.nan
    world = np.where(np.isfinite(xy[:, :, :1]), rows.world, np.nan)
    xy, world = _mend_swaps(xy, world, size)
    xy = _mend_outliers(xy)
    step = float(np.median(np.diff(t_s)))
    grid = np.arange(t_s[found[0]], t_s[found[-1]] + step / 2, step)
    raw = _resample(t_s, xy, grid)
    raw_world = _resample(t_s, world, grid)
    confidence = np.stack([np.interp(grid, t_s, rows.confidence[:, one]) for one in range(33)], axis=1)
    nearest = np.clip(np.searchsorted(t_s, grid - step / 2), 0, len(t_s) - 1)
    motion = Motion(
        t_s=grid, frame=rows.frame[nearest], raw=raw, xy=raw, fast=raw, raw_world=raw_world, world=raw_world,
        confidence=confidence, scale_px=_follow_scale(grid, _trunk_lengths(raw), size), fps=1 / step,
        noise_px=np.zeros(33), world_noise=np.zeros(33), detection_share=float(rows.is_found.mean()),
        coverage_share=float(np.isfinite(raw[:, 11:29, 0]).mean()), slow_motion=slow,
        is_right_handed=capture.handedness is Handedness.right,
    )  # fmt: skip
    smooth = smooth_motion(motion)
    return replace(
        smooth,
        noise_px=_measure_noise(smooth.raw, smooth.xy),
        world_noise=_measure_noise(smooth.raw_world, smooth.world),
    )


def smooth_motion(motion: Motion) -> Motion:
    """Return the motion with ``xy``, ``fast`` and ``world`` filtered anew from the raw positions."""
    return replace(
        motion,
        xy=_filter(motion.raw, motion.fps, CUTOFF_HZ),
        fast=_filter(motion.raw, motion.fps, FAST_CUTOFF_HZ),
        world=_filter(motion.raw_world, motion.fps, CUTOFF_HZ),
    )


def _trunk_lengths(xy: Array) -> Array:
    return np.asarray(
        np.linalg.norm((xy[:, 11] + xy[:, 12]) / 2 - (xy[:, 23] + xy[:, 24]) / 2, axis=1), dtype=np.float64
    )


def _follow_scale(t_s: Array, trunk: Array, size: float) -> Array:
    """Return the trunk length at each instant: one for all, or a rolling median over a second on zoom or approach."""
    if len(t_s) < 10 or not np.isfinite(trunk).sum() >= 10:
        return np.full(len(t_s), size)
    window = max(3, round(1.0 / float(np.median(np.diff(t_s)))) | 1)
    padded = np.pad(trunk, window // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)
    with np.errstate(all="ignore"):
        rolling = np.nanmedian(
            np.where(np.isfinite(windows).sum(axis=1, keepdims=True) > 0, windows, size), axis=1
        )
    spread = float(np.percentile(rolling, 95) - np.percentile(rolling, 5))
    return (
        rolling if spread > ROLLING_CHANGE_SHARE * size and len(t_s) > 2 * window else np.full(len(t_s), size)
    )


def _find_strangers(t_s: Array, xy: Array, size: float) -> NDArray[np.bool_]:
    """Return which rows belong to another body: beyond a leap that nobody can make, on its shorter side."""
    hips = (xy[:, 23] + xy[:, 24]) / 2
    known = np.flatnonzero(np.isfinite(hips[:, 0]))
    is_strange = np.zeros(len(xy), dtype=np.bool_)
    if len(known) < 2:
        return is_strange
    away = np.linalg.norm(np.diff(hips[known], axis=0), axis=1)
    leaps = np.flatnonzero((away > size) & (away > MAX_TRUNKS_A_SECOND * size * np.diff(t_s[known])))
    parts = np.split(known, leaps + 1)
    longest = max(parts, key=len)
    for part in parts:
        # A few rows aside are a slip of the model, mended like other outliers.
        if part is not longest and len(part) > HAMPEL_WINDOW // 2:
            is_strange[part] = True
    return is_strange


def _mend_swaps(xy: Array, world: Array, size: float) -> tuple[Array, Array]:
    """Return the positions with left and right exchanged where only that continues the path.

    Legs and arms apart. An exchange has to save a third of the way and a tenth of the trunk: legs that pass each other
    are none.
    """
    xy, world = xy.copy(), world.copy()
    for left in _LEGS:
        right = left + 1
        last = xy[0]
        for row in range(1, len(xy)):
            now = xy[row]
            pairs = [(now[left] - last[left]), (now[right] - last[right])]
            crossed = [(now[right] - last[left]), (now[left] - last[right])]
            kept = _total(pairs)
            swapped = _total(crossed)
            if (
                kept is not None
                and swapped is not None
                and swapped < 0.67 * kept
                and kept - swapped > 0.1 * size
            ):
                everything = np.concatenate([left, right])
                exchanged = np.concatenate([right, left])
                xy[row, everything] = xy[row, exchanged]
                world[row, everything] = world[row, exchanged]
            last = np.where(np.isfinite(xy[row]), xy[row], last)
    return xy, world


def _total(steps: list[Array]) -> float | None:
    lengths = np.linalg.norm(np.concatenate(steps), axis=1)
    return float(np.nanmean(lengths)) if np.isfinite(lengths).sum() >= 4 else None


def _mend_outliers(xy: Array) -> Array:
    """Return positions in which what stands 3 MAD off the median of its 7 neighbours is that median."""
    if len(xy) < HAMPEL_WINDOW:
        return xy
    padded = np.pad(xy, ((HAMPEL_WINDOW // 2, HAMPEL_WINDOW // 2), (0, 0), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, HAMPEL_WINDOW, axis=0)
    with np.errstate(all="ignore"):
        ordered = np.where(np.isnan(windows), xy[..., None], windows)
        middle = np.median(ordered, axis=-1)
        spread = 1.4826 * np.median(np.abs(ordered - middle[..., None]), axis=-1)
        # A steady limb has no spread at all; a pixel is never an outlier.
        is_off = np.abs(xy - middle) > np.maximum(HAMPEL_LIMIT * spread, 1.0)
        # On a fast path the median of the neighbours lags; only jumps back and forth are outliers.
        before, after = np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0)
        is_spike = (xy - before) * (after - xy) < 0
    is_off[[0, -1]] = False
    return np.where(is_off & is_spike, middle, xy)


def _resample(t_s: Array, values: Array, grid: Array) -> Array:
    """Return values (n, …) at the grid's times, linear between samples, NaN in gaps longer than allowed."""
    flat = values.reshape(len(values), -1)
    result = np.full((len(grid), flat.shape[1]), np.nan)
    step = float(np.median(np.diff(t_s)))
    for column in range(flat.shape[1]):
        is_known = np.isfinite(flat[:, column])
        known = t_s[is_known]
        if len(known) < 2:
            continue
        after = np.clip(np.searchsorted(known, grid), 1, len(known) - 1)
        gap = known[after] - known[after - 1]
        is_near = (gap <= max(MAX_GAP_S, 1.5 * step)) & (grid >= known[0] - step) & (grid <= known[-1] + step)
        result[:, column] = np.where(is_near, np.interp(grid, known, flat[is_known, column]), np.nan)
    return result.reshape(len(grid), *values.shape[1:])


def _filter(values: Array, fps: float, cutoff_hz: float) -> Array:
    """Return values through a zero-phase Butterworth of order 4 in all, stretch by stretch without gaps."""
    cutoff = min(cutoff_hz / 0.802, 0.45 * fps)
    sections = butter(2, cutoff, fs=fps, output="sos")
    flat = values.reshape(len(values), -1)
    result = flat.copy()
    is_whole = np.isfinite(flat).all(axis=0)
    if is_whole.any() and len(flat) > 12:
        result[:, is_whole] = sosfiltfilt(sections, flat[:, is_whole], axis=0)
    for column in np.flatnonzero(~is_whole):
        for start, end in _stretches(np.isfinite(flat[:, column])):
            if end - start > 12:
                result[start:end, column] = sosfiltfilt(sections, flat[start:end, column])
    return result.reshape(values.shape)


def _stretches(is_known: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_known.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _measure_noise(raw: Array, smooth: Array) -> Array:
    """Return the spread of what the filter took away, per landmark, robust against true fast movement."""
    rest = np.abs(np.diff(raw - smooth, axis=0)) / np.sqrt(2)
    noise = np.zeros(33)
    for landmark in range(33):
        known = rest[:, landmark][np.isfinite(rest[:, landmark])]
        noise[landmark] = 1.4826 * np.median(known) if len(known) else 0.0
    return noise
