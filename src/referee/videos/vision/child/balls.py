"""Spots on a picture that may be a ball: red, white or pink, about round, of a ball's size.

Each picture is looked at by itself, so that chunks give the same however the clip was cut; which spots are the ball
is decided from all of them together (``measuring/balls``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .shapes import Floats, Packed

__all__ = ["BALL_COLOURS", "SPOTS_COUNT", "find_balls"]

BALL_COLOURS = ("red", "pink", "white")
PER_COLOUR = {"red": 10, "pink": 6, "white": 12}
"""White is the colour of much else, so more of it is kept."""
SPOTS_COUNT = sum(PER_COLOUR.values())
MIN_RADIUS_PX = 1.5
MAX_RADIUS_PX = 50.0
USUAL_RADIUS_PX = (3.0, 25.0)
"""A ball's, on a picture 1280 pixels long; what is smaller or larger is taken after what is not."""
USUAL_SIDE_PX = 1280.0
MIN_FILL = 0.65
"""Area over that of the ellipse with the same second moments: 1 for a disc, a streak of it too."""
MIN_ROUNDNESS = 0.2
"""Short over long axis: a ball that moves leaves a streak."""
MAX_RUNS = 60_000
"""A picture with more pieces of a colour than this shows no ball in it."""

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def find_balls(picture: Packed) -> Floats:
    """Return (SPOTS_COUNT, 6): x, y, radius in pixels, roundness, number of the colour, score; score 0: no spot."""
    height, width = picture.shape
    channels = np.ascontiguousarray(picture).view(np.uint8).reshape(height, width, 4)
    red, green, blue = (np.ascontiguousarray(channels[..., one]) for one in range(3))
    scale = max(height, width) / USUAL_SIDE_PX
    found = [
        _choose(_measure(mask), number, name, max(1.0, scale))
        for number, (name, mask) in enumerate(zip(BALL_COLOURS, _segment(red, green, blue), strict=True))
    ]
    return np.concatenate(found).astype(np.float32)


def _segment(red: Bytes, green: Bytes, blue: Bytes) -> tuple[Mask, Mask, Mask]:
    """Return the pixels of each colour.

    Hue is compared as differences of channels, so it has no edge at 0: where red is the largest channel,
    the hue is 60 (green − blue) / spread, on both sides of 0.
    """
    largest = np.maximum(np.maximum(red, green), blue)
    spread = largest - np.minimum(np.minimum(red, green), blue)
    fifth = largest // np.uint8(5)
    is_red, is_pink = np.zeros(red.shape, dtype=np.bool_), np.zeros(red.shape, dtype=np.bool_)
    # Only few pixels of a picture are reddish at all: the finer questions are put to them alone.
    reddish = np.flatnonzero((largest == red) & (spread > fifth) & (largest >= 40))
    most, span = (one.ravel()[reddish].astype(np.int16) for one in (largest, spread))
    lean = green.ravel()[reddish].astype(np.int16) - blue.ravel()[reddish]
    # Saturation of 0.4 and more, hue within 20 degrees of red.
    is_red.ravel()[reddish] = (5 * span >= 2 * most) & (3 * np.abs(lean) <= span)
    # Hue 300 to 350 degrees, lighter than red.
    is_pink.ravel()[reddish] = (6 * -lean >= span) & (most - span >= 50) & (most >= 110)
    # As white as the picture's lightest, so that evening light does not hide it.
    light = max(90, int(0.8 * np.percentile(largest[::8, ::8], 99.5)))
    return is_red, is_pink, (largest >= light) & (spread <= fifth)


def _measure(mask: Mask) -> Floats:
    """Return (n, 5) for the connected pieces: x, y, short and long half axis, area in pixels."""
    height, width = mask.shape
    row = width + 1
    padded = np.zeros((height, row), dtype=np.bool_)
    padded[:, :width] = mask
    flat = padded.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # Every row ends with a False; a True at the very start has no edge of its own.
    edges = np.concatenate([[0], edges]) if flat[0] else edges
    starts, ends = edges[::2], edges[1::2]
    if not len(starts) or len(starts) > MAX_RUNS:
        return np.zeros((0, 5), dtype=np.float32)
    labels = _join(starts, ends, row)
    _, group = np.unique(labels, return_inverse=True)
    length = (ends - starts).astype(np.float64)
    y, x = np.divmod(starts, row)
    middle = x + (length - 1) / 2
    area = np.bincount(group, length)
    mean_x = np.bincount(group, length * middle) / area
    mean_y = np.bincount(group, length * y) / area
    off_x, off_y = middle - mean_x[group], y - mean_y[group]
    # A run of n pixels has the second moment (n² − 1) / 12 about its middle; a pixel has an extent of its own.
    xx = np.bincount(group, length * (off_x**2 + (length**2 - 1) / 12)) / area + 1 / 12
    yy = np.bincount(group, length * off_y**2) / area + 1 / 12
    xy = np.bincount(group, length * off_x * off_y) / area
    half, root = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    short, long = 2 * np.sqrt(np.maximum(half - root, 0)), 2 * np.sqrt(half + root)
    return np.stack([mean_x, mean_y, short, long, area], axis=1).astype(np.float32)


def _join(starts: Integers, ends: Integers, row: int) -> Integers:
    """Return a label for each run of pixels: runs that touch in rows one above the other share it."""
    low = np.searchsorted(ends, starts + row - 1, side="right")
    high = np.searchsorted(starts, ends + row, side="right")
    counts = np.maximum(0, high - low)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    labels = np.arange(len(starts))
    while len(upper):
        least = np.minimum(labels[upper], labels[lower])
        before = labels.copy()
        np.minimum.at(labels, upper, least)
        np.minimum.at(labels, lower, least)
        labels = labels[labels]
        if np.array_equal(labels, before):
            break
    return labels


def _choose(pieces: Floats, number: int, name: str, scale: float) -> Floats:
    """Return the pieces that are most like a ball, the best first, padded with rows of zeros."""
    chosen = np.zeros((PER_COLOUR[name], 6), dtype=np.float32)
    x, y, short, long, area = pieces.T
    roundness = short / np.maximum(long, 1e-6)
    fill = area / np.maximum(np.pi * short * long, 1e-6)
    usable = np.flatnonzero(
        (short >= MIN_RADIUS_PX)
        & (short <= MAX_RADIUS_PX * scale)
        & (fill >= MIN_FILL)
        & (roundness >= MIN_ROUNDNESS)
    )
    least, most = (one * scale for one in USUAL_RADIUS_PX)
    size = np.minimum(np.minimum(short / least, most / np.maximum(short, 1e-6)), 1)
    score = 0.7 * np.minimum(1, fill) * np.sqrt(roundness) + 0.3 * size
    usable = usable[np.argsort(-score[usable], kind="stable")][: len(chosen)]
    chosen[: len(usable)] = np.stack(
        [x[usable], y[usable], short[usable], roundness[usable], np.full(len(usable), number), score[usable]],
        axis=1,
    )
    return chosen
