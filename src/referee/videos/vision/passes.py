"""What the rest of the room asks of a clip: each question is one sandboxed child process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from referee.foundation.settings import Settings
from referee.videos.shapes import Capture, Chunk, Discipline, PassKind, Probe, Track, VideoRefused
from referee.videos.vision.installing import MODEL_SHA256
from referee.videos.vision.limits import DEFAULT_LIMITS, VideoLimits
from referee.videos.vision.running import ChildRun, OnProgress, running_child

__all__ = [
    "PersonBox",
    "cut_pictures",
    "list_people",
    "make_proxy",
    "probe_video",
    "track_chunk",
    "track_quick",
]

CODE_VERSION = "1"
"""Of how a pass computes; part of its provenance. Raise it when results change."""

_START_S = 30.0
"""For starting, loading the models and reading all packets, on the slowest machine worth using."""
_DECODE_S = 0.12
_FRAME_S = 0.6
"""Most a frame may cost: five to ten times what 1080p takes here, so that 4K passes."""


@dataclass(frozen=True, slots=True)
class PersonBox:
    """A person on a picture, pixels of the upright picture. ``score_share``: how surely."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float
    score_share: float


async def probe_video(
    path: Path, *, limits: VideoLimits = DEFAULT_LIMITS, settings: Settings | None = None
) -> Probe:
    """Return what a clip is.

    Raises:
        VideoRefused: It is not a clip that can be analysed; the reason says why and what to do.
        Unavailable: Video analysis is not installed.
    """
    size = (await asyncio.to_thread(path.stat)).st_size if await asyncio.to_thread(path.is_file) else 0
    if size == 0:
        raise VideoRefused("empty", "The file is empty. Upload the clip again.")
    if size > limits.size_bytes:
        raise VideoRefused(
            "too_large",
            f"The file has {size:,} bytes, more than {limits.size_bytes:,}. Cut it to the delivery.",
        )
    async with running_child(
        "probe",
        path,
        {"limits": asdict(limits)},
        work=None,
        seconds=limits.probe_wall_s,
        limits=limits,
        settings=settings,
    ) as run:
        values = run.values
    for name in ("key_frame_times_s", "problems"):
        values[name] = tuple(values[name])
    return Probe(**values)


async def track_quick(
    path: Path,
    probe: Probe,
    capture: Capture,
    *,
    work: Path,
    on_progress: OnProgress | None = None,
    settings: Settings | None = None,
) -> Track:
    """Sample the whole clip about 150 times, follow everybody and keep the athlete.

    The same clip, models and versions on the same machine give the same bytes.

    Raises:
        VideoRefused: The clip cannot be decoded within the limits.
    """
    job = {"athlete": list(capture.athlete) if capture.athlete else None}
    seconds = _START_S + probe.frames_count * _DECODE_S + 300 * _FRAME_S
    async with running_child(
        "quick", path, job, work=work, seconds=seconds, on_progress=on_progress, settings=settings
    ) as run:
        keypoints = await asyncio.to_thread(run.read, "keypoints.npz")
    return _make_track(run, PassKind.quick, None, keypoints, run.values["people_count"])


async def track_chunk(
    path: Path,
    probe: Probe,
    chunk: Chunk,
    quick: Track,
    capture: Capture,
    *,
    work: Path,
    on_progress: OnProgress | None = None,
    settings: Settings | None = None,
) -> Track:
    """Follow the athlete on every frame of a chunk.

    It starts from what the quick pass saw there and never from another chunk, so that order, workers and crashes
    cannot change a result. In bowling the keypoints carry the spots that may be the ball.

    Raises:
        VideoRefused: The clip cannot be decoded within the limits.
    """
    # The athlete was chosen in the quick pass; only bowling has a ball to follow.
    has_ball = capture.discipline is Discipline.bowling
    # The last chunk goes on to the end, whatever the container says of its length.
    is_last = chunk.end_s >= probe.duration_s - 1e-6
    job = {
        "start_s": chunk.start_s,
        "end_s": 1e12 if is_last else chunk.end_s,
        "guide": {"file": "quick.npz"},
        "has_ball": has_ball,
    }
    seconds = _START_S + 0.002 * probe.frames_count + max(chunk.frames_count, 240) * (_FRAME_S + _DECODE_S)
    async with running_child(
        "chunk",
        path,
        job,
        work=work,
        seconds=seconds,
        files={"quick.npz": quick.keypoints},
        on_progress=on_progress,
        settings=settings,
    ) as run:
        keypoints = await asyncio.to_thread(run.read, "keypoints.npz")
    return _make_track(run, PassKind.deep, chunk.index, keypoints, quick.people_count)


