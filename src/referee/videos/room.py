"""What the videos room needs of its process, and what it asks of whoever looks at pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.videos import vision
from referee.videos.computing import compute
from referee.videos.shapes import Capture, Chunk, Probe, Track

__all__ = ["Compute", "GetRoom", "InstalledVision", "OnProgress", "VideosRoom", "Vision"]

OnProgress: TypeAlias = Callable[[float], Awaitable[None]]
"""Told the share that is done, 0 to 1."""
Compute: TypeAlias = Callable[[str, Path, dict[str, Any]], Awaitable[None]]
"""As ``computing.compute``: what to do, in which folder, with which request."""


class Vision(Protocol):
    """Reads clips and estimates poses, each call in a child process with limits. Raises ``VideoRefused``."""

    async def probe(self, path: Path) -> Probe:
        """Return what the container says."""
        ...

    async def track_quick(
        self, path: Path, probe: Probe, capture: Capture, *, work: Path, on_progress: OnProgress
    ) -> Track:
        """Estimate about 150 poses over the whole clip."""
        ...

    def plan_chunks(self, probe: Probe, quick: Track, capture: Capture) -> tuple[Chunk, ...]:
        """Cut the clip into stretches that are analysed by themselves."""
        ...

    async def track_chunk(
        self,
        path: Path,
        probe: Probe,
        chunk: Chunk,
        quick: Track,
        capture: Capture,
        *,
        work: Path,
        on_progress: OnProgress,
    ) -> Track:
        """Estimate the pose on every frame of a chunk."""
        ...

    async def cut_pictures(
        self, path: Path, times_s: Sequence[float], keypoints: Sequence[bytes], *, work: Path
    ) -> tuple[bytes, ...]:
        """Return JPEG pictures of instants with the skeleton drawn."""
        ...

    async def make_proxy(self, path: Path, probe: Probe, *, work: Path) -> Path:
        """Write the clip in a form that every browser plays."""
        ...

    async def list_people(
        self, path: Path, t_s: float, *, work: Path
    ) -> tuple[tuple[float, float, float, float], ...]:
        """Return the boxes (x, y, width, height in pixels) of the people at an instant."""
        ...


@dataclass(frozen=True, slots=True)
class InstalledVision:
    """The room's own, loaded when first asked: most processes never look at a picture."""

    settings: Settings

    async def probe(self, path: Path) -> Probe:
        """Return what the container says."""
        return await vision.probe_video(path, settings=self.settings)

    async def track_quick(
        self, path: Path, probe: Probe, capture: Capture, *, work: Path, on_progress: OnProgress
    ) -> Track:
        """Estimate about 150 poses over the whole clip."""
        return await vision.track_quick(
            path, probe, capture, work=work, on_progress=on_progress, settings=self.settings
        )

    def plan_chunks(self, probe: Probe, quick: Track, capture: Capture) -> tuple[Chunk, ...]:
        """Cut the clip into stretches that are analysed by themselves."""
        return vision.plan_chunks(probe, quick, capture)

    async def track_chunk(
        self,
        path: Path,
        probe: Probe,
        chunk: Chunk,
        quick: Track,
        capture: Capture,
        *,
        work: Path,
        on_progress: OnProgress,
    ) -> Track:
        """Estimate the pose on every frame of a chunk."""
        return await vision.track_chunk(
            path, probe, chunk, quick, capture, work=work, on_progress=on_progress, settings=self.settings
        )

    async def cut_pictures(
        self, path: Path, times_s: Sequence[float], keypoints: Sequence[bytes], *, work: Path
    ) -> tuple[bytes, ...]:
        """Return JPEG pictures of instants with the skeleton drawn."""
        return await vision.cut_pictures(
            path, tuple(times_s), tuple(keypoints), work=work, settings=self.settings
        )

    async def make_proxy(self, path: Path, probe: Probe, *, work: Path) -> Path:
        """Write the clip in a form that every browser plays."""
        return await vision.make_proxy(path, probe, work=work, settings=self.settings)

    async def list_people(
        self, path: Path, t_s: float, *, work: Path
    ) -> tuple[tuple[float, float, float, float], ...]:
        """Return the boxes (x, y, width, height in pixels) of the people at an instant."""
        people = await vision.list_people(path, t_s, work=work, settings=self.settings)
        return tuple((one.x_px, one.y_px, one.width_px, one.height_px) for one in people)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideosRoom:
    """Settings, rows, bytes, who looks at pictures and who computes."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    vision: Vision
    compute: Compute = compute


GetRoom: TypeAlias = Callable[[], VideosRoom]
