"""How large a clip may be, and what the child process that reads it may use."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "VideoLimits"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLimits:
    """What a clip may be. Beyond a limit it is refused before more than one picture is decoded."""

    size_bytes: int = 4096 * MIB
    duration_s: float = 3600.0
    frames_count: int = 240_000
    pixels_count: int = 8192 * 4352
    """Of one picture."""
    probe_wall_s: float = 120.0
    """For reading all packets of a clip, on a quiet machine."""
    memory_bytes: int = 2048 * MIB
    """Address space of a child process. A pass at 1080p takes about 300 MB of memory."""


DEFAULT_LIMITS = VideoLimits()
