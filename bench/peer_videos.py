"""Frames a second of the deep pass beside Sports2D 0.3 on the same open clip, in one run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from bench.environments import install_peer
from bench.measuring import Measured, temporary_folder, tools_dir
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import Settings, load_settings
from referee.videos.measuring import measure
from referee.videos.shapes import Capture, Discipline, PassKind
from referee.videos.vision import install_vision, plan_chunks, probe_video, track_chunk, track_quick

__all__ = ["measure_peer_videos"]

CLIP: Final = ("pose2sim", "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4")
CAPTURE: Final = Capture(Discipline.fielding)
WORKERS: Final = 2
GOAL: Final = 3.0
CONFIG: Final = """
[project]
video_dir = {folder}
video_files = 'clip.mp4'
result_dir = {results}
[pose]
pose_algo = 'BLAZEPOSE'
[pose.BLAZEPOSE]
model_complexity = 2
[pose.OPENPOSE]
openpose_model = 'BODY_25'
openpose_path = ''
[compute_angles]
joint_angles = ['Right knee', 'Left knee', 'Right elbow', 'Left elbow']
segment_angles = ['Trunk']
[pose_advanced]
overwrite_pose = false
save_vid = {is_drawing}
save_img = {is_drawing}
interp_gap_smaller_than = 5
filter = false
show_plots = false
filter_type = 'butterworth'
[pose_advanced.butterworth]
order = 4
cut_off_frequency = 6
[pose_advanced.gaussian]
sigma_kernel = 1
[pose_advanced.loess]
nb_values_used = 5
[pose_advanced.median]
kernel_size = 3
[compute_angles_advanced]
show_angles_on_img = {is_drawing}
show_angles_on_vid = {is_drawing}
filter = false
show_plots = false
filter_type = 'butterworth'
[compute_angles_advanced.butterworth]
order = 4
cut_off_frequency = 6
[compute_angles_advanced.gaussian]
sigma_kernel = 1
[compute_angles_advanced.loess]
nb_values_used = 5
[compute_angles_advanced.median]
kernel_size = 3
"""
"""Its heavy model and five angles; it draws pictures and clips unless it is told not to."""


def measure_peer_videos(*, seconds: float) -> list[Measured]:
    """Analyse a clip of so many seconds at 30 frames a second with both, one after the other.

    Ours is everything up to metrics: quick pass, every frame with the heavy model in chunks on two workers, measuring;
    with the start of each process. Sports2D's is its pose detection and its angles, without its start.
    """
    python = install_peer("sports2d-0.3")
    with temporary_folder() as folder:
        settings = load_settings(home=folder / "home", tools_dir=tools_dir())
        ours = asyncio.run(_run_ours(folder, settings, seconds))
        weights = asyncio.run(install_vision(settings)).models_dir / "pose_landmark_heavy.tflite"
        least = _run_sports2d(python, weights, folder, is_drawing=False)
        usual = _run_sports2d(python, weights, folder, is_drawing=True)
    frames = ours["frames"]
    fps = frames / ours["wall_s"]
    return [
        Measured(
            name=f"quick and deep pass with metrics of {frames:g} frames, two workers",
            value=fps,
            unit="frames/s",
            details={
                "wall_s": ours["wall_s"],
                "quick_s": ours["quick_s"],
                "ms_cpu_a_frame": 1000 * ours["cpu_s"] / frames,
            },
        ),
        *_compare("poses and angles only", least, frames, fps),
        *_compare("with the pictures and clips that it draws by default", usual, frames, fps),
    ]


def _compare(what: str, theirs: dict[str, float], frames: float, fps: float) -> list[Measured]:
    their_fps = frames / theirs["wall_s"]
    return [
        Measured(
            name=f"Sports2D 0.3, heavy model, {what}",
            value=their_fps,
            unit="frames/s",
            details={
                "wall_s": theirs["wall_s"],
                "ms_cpu_a_frame": 1000 * theirs["cpu_s"] / frames,
                "memory_mib": theirs["memory_kib"] / 1024,
            },
        ),
        Measured(
            name=f"its frames a second over ours, {what}", value=their_fps / fps, unit="", goal=1 / GOAL
        ),
    ]


async def _run_ours(folder: Path, settings: Settings, seconds: float) -> dict[str, float]:
    vision = await install_vision(settings)
    clip = folder / "clip.mp4"
    script = Path(__file__).with_name("write_video.py")
    subprocess.run(
        [str(vision.python), str(script), str(find_open_clip(*CLIP)), str(clip), str(seconds)],
        check=True,
        timeout=300,
    )
    started = time.perf_counter()
    probe = await probe_video(clip, settings=settings)
    quick = await track_quick(clip, probe, CAPTURE, work=folder, settings=settings)
    measure(PassKind.quick, [quick.keypoints], probe, CAPTURE)
    quick_s = time.perf_counter() - started
    slots = asyncio.Semaphore(WORKERS)

    async def run(chunk: Any) -> Any:
        async with slots:
            return await track_chunk(clip, probe, chunk, quick, CAPTURE, work=folder, settings=settings)

    tracks = await asyncio.gather(*(run(chunk) for chunk in plan_chunks(probe, quick, CAPTURE)))
    measure(PassKind.deep, [one.keypoints for one in tracks], probe, CAPTURE)
    return {
        "frames": float(sum(one.decoded_count for one in tracks)),
        "wall_s": time.perf_counter() - started,
        "quick_s": quick_s,
        "cpu_s": quick.cpu_s + sum(one.cpu_s for one in tracks),
    }


def _run_sports2d(python: Path, weights: Path, folder: Path, *, is_drawing: bool) -> dict[str, float]:
    results = folder / f"sports2d-{is_drawing}"
    results.mkdir()
    config = folder / "Config.toml"
    given = {"folder": json.dumps(str(folder)), "results": json.dumps(str(results))}
    config.write_text(CONFIG.format(**given, is_drawing=str(is_drawing).lower()), "utf-8")
    script = Path(__file__).with_name("run_sports2d.py")
    run = subprocess.run(
        [str(python), str(script), str(config), str(weights)],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "MPLBACKEND": "Agg",
            "QT_QPA_PLATFORM": "offscreen",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    if run.returncode != 0:
        raise RuntimeError(f"Sports2D failed: {run.stderr[-2000:]}")
    spent: dict[str, float] = json.loads(run.stdout.strip().rsplit("\n", 1)[-1])
    return spent