async def cut_pictures(
    path: Path,
    times_s: Sequence[float],
    keypoints: Sequence[bytes],
    *,
    work: Path,
    settings: Settings | None = None,
) -> tuple[bytes, ...]:
    """Return a JPEG for each time, with the skeleton of that frame drawn when the keypoints have it.

    A time at which nothing can be decoded gives empty bytes.

    Raises:
        VideoRefused: The clip cannot be decoded within the limits.
    """
    if not times_s:
        return ()
    files = {f"keypoints-{index}.npz": one for index, one in enumerate(keypoints)}
    job = {"times_s": list(times_s), "keypoints": [{"file": name} for name in files]}
    async with running_child(
        "pictures",
        path,
        job,
        work=work,
        seconds=_START_S + 60.0 * len(times_s),
        files=files,
        settings=settings,
    ) as run:
        names: list[str] = run.values["names"]
        return tuple([await asyncio.to_thread(run.read, name) if name else b"" for name in names])


async def make_proxy(
    path: Path,
    probe: Probe,
    *,
    work: Path,
    on_progress: OnProgress | None = None,
    settings: Settings | None = None,
) -> Path:
    """Return the path, in ``work``, of a copy that every browser plays, with the same presentation times.

    Raises:
        VideoRefused: The clip cannot be decoded within the limits.
    """
    seconds = _START_S + probe.frames_count * (_FRAME_S + _DECODE_S)
    async with running_child(
        "proxy", path, {}, work=work, seconds=seconds, on_progress=on_progress, settings=settings
    ) as run:
        written = run.out / "proxy.mp4"
        if written.is_symlink() or not written.is_file():
            raise VideoRefused("crashed", "The copy for the browser was not written. Try again.")
        target = run.out.parent.parent / f"{run.out.parent.name}-proxy.mp4"
        await asyncio.to_thread(shutil.move, written, target)
    return target


async def list_people(
    path: Path, t_s: float, *, work: Path, settings: Settings | None = None
) -> tuple[PersonBox, ...]:
    """Return the people on the frame at a time, the surest first, for the coach to choose from.

    Raises:
        VideoRefused: Nothing can be decoded there.
    """
    async with running_child(
        "people", path, {"t_s": t_s}, work=work, seconds=_START_S * 3, settings=settings
    ) as run:
        return tuple(PersonBox(*one) for one in run.values["people"])


def _make_track(
    run: ChildRun, kind: PassKind, chunk_index: int | None, keypoints: bytes, people_count: int
) -> Track:
    values: Mapping[str, Any] = run.values
    return Track(
        kind=kind,
        chunk_index=chunk_index,
        keypoints=keypoints,
        decoded_count=values["decoded_count"],
        corrupt_count=values["corrupt_count"],
        detected_count=values["detected_count"],
        people_count=people_count,
        cpu_s=run.cpu_s,
        provenance=_describe(run, kind),
    )


def _describe(run: ChildRun, kind: PassKind) -> dict[str, str]:
    model = f"pose_landmark_{'full' if kind is PassKind.quick else 'heavy'}.tflite"
    detector = "pose_solution_packed_assets.data"
    return {
        "code_version": CODE_VERSION,
        **{f"{name}_version": version for name, version in sorted(run.versions.items())},
        "landmark_model": model,
        "landmark_model_sha256": MODEL_SHA256[model],
        "detector_model": detector,
        "detector_model_sha256": MODEL_SHA256[detector],
    }
