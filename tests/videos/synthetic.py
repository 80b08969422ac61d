"""A camera that sees the same movement in every clip, slowly enough to be killed while it looks.

What it gives depends on the clip and the stretch only, as with real poses; decoding and measuring are other tests'.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.videos.recorded import PROBE, outcome_of

from referee.videos.computing import MEASURE
from referee.videos.dumping import dump
from referee.videos.room import OnProgress
from referee.videos.shapes import Capture, Chunk, PassKind, Probe, Track, VideoRefused

CHUNKS_COUNT = 6
LOOKS_COUNT = 5


class SyntheticVision:
    """See the module. ``look_s``: how long one of the looks of a pass or chunk takes."""

    def __init__(self, look_s: float = 0.02, *, broken: Sequence[int] = ()) -> None:
        self.look_s = look_s
        self.broken = set(broken)
        """Chunks that cannot be decoded."""
        self.lost: set[int] = set()
        """Chunks at which the worker goes away."""
        self.seen: list[str] = []
        """What was begun, in order."""

    async def probe(self, path: Path) -> Probe:
        """Return what the container says."""
        if (await asyncio.to_thread(path.read_bytes)).startswith(b"#EXTM3U"):
            raise VideoRefused("not_a_video", "The file is a playlist. Upload the clip itself.")
        return replace(PROBE, duration_s=40.0, frames_count=1200)

    async def track_quick(
        self, path: Path, probe: Probe, capture: Capture, *, work: Path, on_progress: OnProgress
    ) -> Track:
        """Look at the whole clip."""
        return await self._look("quick", path, None, on_progress)

    def plan_chunks(self, probe: Probe, quick: Track, capture: Capture) -> tuple[Chunk, ...]:
        """Cut it into equal stretches, with the action in the fourth."""
        length_s = probe.duration_s / CHUNKS_COUNT
        return tuple(
            Chunk(index, index * length_s, (index + 1) * length_s, 200, index == 3)
            for index in range(CHUNKS_COUNT)
        )

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
        """Look at one stretch."""
        if chunk.index in self.lost:
            raise asyncio.CancelledError
        if chunk.index in self.broken:
            self.seen.append(f"broken{chunk.index}")
            raise VideoRefused("crashed", "The decoder ended. Try again.")
        return await self._look(f"chunk{chunk.index}", path, chunk.index, on_progress)

    async def cut_pictures(
        self, path: Path, times_s: Sequence[float], keypoints: Sequence[bytes], *, work: Path
    ) -> tuple[bytes, ...]:
        """Return something for each instant."""
        return tuple(f"\0picture {t_s}".encode() for t_s in times_s)

    async def make_proxy(self, path: Path, probe: Probe, *, work: Path) -> Path:
        """Write something."""
        (work / "proxy.mp4").write_bytes(b"\0proxy of " + path.name.encode())
        return work / "proxy.mp4"

    async def list_people(
        self, path: Path, t_s: float, *, work: Path
    ) -> tuple[tuple[float, float, float, float], ...]:
        """Return one person."""
        return ((10.0, 20.0, 30.0, 40.0),)

    async def _look(self, name: str, path: Path, index: int | None, on_progress: OnProgress) -> Track:
        self.seen.append(name)
        for number in range(LOOKS_COUNT):
            await asyncio.sleep(self.look_s)
            await on_progress((number + 1) / LOOKS_COUNT)
        digest = hashlib.sha256(f"{path.name} {name}".encode()).hexdigest()
        return Track(
            PassKind.quick if index is None else PassKind.deep, index, f"\0{digest}".encode(), 200, 0, 190, 1, 0.1,
            {"model": "synthetic"},
        )  # fmt: skip


async def compute(what: str, folder: Path, request: dict[str, Any]) -> None:
    """Stand in for the child process: what comes out depends on the keypoints and inputs only."""
    if what != MEASURE:
        (folder / "report.pdf").write_bytes(b"\0pdf " + (folder / "outcome.json").read_bytes())
        return
    tracks = b"".join((folder / name).read_bytes() for name in request["tracks"])
    inputs = json.dumps([request["edited_events"], request["targets"], request["seed"]])
    value = int(hashlib.sha256(tracks + inputs.encode()).hexdigest()[:6], 16) / 1e6
    outcome = outcome_of(PassKind(request["kind"]), value=round(value, 3))
    (folder / "keypoints.npz").write_bytes(tracks)
    (folder / "overlay.json.gz").write_bytes(b"\0overlay" + tracks)
    dumped = {
        "measurement": dump(outcome.measurement),
        "findings": [dump(finding) for finding in outcome.findings],
        "report": dump(outcome.report),
    }
    (folder / "outcome.json").write_text(json.dumps(dumped))
