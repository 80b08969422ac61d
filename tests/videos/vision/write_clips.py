"""Writes small clips with the decoder's own environment: ``python write_clips.py FOLDER [OPEN_CLIP]``.

Sound ones of a moving square, and what cameras, copies and attackers make of clips.
"""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

TICKS = 90_000


def draw(number: int, width: int, height: int) -> Any:
    """Return a picture with a bright square that moves, in front of a slope."""
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[...] = (np.arange(width) % 200)[None, :, None]
    left = (number * 7) % max(1, width - 24)
    picture[height // 3 : height // 3 + 24, left : left + 24] = (250, 240, 30)
    return picture


def write(
    path: Path,
    times_s: list[float],
    *,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    keys: int = 30,
    pictures: list[Any] | None = None,
    flags: str = "faststart",
) -> None:
    """Write a clip whose frames stand at these times."""
    with av.open(str(path), "w", options={"movflags": flags} if flags else {}) as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        stream.codec_context.time_base = stream.time_base = Fraction(1, TICKS)
        stream.codec_context.gop_size = keys
        if codec in ("libx264", "libx265"):
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
        for number, time in enumerate(times_s):
            drawn = pictures[number] if pictures else draw(number, *size)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sound(path: Path) -> None:
    """Write a clip of sound alone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_many(path: Path, count: int) -> None:
    """Write a clip of many frames by repeating one packet."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(draw(0, 32, 32), format="rgb24").reformat(format="yuvj420p")
        frame.pts = 0
        data = b"".join(bytes(one) for one in stream.encode(frame))
        for number in range(count):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 30)
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = True
            container.mux(packet)


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """Return the file with bytes of a box's content replaced."""
    start = data.index(box) + 4 + offset
    return data[:start] + value + data[start + len(value) :]


def excerpt(source: Path, path: Path, count: int, height: int) -> None:
    """Write the first frames of another clip, smaller."""
    pictures, times = [], []
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            width = round(frame.width * height / frame.height) // 2 * 2
            pictures.append(frame.reformat(width=width, height=height, format="rgb24").to_ndarray())
            times.append(float(frame.time or 0))
            if len(times) == count:
                break
    size = (pictures[0].shape[1], pictures[0].shape[0])
    write(path, times, size=size, pictures=pictures, keys=12)


def main() -> None:
    """Write all clips into the folder, or one excerpt of another clip."""
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        excerpt(Path(sys.argv[2]), folder / "person.mp4", 24, 640)
        return
    steady = [number / 30 for number in range(90)]
    write(folder / "sound.mp4", steady)
    sound = (folder / "sound.mp4").read_bytes()
    write(folder / "variable.mp4", [0.4, 0.5, 0.51, 0.7, 0.95, 1.0, 1.3, 1.31, 1.5, 2.0])
    write(folder / "negative.mkv", [number / 30 - 2 for number in range(20)], flags="")
    write(folder / "one.mp4", [0.0])
    write(folder / "four_k.mp4", [0.0, 0.1, 0.2], size=(3840, 2160))
    write(folder / "ten_bit.mov", steady[:6], codec="libx265", pixel_format="yuv420p10le")
    write_sound(folder / "only_sound.mp4")
    # A quarter turn of the display matrix, as a telephone held upright writes it.
    turn = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 96 << 16, 0, 1 << 30)
    (folder / "portrait.mp4").write_bytes(patched(sound, b"tkhd", 40, turn))
    (folder / "no_times.mp4").write_bytes(patched(sound, b"stts", 12, b"\0\0\0\0"))
    (folder / "claims_30_gb.mp4").write_bytes(patched(sound, b"stsz", 4, struct.pack(">II", 350_000_000, 90)))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", encoding="utf-8")
    (folder / "text.mp4").write_text("ffconcat version 1.0\nfile 'sound.mp4'\n" * 50, encoding="utf-8")
    (folder / "cut.mp4").write_bytes(sound[: len(sound) * 6 // 10])
    write(folder / "late_index.mp4", steady[:24], flags="")
    late = (folder / "late_index.mp4").read_bytes()
    (folder / "index_lost.mp4").write_bytes(late[: late.index(b"moov")])
    flipped = bytearray(late)
    for position in range(1000, late.index(b"moov") - 100, 397):
        flipped[position] ^= 0x5A
    (folder / "flipped.mp4").write_bytes(bytes(flipped))
    write_many(folder / "many.mkv", 100_000)


if __name__ == "__main__":
    main()
