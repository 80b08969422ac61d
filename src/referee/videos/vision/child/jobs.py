"""One job of the child process, from its description on standard input to ``result.json`` in its folder."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .decoding import Clip, open_clip
from .deep import run_chunk
from .drawing import draw_pictures
from .keypoints import Guide, Rows
from .models import Detector, Landmarker
from .probing import probe
from .proxying import write_proxy
from .quick import Click, run_quick
from .searching import search_people
from .shapes import Refused

__all__ = ["main"]

PROGRESS_STEP = 0.01


def main() -> None:
    """Do the job and write what came of it; a refusal is a result, a crash is not."""
    job = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"], job["memory_bytes"]))
    out = Path(job["out"])
    try:
        result = {"result": TASKS[job["task"]](job, out)}
    except Refused as error:
        result = {"refused": {"code": error.code, "reason": error.reason}}
    except MemoryError:
        result = {
            "refused": {
                "code": "out_of_memory",
                "reason": "The pictures need more memory than a pass may use. Export the clip at 4K or below.",
            }
        }
    (out / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _probe(job: dict[str, Any], out: Path) -> dict[str, Any]:
    return probe(Path(job["path"]), job["limits"])


def _quick(job: dict[str, Any], out: Path) -> dict[str, Any]:
    clip = open_clip(Path(job["path"]))
    models = Path(job["models_dir"])
    click = Click(*job["athlete"]) if job["athlete"] else None
    landmarker = Landmarker(models / "pose_landmark_full.tflite")
    found = run_quick(clip, Detector(models), landmarker, click, _progress())
    return _finish(clip, found.rows, out) | {"people_count": found.people_count}


def _chunk(job: dict[str, Any], out: Path) -> dict[str, Any]:
    clip = open_clip(Path(job["path"]))
    models = Path(job["models_dir"])
    rows = run_chunk(
        clip,
        job["start_s"],
        job["end_s"],
        Guide(Path(job["guide"])),
        Detector(models),
        Landmarker(models / "pose_landmark_heavy.tflite"),
        _progress(),
        has_ball=job["has_ball"],
    )
    return _finish(clip, rows, out)


def _finish(clip: Clip, rows: Rows, out: Path) -> dict[str, Any]:
    (out / "keypoints.npz").write_bytes(rows.pack())
    return {
        "decoded_count": len(rows.frame),
        "corrupt_count": sum(rows.is_corrupt) + clip.decode_errors_count,
        "detected_count": rows.detected_count,
        "cpu_s": time.process_time(),
    }


def _pictures(job: dict[str, Any], out: Path) -> dict[str, Any]:
    clip = open_clip(Path(job["path"]))
    return {"names": draw_pictures(clip, job["times_s"], [Path(one) for one in job["keypoints"]], out)}


def _proxy(job: dict[str, Any], out: Path) -> dict[str, Any]:
    clip = open_clip(Path(job["path"]))
    return {"frames_count": write_proxy(clip, out / "proxy.mp4", _progress())}


def _people(job: dict[str, Any], out: Path) -> dict[str, Any]:
    clip = open_clip(Path(job["path"]))
    models = Path(job["models_dir"])
    wanted = min(max(0.0, job["t_s"]), clip.times_s[-1])
    picture = next(clip.pictures(wanted - clip.median_step_s / 2), None) or next(clip.pictures(), None)
    if picture is None:
        raise Refused("cut", "No picture of the clip can be decoded there. Choose another instant.")
    landmarker = Landmarker(models / "pose_landmark_full.tflite")
    people = search_people(Detector(models), landmarker, picture.pixels)
    return {
        "t_s": picture.t_s,
        "people": [[*(value * picture.scale for value in one.box), one.score] for one in people],
    }


def _progress() -> Callable[[float], None]:
    """Return what prints the share done, at every hundredth."""
    last = -PROGRESS_STEP

    def show(share: float) -> None:
        nonlocal last
        if share - last >= PROGRESS_STEP:
            last = share
            print(json.dumps({"share": round(share, 4)}), flush=True)

    return show


TASKS: dict[str, Callable[[dict[str, Any], Path], dict[str, Any]]] = {
    "probe": _probe,
    "quick": _quick,
    "chunk": _chunk,
    "pictures": _pictures,
    "proxy": _proxy,
    "people": _people,
}
