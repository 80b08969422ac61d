"""Runs Sports2D 0.3 on a clip: ``python run_sports2d.py CONFIG HEAVY_MODEL``, in an environment of its own.

Its headless OpenCV has no windows to close, and its model package lacks the heavy weights, which it would download.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    """Detect poses and compute angles, and print what that took."""
    config, weights = sys.argv[1:3]
    target = (
        Path(str(import_module("mediapipe").__file__)).parent
        / "modules"
        / "pose_landmark"
        / "pose_landmark_heavy.tflite"
    )
    if not target.exists():
        shutil.copyfile(weights, target)
    windows: Any = import_module("cv2")
    windows.destroyAllWindows = lambda: None
    sports2d: Any = import_module("Sports2D.Sports2D")

    started, before = time.perf_counter(), os.times()
    sports2d.detect_pose(config)
    sports2d.compute_angles(config)
    after = os.times()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent = {
        "wall_s": time.perf_counter() - started,
        "cpu_s": after.user + after.system - before.user - before.system,
        "memory_kib": memory,
    }
    print("\n" + json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
