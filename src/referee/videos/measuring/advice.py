"""What is said about each fault: why it matters, cues for the athlete, drills. One place, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from referee.videos.shapes import MetricCode

__all__ = ["ADVICE", "RELEASE", "UNTRACKED", "VISIBILITY", "Advice"]


@dataclass(frozen=True, slots=True)
class Advice:
    """Texts of a fault. ``message`` takes the value, its unit and the window in words."""

    code: str
    title: str
    why_it_matters: str
    cues: tuple[str, ...]
    drills: tuple[str, ...]


ADVICE: Final = {
    MetricCode.head_stability: Advice(
        "HEAD_MOVEMENT",
        "The head leaves its path",
        "Eyes that move unevenly judge line and length later, and the body follows the head.",
        ("Eyes level, chin over the front knee.", "Let the head travel in one line towards the target."),
        (
            "Mirror shadow: ten slow repetitions with the eyes on one mark.",
            "Cap drill: move through the action without the peak of the cap dipping.",
            "Pause drill: hold two seconds at contact and check where the head is.",
        ),
    ),
    MetricCode.balance_drift: Advice(
        "BALANCE_DRIFT",
        "The weight drifts away from the feet",
        "Weight that runs ahead of the feet or falls away costs power and makes the last movement a rescue.",
        ("Feel the whole front foot at contact.", "Finish over the front leg and hold it."),
        (
            "Finish and hold: freeze for three seconds after each ball.",
            "Line walk: the action along a chalk line, landing on it.",
            "One-leg balance with slow arm movement, three times thirty seconds.",
        ),
    ),
    MetricCode.front_knee_brace: Advice(
        "KNEE_COLLAPSE",
        "The front knee gives way",
        "A front leg that keeps bending after contact takes in the speed that should go into the ball. A fully "
        "straight leg is often out of reach for juniors: the coach's target counts, not an ideal.",
        ("Land tall on the front leg.", "Push the ground away as the foot lands."),
        (
            "Step and brace: step off a low box and land on a firm front leg.",
            "Wall brace: front foot against a wall, push without bending.",
            "Split squats, three times eight, slow on the way down.",
        ),
    ),
    MetricCode.hip_shoulder_timing: Advice(
        "ROTATION_TIMING",
        "The shoulders turn with the hips or before them",
        "Hips that lead stretch the trunk, and the stretch speeds up the arm; turning all at once leaves that out.",
        ("Hips first, chest waits.", "Front hip opens while the front shoulder still points at the target."),
        (
            "Separation holds: turn the hips with the shoulders against a wall.",
            "Medicine ball throws from the side, hips starting.",
            "Slow three-count action: land, hips, shoulders.",
        ),
    ),
    MetricCode.elbow_drop: Advice(
        "ELBOW_DROP",
        "The front elbow falls early",
        "A front elbow that drops pulls the shoulder open and the head away, before the ball is played or released.",
        ("Front elbow high until the end.", "Show the elbow to the bowler, or reach for the target with it."),
        (
            "Top-hand drill: soft balls with the front hand only.",
            "High-elbow shadow: ten repetitions in front of a mirror.",
            "Rope pull: draw down a light band with the front arm, elbow first.",
        ),
    ),
}

VISIBILITY: Final = Advice(
    "INSUFFICIENT_POSE_VISIBILITY",
    "The clip shows too little of the athlete",
    "What cannot be seen cannot be measured, and nothing is guessed here.",
    (
        "Film from the side, the whole body in the picture, two seconds before and one after the action.",
        "Use 60 frames a second or more, and stand so near that the athlete fills half the height.",
    ),
    ("Record two more clips with the telephone on a tripod at hip height.",),
)

UNTRACKED: Final = Advice(
    "INSUFFICIENT_BALL_TRACKING",
    "The ball cannot be followed",
    "Speed, bounce and the point of release come from the ball's path; without it they are left out, not guessed.",
    (
        "Film with a red, pink or white ball that stands out from what is behind it.",
        "Use 60 frames a second or more, a short shutter time, and keep the whole flight in the picture.",
    ),
    ("Record two more deliveries with the camera still and the sun behind it.",),
)

RELEASE: Final = Advice(
    "INCONSISTENT_RELEASE_POINT",
    "The point of release changes from ball to ball",
    "A ball that leaves the hand at another place lands at another place; line and length begin there.",
    ("Same height, same gap between arm and ear.", "Let go at the top, with the wrist behind the ball."),
    (
        "Target arch: bowl through a hoop at release height, ten balls.",
        "Standing start: release from two steps, eyes on the same mark.",
        "Slow-motion action: stop at the release and check the arm, five times.",
    ),
)
