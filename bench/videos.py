"""What looking at a clip costs: reading its packets, the quick pass, chunks of the deep pass on both cores."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import Settings, load_settings
from referee.videos.shapes import Capture, Discipline, Probe, Track
from referee.videos.vision import install_vision, plan_chunks, probe_video, track_quick
from referee.videos.vision.running import running_child

__all__ = ["measure_videos"]

CLIP_S = 120.0
CAPTURE = Capture(Discipline.bowling)
MIB = 1024 * 1024


def measure_videos(*, chunks: int) -> list[Measured]:
    """Analyse a two-minute clip of 1088 × 1920 pixels made from an open one."""
    with temporary_folder() as folder:
        settings = load_settings(home=folder / "home", tools_dir=tools_dir())
        return asyncio.run(_measure(folder, settings, chunks))


async def _measure(folder: Path, settings: Settings, chunks_count: int) -> list[Measured]:
    vision = await install_vision(settings)
    source = find_open_clip("pose2sim", "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4")
    clip = folder / "clip.mp4"
    script = Path(__file__).with_name("write_video.py")
    subprocess.run(
        [str(vision.python), str(script), str(source), str(clip), str(CLIP_S)], check=True, timeout=300
    )
    started = time.perf_counter()
    probe = await probe_video(clip, settings=settings)
    probe_s = time.perf_counter() - started
    started = time.perf_counter()
    quick = await track_quick(clip, probe, CAPTURE, work=folder, settings=settings)
    quick_s = time.perf_counter() - started
    deep = await _run_chunks(clip, probe, quick, folder, settings, chunks_count)
    samples = quick.decoded_count
    return [
        Measured(
            name=f"probe of {probe.frames_count} frames in {CLIP_S:g} s, wall",
            value=probe_s,
            unit="s",
            goal=5,
        ),
        Measured(
            name=f"quick pass, {samples} samples, processor time",
            value=quick.cpu_s,
            unit="s",
            goal=20,
            details={"wall_s": quick_s, "ms_per_sample": 1000 * quick.cpu_s / samples},
        ),
        *deep,
    ]


async def _run_chunks(
    clip: Path, probe: Probe, quick: Track, folder: Path, settings: Settings, count: int
) -> list[Measured]:
    chunks = plan_chunks(probe, quick, CAPTURE)[:count]

    async def run(index: int) -> tuple[float, int, int]:
        chunk = chunks[index]
        job: dict[str, Any] = {
            "start_s": chunk.start_s,
            "end_s": chunk.end_s,
            "guide": {"file": "quick.npz"},
            "has_ball": False,
        }
        async with running_child(
            "chunk",
            clip,
            job,
            work=folder,
            seconds=600,
            files={"quick.npz": quick.keypoints},
            settings=settings,
        ) as child:
            return child.cpu_s, child.values["decoded_count"], child.peak_memory_bytes or 0

    started = time.perf_counter()
    found: list[tuple[float, int, int]] = []
    for first in range(0, len(chunks), 2):
        found += await asyncio.gather(*(run(index) for index in range(first, min(first + 2, len(chunks)))))
    wall_s = time.perf_counter() - started
    cpu_s, frames = sum(one[0] for one in found), sum(one[1] for one in found)
    return [
        Measured(
            name=f"deep pass, heavy model, processor time a frame ({frames} frames in {len(found)} chunks)",
            value=1000 * cpu_s / frames,
            unit="ms",
            goal=45,
        ),
        Measured(
            name="deep pass on two workers, wall over processor time", value=wall_s / cpu_s, unit="", goal=0.6
        ),
        Measured(
            name="memory of a worker of the deep pass, most",
            value=max(one[2] for one in found) / MIB,
            unit="MiB",
            goal=300,
        ),
    ]
