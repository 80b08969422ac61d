"""Pictures for people: a frame with the skeleton drawn on it, as JPEG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .decoding import Clip, Picture
from .shapes import Floats

__all__ = ["draw_pictures", "encode_jpeg"]

MAX_SIDE_PX = 1280
MIN_CONFIDENCE = 0.3
LEFT, RIGHT, MIDDLE = (255, 150, 30), (20, 170, 255), (245, 245, 245)
"""Colours of the athlete's left, right and middle; they differ in brightness too."""
LIMBS = (
    (11, 12), (23, 24), (11, 23), (12, 24), (11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26),
    (26, 28), (27, 29), (29, 31), (27, 31), (28, 30), (30, 32), (28, 32), (15, 19), (16, 20), (0, 7), (0, 8),
)  # fmt: skip

Colours = NDArray[np.uint8]


def draw_pictures(clip: Clip, times_s: list[float], keypoints: list[Path], out: Path) -> list[str]:
    """Write ``picture-<n>.jpg`` for each time and return the names; a time that cannot be decoded gives ''."""
    stored = _load(keypoints)
    names = [""] * len(times_s)
    for index in sorted(range(len(times_s)), key=lambda one: times_s[one]):
        picture = _nearest(clip, times_s[index])
        if picture is None:
            continue
        colours = picture.pixels.copy().view(np.uint8).reshape(*picture.pixels.shape, 4)[..., :3].copy()
        row = _find_row(stored, picture.t_s, clip.median_step_s)
        if row is not None:
            _draw_skeleton(colours, stored["xy"][row] / picture.scale, stored["confidence"][row])
        names[index] = f"picture-{index}.jpg"
        (out / names[index]).write_bytes(encode_jpeg(colours))
    return names


def _nearest(clip: Clip, t_s: float) -> Picture | None:
    """Return the frame nearest to a time."""
    best: Picture | None = None
    wanted = min(max(0.0, t_s), clip.times_s[-1])
    for picture in clip.pictures(wanted - 2 * clip.median_step_s, max_side_px=MAX_SIDE_PX):
        if best is None or abs(picture.t_s - wanted) < abs(best.t_s - wanted):
            best = picture
        if picture.t_s >= wanted:
            break
    return best


def _load(paths: list[Path]) -> dict[str, NDArray[np.float64]]:
    parts = []
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            parts.append({name: stored[name] for name in ("t_s", "xy", "confidence", "presence")})
    if not parts:
        return {
            "t_s": np.zeros(0),
            "xy": np.zeros((0, 33, 2)),
            "confidence": np.zeros((0, 33)),
            "presence": np.zeros(0),
        }
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _find_row(stored: dict[str, NDArray[np.float64]], t_s: float, step_s: float) -> int | None:
    if not len(stored["t_s"]):
        return None
    row = int(np.abs(stored["t_s"] - t_s).argmin())
    is_same = abs(float(stored["t_s"][row]) - t_s) <= max(step_s, 1e-3) * 0.75
    return row if is_same and stored["presence"][row] > 0 else None


def _draw_skeleton(colours: Colours, xy: NDArray[np.float64], confidence: NDArray[np.float64]) -> None:
    height = (
        float(np.ptp(xy[confidence >= MIN_CONFIDENCE][:, 1])) if (confidence >= MIN_CONFIDENCE).any() else 0.0
    )
    width = float(np.clip(height / 110, 1.2, 5.0))
    for first, second in LIMBS:
        if min(confidence[first], confidence[second]) >= MIN_CONFIDENCE:
            _draw_line(colours, xy[first], xy[second], width + 1.2, (15, 15, 15))
    for first, second in LIMBS:
        if min(confidence[first], confidence[second]) >= MIN_CONFIDENCE:
            side = MIDDLE if (first + second) % 2 and first != 0 else LEFT if second % 2 else RIGHT
            _draw_line(colours, xy[first], xy[second], width, side)


def _draw_line(
    colours: Colours, start: Floats | NDArray[np.float64], end: Floats | NDArray[np.float64], radius: float,
    colour: tuple[int, int, int],
) -> None:  # fmt: skip
    low = np.floor(np.minimum(start, end) - radius - 1).astype(int)
    high = np.ceil(np.maximum(start, end) + radius + 2).astype(int)
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(colours.shape[1], int(high[0])), min(colours.shape[0], int(high[1]))
    if right <= left or bottom <= top:
        return
    x, y = np.arange(left, right)[None, :] - start[0], np.arange(top, bottom)[:, None] - start[1]
    across, down = float(end[0] - start[0]), float(end[1] - start[1])
    along = np.clip((x * across + y * down) / max(1e-9, across * across + down * down), 0, 1)
    distance = np.hypot(x - along * across, y - along * down)
    share = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    part = colours[top:bottom, left:right]
    part[...] = np.rint(part * (1 - share) + np.array(colour) * share).astype(np.uint8)


def encode_jpeg(colours: Colours) -> bytes:
    """Return the picture (height, width, 3) as JPEG."""
    height, width = colours.shape[0] // 2 * 2, colours.shape[1] // 2 * 2
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height = width, height
    context.pix_fmt = "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "3", "qmax": "3"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colours[:height, :width]), format="rgb24")
    frame = frame.reformat(format="yuvj420p", threads=1)
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
