"""A copy of the clip that every browser plays: H.264, at most 720 lines, upright, presentation times kept, no sound."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .decoding import Clip
from .shapes import Refused

__all__ = ["write_proxy"]

LONG_SIDE_PX = 1280
TICKS = 90_000
"""Of a second, in the copy's time base."""


def write_proxy(clip: Clip, out: Path, on_progress: Callable[[float], None]) -> int:
    """Write the copy to ``out`` and return how many frames it has.

    Raises:
        Refused: Nothing of the clip can be decoded.
    """
    count, total = 0, len(clip.times_s)
    with av.open(str(out), mode="w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        last = -1
        for picture in clip.pictures(max_side_px=LONG_SIDE_PX):
            colours = np.ascontiguousarray(picture.pixels).view(np.uint8).reshape(*picture.pixels.shape, 4)
            if stream is None:
                stream = _add_stream(container, colours.shape[1] // 2 * 2, colours.shape[0] // 2 * 2)
            colours = colours[: stream.height, : stream.width]
            if colours.shape[:2] != (stream.height, stream.width):
                continue
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colours), format="rgba")
            frame = frame.reformat(format="yuv420p", threads=1)
            frame.pts = last = max(last + 1, round(picture.t_s * TICKS))
            frame.time_base = Fraction(1, TICKS)
            container.mux(stream.encode(frame))
            count += 1
            on_progress(min(1.0, count / total))
        if stream is None:
            raise Refused(
                "cut", "No picture of the clip can be decoded. Export or copy it again and upload that."
            )
        container.mux(stream.encode(None))
    return count


def _add_stream(container: Any, width: int, height: int) -> Any:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
    stream.codec_context.thread_count = 1
    stream.codec_context.gop_size = 30
    stream.options = {"preset": "veryfast", "profile": "main", "crf": "24", "bf": "0"}
    return stream
