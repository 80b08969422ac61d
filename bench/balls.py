"""How far the ball of a rendered delivery is off its truth: place, release, bounce, speed, and what is missed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bench.measuring import Measured, temporary_folder, tools_dir
from tests.videos.deliveries import Ball, follow, make_scene, run_ball_trials

from referee.foundation.settings import load_settings
from referee.videos.vision import install_vision

__all__ = ["measure_balls"]

CASES: Final[dict[str, dict[str, Any]]] = {
    "red, 60 frames/s, shutter 1/1000 s": {},
    "white": {"colour": "white"},
    "pink": {"colour": "pink"},
    "noise of 12 grey levels": {"noise": 12.0},
    "half the light": {"light": 0.5},
    "shutter 1/250 s": {"shutter_s": 1 / 250},
    "shutter 1/120 s": {"shutter_s": 1 / 120},
    "30 frames/s": {"fps": 30.0},
    "120 frames/s": {"fps": 120.0},
}
GOAL_PX: Final = 1.0


def measure_balls(*, trials: int) -> list[Measured]:
    """Render deliveries of 17 to 30 m/s from the side at 20 m, follow their balls, and compare with the truth.

    Where too little of a ball is seen, not to measure it is right: such trials are counted, not failed.
    """
    found = []
    with temporary_folder() as folder:
        vision = asyncio.run(install_vision(load_settings(home=folder / "home", tools_dir=tools_dir())))
        for name, values in CASES.items():
            told = run_ball_trials(vision.python, folder, trials, **values)
            has_any = "place_px" in told
            found.append(
                Measured(
                    name=f"ball, {name}: place, root mean square over {trials} deliveries",
                    value=told.get("place_px", 0.0),
                    unit="px",
                    goal=GOAL_PX if has_any else None,
                    details={key: round(value, 5) for key, value in told.items()},
                )
            )
        wrong = sum(_is_invented(vision.python, folder, seed) for seed in range(trials))
    found.append(
        Measured(name=f"balls found in {trials} deliveries without one", value=wrong, unit="", goal=0)
    )
    return found


def _is_invented(python: Any, folder: Any, seed: int) -> bool:
    ball = follow(make_scene(python, folder, Ball(has_ball=False), seed=seed)).ball
    return ball is not None and ball.status == "measured"
