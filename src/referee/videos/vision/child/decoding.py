"""Opening a clip under an allow-list, the true times of its frames, and upright pictures one at a time.

A frame's number is its place in order of presentation, by the packets' times; its time is seconds from the first
frame. Nothing is computed from a rate unless the clip has no usable times, and then it is said.
"""

from __future__ import annotations

import contextlib
import errno
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .shapes import Packed, Refused

__all__ = ["Clip", "Picture", "open_clip"]

MAX_SIDE_PX = 1920
"""Pictures are reduced to this before a model looks: it sees squares of 256 pixels, and 4K costs four times."""
FALLBACK_FPS = 30.0
ODD_RATE_FPS = (1.0, 1000.0)
"""Rates beyond these are no rates of pictures: the clip's times are wrong."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded frame: ``pixels`` upright, ``scale`` original pixels per pixel."""

    frame: int
    t_s: float
    is_corrupt: bool
    pixels: Packed
    scale: float


@dataclass(frozen=True, slots=True)
class Packets:
    """What the packets of the picture stream say, without decoding.

    ``ticks`` are the presentation times of all frames in order, in units of the time base; empty when the clip has
    none worth the name. ``is_key`` belongs to them.
    """

    count: int
    ticks: tuple[int, ...]
    is_key: tuple[bool, ...]
    last_duration: int
    size_bytes: int


class Clip:
    """An open clip. Close it with ``contextlib.closing`` or let the process end."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        self.container = container
        self.stream = stream
        self.path = path
        self.time_base = float(stream.time_base or Fraction(1, 90_000))
        self.problems: list[str] = []
        self.decode_errors_count = 0
        self.packets = _read_packets(container, stream)
        if not self.packets.count:
            raise Refused("cut", "The clip holds no pictures. Export or copy it again and upload that.")
        self._choose_times()

    def _choose_times(self) -> None:
        """Take the packets' times, or numbers over a rate when there are none."""
        ticks = self.packets.ticks
        rate = float(self.stream.average_rate or 0)
        low, high = ODD_RATE_FPS
        step = float(np.median(np.diff(ticks))) * self.time_base if len(ticks) > 1 else 1 / low
        has_all = len(ticks) == self.packets.count and len(set(ticks)) >= 0.9 * len(ticks)
        self.has_times = has_all and 1 / high <= step <= 1 / low
        if self.has_times:
            self.times_s = tuple((one - ticks[0]) * self.time_base for one in ticks)
            return
        fps = rate if low <= rate <= high else FALLBACK_FPS
        self.times_s = tuple(number / fps for number in range(self.packets.count))
        self.problems.append(
            f"The clip carries no usable times; {fps:g} frames a second were assumed. Set the capture rate yourself."
        )

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    @property
    def key_times_s(self) -> tuple[float, ...]:
        """Times of the key frames, the first frame always among them."""
        if not self.has_times:
            return (0.0,)
        found = [time for time, is_key in zip(self.times_s, self.packets.is_key, strict=True) if is_key]
        return (0.0, *(time for time in found if time > 0))

    @property
    def median_step_s(self) -> float:
        """Median time from one frame to the next, seconds; 0 for a single frame."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0

    def frames(
        self, start_s: float = 0.0, end_s: float = float("inf"), *, keys: frozenset[float] | None = None
    ) -> Iterator[tuple[int, float, VideoFrame]]:
        """Yield (number, t_s, frame) with start <= t < end, in order; what cannot be decoded is left out.

        ``keys``: decode only the key frames of these times, which need no other.
        """
        half = self.median_step_s / 2 or 1e-3
        if not self._seek(start_s):
            start_s = max(start_s, 0.0)
        number, last = -1, -1.0
        with contextlib.suppress(_Ended):
            for frame in self._decode(keys):
                number, t_s = self._place(frame, number + 1)
                if t_s <= last:
                    continue
                if t_s >= end_s - min(half, 1e-4):
                    return
                last = t_s
                if t_s >= start_s - min(half, 1e-4):
                    yield number, t_s, frame

    def pictures(
        self,
        start_s: float = 0.0,
        end_s: float = float("inf"),
        *,
        keys: frozenset[float] | None = None,
        every: int = 1,
        max_side_px: int = MAX_SIDE_PX,
    ) -> Iterator[Picture]:
        """Yield upright pictures with square pixels; ``every`` takes frames whose number it divides."""
        for number, t_s, frame in self.frames(start_s, end_s, keys=keys):
            if number % every:
                continue
            try:
                pixels, scale = to_upright(frame, self.pixel_aspect, max_side_px)
            except (FFmpegError, ValueError):
                self.decode_errors_count += 1
                continue
            yield Picture(number, t_s, bool(frame.is_corrupt), pixels, scale)

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        ratio = float(self.stream.sample_aspect_ratio or 1)
        return ratio if 0.2 <= ratio <= 5 else 1.0

    def _seek(self, start_s: float) -> bool:
        """Go to the last key frame at or before the time; to the beginning where that cannot be done."""
        self.container.close()
        self.container, self.stream = _open(self.path)
        if start_s <= 0 or not self.has_times:
            return False
        keys = [tick for tick, is_key in zip(self.packets.ticks, self.packets.is_key, strict=True) if is_key]
        wanted = self.packets.ticks[0] + round(start_s / self.time_base)
        before = [tick for tick in keys if tick <= wanted]
        if not before:
            return False
        try:
            self.container.seek(before[-1], stream=self.stream, backward=True, any_frame=False)
            first = next((one for one in self.container.demux(self.stream) if one.pts is not None), None)
            landed = first is not None and first.pts is not None and first.pts <= wanted
            self.container.close()
            self.container, self.stream = _open(self.path)
            if landed:
                self.container.seek(before[-1], stream=self.stream, backward=True, any_frame=False)
        except FFmpegError:
            self.container.close()
            self.container, self.stream = _open(self.path)
            return False
        return landed

    def _decode(self, keys: frozenset[float] | None) -> Iterator[VideoFrame]:
        context = self.stream.codec_context
        if keys is not None:
            context.skip_frame = "NONKEY"
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                self.decode_errors_count += 1
                raise _Ended from error
            if keys is not None and packet.pts is not None and self._time_of(packet.pts) not in keys:
                continue
            try:
                yield from (frame for frame in packet.decode() if isinstance(frame, VideoFrame))
            except FFmpegError:
                self.decode_errors_count += 1

    def _place(self, frame: VideoFrame, expected: int) -> tuple[int, float]:
        """Return a frame's number and time."""
        if not self.has_times:
            number = min(expected, len(self.times_s) - 1)
            return number, self.times_s[number]
        tick = frame.pts if frame.pts is not None else frame.dts
        if tick is None:
            number = min(expected, len(self.times_s) - 1)
            return number, self.times_s[number]
        ticks = self.packets.ticks
        number = min(bisect_left(ticks, tick), len(ticks) - 1)
        return number, self._time_of(tick)

    def _time_of(self, tick: int) -> float:
        return (tick - self.packets.ticks[0]) * self.time_base


