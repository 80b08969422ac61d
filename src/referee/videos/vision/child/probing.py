"""What a clip is, from its packets and its first picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .decoding import open_clip
from .shapes import Refused

__all__ = ["probe"]

VARIABLE_SHARE = 0.25
"""A step further than this share from the median one is not a frame of a constant rate."""
MAX_ODD_STEPS_SHARE = 0.02


def probe(path: Path, limits: dict[str, float]) -> dict[str, Any]:
    """Return the fields of ``Probe``.

    Raises:
        Refused: The clip cannot be analysed.
    """
    clip = open_clip(path)
    context = clip.stream.codec_context
    width, height = context.width, context.height
    if width * height > limits["pixels_count"]:
        raise Refused(
            "too_large", f"Pictures of {width} × {height} are too large. Export the clip at 4K or below."
        )
    duration = clip.times_s[-1] + (
        clip.has_times * clip.packets.last_duration * clip.time_base or clip.median_step_s
    )
    if len(clip.times_s) > limits["frames_count"] or duration > limits["duration_s"]:
        raise Refused(
            "too_long",
            f"The clip lasts {duration:.0f} s in {len(clip.times_s)} pictures. Cut it to the delivery.",
        )
    first = next(clip.frames(), None)
    if first is None:
        raise Refused(
            "cut", "No picture of the clip can be decoded. Export or copy it again and upload that."
        )
    frame = first[2]
    width, height = max(1, round(frame.width * clip.pixel_aspect)), frame.height
    rotation = frame.rotation % 360
    if rotation % 180:
        width, height = height, width
    return {
        "duration_s": duration,
        "frames_count": len(clip.times_s),
        "width_px": width,
        "height_px": height,
        "rotation_degrees": rotation,
        "codec": clip.stream.codec_context.name,
        "pixel_format": frame.format.name,
        "container": clip.container.format.name,
        "median_fps": 1 / clip.median_step_s if clip.median_step_s else 0.0,
        "is_variable_rate": _is_variable(clip.times_s),
        "has_audio": bool(clip.container.streams.audio),
        "key_frame_times_s": clip.key_times_s,
        "size_bytes": path.stat().st_size,
        "problems": [*clip.problems, *_find_problems(clip)],
    }


def _is_variable(times_s: tuple[float, ...]) -> bool:
    steps = np.diff(times_s)
    if not len(steps):
        return False
    median = float(np.median(steps))
    odd = np.abs(steps - median) > VARIABLE_SHARE * median
    return bool(odd.mean() > MAX_ODD_STEPS_SHARE)


def _find_problems(clip: Any) -> list[str]:
    problems = []
    claimed = clip.stream.frames
    if claimed and claimed > clip.packets.count:
        problems.append(
            f"The clip is cut: it says {claimed} pictures and holds {clip.packets.count}. What is there is analysed."
        )
    if clip.packets.count == 1:
        problems.append("The clip is a single picture; nothing that moves can be measured.")
    if clip.has_times and clip.median_step_s and 1 / clip.median_step_s < 25:
        problems.append("Fewer than 25 frames a second: instants and timing cannot be measured.")
    return problems
