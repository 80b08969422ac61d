"""Random trials of synthetic movements: what is measured against what is true, as root mean squares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.videos.skeletons import Delivery, make_synthetic

from referee.videos.measuring.metrics import METRICS, Unmeasured
from referee.videos.measuring.motion import load_rows, prepare_motion
from referee.videos.measuring.phases import find_events
from referee.videos.shapes import EventName, MetricCode

__all__ = ["run_trials"]

NAMES = {
    MetricCode.head_stability: "head",
    MetricCode.balance_drift: "drift",
    MetricCode.front_knee_brace: "collapse",
    MetricCode.hip_shoulder_timing: "lag",
    MetricCode.elbow_drop: "elbow",
}


def run_trials(count: int, **values: Any) -> dict[str, float]:
    """Return the root mean square error of each measured value over random deliveries.

    Degrees for knee and collapse, milliseconds for the lag, percent of height for head and drift, trunk lengths for the
    elbow, seconds for the events. ``missing_count``: values that were refused.
    """
    errors: dict[str, list[float]] = {"missing_count": []}
    for seed in range(count):
        random = np.random.default_rng(seed)
        one = replace(
            Delivery(
                knee_at_contact=random.uniform(150, 172),
                collapse=random.uniform(5, 35),
                lag_ms=random.uniform(-30, 60),
                head_sway_m=random.uniform(0, 0.05),
                drift_m=random.uniform(0, 0.08),
                elbow_drop_m=random.uniform(0.02, 0.25),
                seed=seed,
            ),
            **values,
        )
        for name, error in _measure(one).items():
            errors.setdefault(name, []).append(error)
    missing = sum(errors.pop("missing_count"))
    rms = {name: float(np.sqrt(np.mean(np.square(found)))) for name, found in errors.items()}
    return rms | {"missing_count": missing}


def _measure(one: Delivery) -> dict[str, float]:
    synthetic = make_synthetic(one)
    truth = synthetic.truth
    motion = prepare_motion(load_rows([synthetic.keypoints]), synthetic.probe, synthetic.capture)
    assert motion is not None
    events = find_events(motion, one.discipline, ())
    found = {"missing_count": 0.0}
    for code, compute in METRICS.items():
        try:
            raw = compute(motion, events, one.discipline)
        except Unmeasured:
            found["missing_count"] += 1
            continue
        found[NAMES[code]] = raw.value - truth[NAMES[code]]
        if code is MetricCode.front_knee_brace:
            found["knee"] = raw.details["at_contact_degrees"] - truth["knee"]
    for name, ours in (("contact_s", EventName.front_foot_contact), ("end_s", EventName.release)):
        if ours in events:
            found[name] = events[ours] - truth[name]
    return found
