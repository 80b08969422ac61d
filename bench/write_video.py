"""Writes the clip that ``bench videos`` measures: ``python write_video.py SOURCE TARGET SECONDS``.

Runs in the decoder's own environment. The first 90 frames of the source are coded once as H.264 at 30 a second with a
key frame a second, as telephones do, and their packets repeated.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import av

FPS = 30
FRAMES = 90


def main() -> None:
    """Write the clip."""
    source, target, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with av.open(source) as read, av.open(target, "w") as written:
        stream: Any = written.add_stream("libx264", rate=FPS)
        packets: list[tuple[bytes, int, int, bool]] = []
        for number, frame in enumerate(read.decode(video=0)):
            if number == FRAMES:
                break
            if number == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.gop_size = FPS
                stream.options = {"preset": "veryfast", "bf": "0"}
                stream.time_base = stream.codec_context.time_base = Fraction(1, FPS)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += [(bytes(one), one.pts, one.dts, one.is_keyframe) for one in stream.encode(frame)]
        packets += [(bytes(one), one.pts, one.dts, one.is_keyframe) for one in stream.encode(None)]
        for turn in range(round(seconds * FPS / FRAMES)):
            for data, pts, dts, is_key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, FPS)
                packet.pts, packet.dts = pts + turn * FRAMES, dts + turn * FRAMES
                packet.is_keyframe = is_key
                written.mux(packet)


if __name__ == "__main__":
    main()