class _Ended(Exception):
    """The file ends in the middle; what came before stays."""


def open_clip(path: Path) -> Clip:
    """Open a clip and read its packets.

    Raises:
        Refused: It is not a clip that is read here.
    """
    if path.stat().st_size == 0:
        raise Refused("empty", "The file is empty. Upload the clip again.")
    container, stream = _open(path)
    return Clip(container, stream, path)


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", mode="r", container_options=options, metadata_errors="replace")
    except FFmpegError as error:
        if error.errno == errno.ENOMEM:
            raise Refused(
                "out_of_memory",
                "Reading the clip needs more memory than a pass may use. Export the clip at 4K or below.",
            ) from error
        raise Refused(
            "not_a_video",
            "The file is not a clip that can be opened, or its index is missing. "
            "Export it as MP4, MOV, WebM, MKV or AVI and upload that.",
        ) from error
    if not container.streams.video:
        container.close()
        raise Refused(
            "no_video_stream", "The file has no pictures, only sound or data. Upload the clip itself."
        )
    stream = max(container.streams.video, key=lambda one: (one.width or 0) * (one.height or 0))
    name = stream.codec_context.name if stream.codec_context else "unknown"
    if name not in CODECS:
        container.close()
        raise Refused(
            "unsupported_format",
            f"Pictures coded as {name} are not read here. Export the clip as H.264 or HEVC.",
        )
    context: Any = stream.codec_context
    context.thread_count = 1
    context.thread_type = "SLICE"
    return container, stream


def _read_packets(container: InputContainer, stream: VideoStream) -> Packets:
    entries: list[tuple[int, bool]] = []
    count, size, duration = 0, 0, 0
    with contextlib.suppress(FFmpegError):
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            count += 1
            size += packet.size
            duration = packet.duration or duration
            tick = packet.pts if packet.pts is not None else packet.dts
            if tick is not None:
                entries.append((tick, bool(packet.is_keyframe)))
            if count > MAX_PACKETS:
                raise Refused(
                    "too_long", f"The clip has more than {MAX_PACKETS} pictures. Cut it to the delivery."
                )
    entries.sort(key=lambda entry: entry[0])
    return Packets(
        count=count,
        ticks=tuple(tick for tick, _ in entries),
        is_key=tuple(is_key for _, is_key in entries),
        last_duration=duration,
        size_bytes=size,
    )


def to_upright(frame: VideoFrame, pixel_aspect: float, max_side_px: int) -> tuple[Packed, float]:
    """Return the picture turned upright, with square pixels, its long side at most ``max_side_px``; and its scale."""
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    scale = max(1.0, max(width, height) / max_side_px)
    # One thread: with more, the scaler's threads give other pixels now and then.
    colours = frame.reformat(
        width=max(2, round(width / scale)), height=max(2, round(height / scale)), format="rgba", threads=1
    ).to_ndarray()
    packed: Packed = np.ascontiguousarray(colours).view(np.uint32)[..., 0]
    turned: Packed = np.rot90(packed, frame.rotation // 90 % 4)
    return turned, scale


CONTAINERS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts")
"""Demultiplexers that may open a clip: none of them opens a second file or an address."""
CODECS = ("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "prores")
"""Decoders that may see a clip's packets."""
MAX_PACKETS = 240_000
