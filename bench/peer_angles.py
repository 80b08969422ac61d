"""Angles of joints beside Sports2D's, from the same keypoints of an open clip."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
from bench.environments import install_peer
from bench.measuring import Measured, temporary_folder, tools_dir
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import load_settings
from referee.videos.measuring.angles import included_angles
from referee.videos.measuring.motion import Rows, load_rows
from referee.videos.shapes import Capture, Discipline
from referee.videos.vision import install_vision, plan_chunks, probe_video, track_chunk, track_quick

__all__ = ["measure_peer_angles"]

CLIP: Final = ("pose2sim", "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4")
GOAL_DEGREES: Final = 0.01
MARKERS: Final = {
    "Hip": (23, 24), "RHip": (24,), "RKnee": (26,), "RAnkle": (28,), "RBigToe": (32,), "RSmallToe": (32,),
    "RHeel": (30,), "LHip": (23,), "LKnee": (25,), "LAnkle": (27,), "LBigToe": (31,), "LSmallToe": (31,),
    "LHeel": (29,), "Neck": (11, 12), "Head": (7, 8), "Nose": (0,), "RShoulder": (12,), "RElbow": (14,),
    "RWrist": (16,), "LShoulder": (11,), "LElbow": (13,), "LWrist": (15,),
}  # fmt: skip
"""Sports2D's names of markers, and the landmarks whose middle each of them is."""
JOINTS: Final = {
    "right knee": (24, 26, 28),
    "left knee": (23, 25, 27),
    "right elbow": (12, 14, 16),
    "left elbow": (11, 13, 15),
}
OPTIONS: Final = {
    "show_realtime_results": "False", "save_vid": "False", "save_img": "False", "show_graphs": "False",
    "save_graphs": "False", "to_meters": "False", "interpolate": "False", "reject_outliers": "False",
    "filter": "False", "floor_angle": "0", "visible_side": "none", "nb_persons_to_detect": "1",
    "person_ordering_method": "highest_likelihood",
}  # fmt: skip
"""Nothing is smoothed, turned or filled: the angles alone are compared."""


def measure_peer_angles() -> list[Measured]:
    """Give Sports2D the keypoints of a clip as pixels (``--load_trc_px``) and compare each joint's angle.

    Its series is unwrapped with a period of 180 degrees, so an angle is compared up to such a turn and its sign; its
    first frame repeats the second one and is left out.
    """
    sports2d = install_peer("sports2d").with_name("sports2d")
    with temporary_folder() as folder:
        clip = find_open_clip(*CLIP)
        rows = load_rows(asyncio.run(_track(clip, folder)))
        theirs = _run_sports2d(sports2d, clip, rows, folder)
    found = []
    for joint, landmarks in JOINTS.items():
        ours = 180 - included_angles(*(rows.xy[:, one] for one in landmarks))
        differences = _compare(ours, theirs[joint])[1:]
        found.append(
            Measured(
                name=f"{joint}, largest difference from Sports2D over {len(differences)} frames",
                value=float(differences.max()),
                unit="°",
                goal=GOAL_DEGREES,
                details={"median": float(np.median(differences))},
            )
        )
    return found


async def _track(clip: Path, work: Path) -> list[bytes]:
    settings = load_settings(home=work / "home", tools_dir=tools_dir())
    await install_vision(settings)
    capture = Capture(Discipline.fielding)
    probe = await probe_video(clip, settings=settings)
    quick = await track_quick(clip, probe, capture, work=work, settings=settings)
    return [
        (await track_chunk(clip, probe, chunk, quick, capture, work=work, settings=settings)).keypoints
        for chunk in plan_chunks(probe, quick, capture)
    ]


def _run_sports2d(program: Path, clip: Path, rows: Rows, folder: Path) -> dict[str, Any]:
    """Return Sports2D's angles in degrees by joint, one a frame."""
    markers = folder / "keypoints_px.trc"
    markers.write_text(_write_markers(rows), encoding="utf-8")
    results = folder / "sports2d"
    words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    run = subprocess.run(
        [
            *(str(program), "--video_input", str(clip), "--load_trc_px", str(markers)),
            *("--result_dir", str(results), "--xy_origin", "0", "0", *words),
        ],
        env={**os.environ, "HOME": str(folder), "QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    written = sorted(results.rglob("*_angles_person00.mot"))
    if not written:
        raise RuntimeError(f"Sports2D wrote no angles: {run.stderr[-2000:]}")
    lines = written[0].read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("endheader"))
    columns = lines[start + 1].split("\t")
    values = np.array([[float(cell) for cell in line.split("\t")] for line in lines[start + 2 :]])
    if len(values) != len(rows.t_s):
        raise RuntimeError(f"Sports2D wrote {len(values)} frames, and {len(rows.t_s)} were given.")
    return {name: values[:, columns.index(name)] for name in JOINTS}


def _write_markers(rows: Rows) -> str:
    """Return the keypoints as Sports2D writes its own: pixels, y down. ``export_trc`` is for others: y up."""
    step_s = float(np.median(np.diff(rows.t_s)))
    count, rate = len(rows.t_s), f"{1 / step_s:.6g}"
    lines = [
        "PathFileType\t4\t(X/Y/Z)\tkeypoints_px.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{len(MARKERS)}\tm\t{rate}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(MARKERS) + "\t\t",
        "\t\t" + "\t".join(f"X{one}\tY{one}\tZ{one}" for one in range(1, len(MARKERS) + 1)),
        "",
    ]
    for index in range(count):
        middles = [rows.xy[index, list(landmarks)].mean(axis=0) for landmarks in MARKERS.values()]
        cells = [f"{x:.6f}\t{y:.6f}\t0" for x, y in middles]
        lines.append("\t".join([str(index + 1), f"{index * step_s:.6f}", *cells]))
    return "\n".join(lines) + "\n"


def _compare(ours: Any, theirs: Any) -> Any:
    """Return how far apart two series of angles are, degrees, up to turns of 180 and the sign."""
    apart = [np.abs((sign * ours - theirs + 90) % 180 - 90) for sign in (1, -1)]
    return np.minimum(*apart)
