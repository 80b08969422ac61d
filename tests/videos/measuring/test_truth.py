"""Synthetic movements with known truth: errors within published ones, and the same result whatever the camera."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.videos.measuring.trials import run_trials
from tests.videos.skeletons import Delivery, Synthetic, make, make_synthetic, split

from referee.videos.measuring import measure
from referee.videos.shapes import (
    Discipline,
    EventName,
    Measured,
    Measurement,
    MetricCode,
    MotionEvent,
    NotMeasurable,
    PassKind,
    Target,
)

BOTH = pytest.mark.parametrize(
    "discipline", [Discipline.bowling, pytest.param(Discipline.batting, marks=pytest.mark.slow)]
)
SAME = {
    MetricCode.head_stability: 0.12,
    MetricCode.balance_drift: 0.6,
    MetricCode.front_knee_brace: 1.0,
    MetricCode.hip_shoulder_timing: 3.0,
    MetricCode.elbow_drop: 0.015,
}
"""How far the same movement may be measured apart, in the unit of each metric."""


def measure_synthetic(synthetic: Synthetic, **values: Any) -> Measurement:
    return measure(PassKind.deep, [synthetic.keypoints], synthetic.probe, synthetic.capture, **values)


def values_of(found: Measurement) -> dict[MetricCode, float]:
    return {one.code: one.value for one in found.metrics if isinstance(one, Measured)}


def reasons_of(found: Measurement) -> dict[MetricCode, str]:
    return {one.code: one.reason_code for one in found.metrics if isinstance(one, NotMeasurable)}


def assert_same(first: Measurement, second: Measurement) -> None:
    one, two = values_of(first), values_of(second)
    assert set(one) == set(two)
    assert {code for code in one if abs(one[code] - two[code]) > SAME[code]} == set()


# Root mean square errors of ten random trials: what each case may have (degrees, degrees, ms, % of height, % of
# height, trunk lengths, s, s). Side-on the published limits; turned by 45 degrees the bend of the knee and the drift
# have larger ones, as their own plane is seen at an angle.
LIMITS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "clean_240": ({"fps": 240}, (0.4, 0.4, 1.5, 0.06, 0.06, 0.0045, 0.025, 0.004)),
    "clean_30": ({"fps": 30}, (0.5, 0.4, 0, 0.05, 0.12, 0.005, 0.021, 0.013)),
    "noise_60": ({"noise_px": 4}, (3.2, 5.7, 6.7, 0.12, 0.5, 0.036, 0.025, 0.010)),
    "noise_30": ({"noise_px": 4, "fps": 30}, (5.5, 6.7, 0, 0.17, 0.75, 0.059, 0.021, 0.016)),
    "variable_30": (
        {"noise_px": 4, "fps": 30, "lost_share": 0.08},
        (3.5, 5.5, 0, 0.24, 0.8, 0.046, 0.017, 0.017),
    ),
    "turned_30": ({"noise_px": 4, "yaw_degrees": 30}, (3.1, 4.4, 8.1, 0.48, 2.0, 0.026, 0.025, 0.0085)),
    "turned_45": ({"noise_px": 4, "yaw_degrees": 45}, (7.5, 7.5, 7.3, 1.1, 3.8, 0.048, 0.022, 0.0125)),
    "far": ({"noise_px": 4, "distance_m": 25}, (6.5, 10, 42, 0.35, 1.8, 0.10, 0.030, 0.021)),
}


@pytest.mark.parametrize("case", LIMITS)
def test_errors_are_within_the_published_ones(case: str) -> None:
    values, limits = LIMITS[case]
    found = run_trials(10, **values)
    names = ("knee", "collapse", "lag", "head", "drift", "elbow", "contact_s", "end_s")
    beyond = {
        name: found[name]
        for name, limit in zip(names, limits, strict=True)
        if name in found and found[name] > limit
    }
    assert beyond == {}
    # Below 50 frames a second the order of hips and shoulders is refused, and nothing else is.
    assert found["missing_count"] == (10 if values.get("fps") == 30 else 0)


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        {"fps": 120},
        pytest.param({"zoom": 0.5}, marks=pytest.mark.slow),
        {"zoom": 2.0},
        {"is_mirrored": True},
        {"border_px": 420.0},
        {"start_s": 37.25},
    ],
)
def test_the_camera_does_not_change_the_result(discipline: Discipline, change: dict[str, Any]) -> None:
    usual = measure_synthetic(make(discipline=discipline))
    assert len(values_of(usual)) == 5
    assert_same(usual, measure_synthetic(make(discipline=discipline, **change)))


@BOTH
def test_thirty_frames_a_second_give_the_same_but_for_the_timing(discipline: Discipline) -> None:
    usual, slow = (measure_synthetic(make(discipline=discipline, fps=fps)) for fps in (60, 30))
    assert reasons_of(slow) == {MetricCode.hip_shoulder_timing: "low_frame_rate"}
    one, two = values_of(usual), values_of(slow)
    # Stillness before a stroke is found to a sample, twice as far apart here.
    assert {code for code in two if abs(one[code] - two[code]) > 2.5 * SAME[code]} == set()


def test_slow_motion_counts_the_time_of_the_movement() -> None:
    fast = make(fps=120)
    usual = measure_synthetic(fast)
    played = replace(fast.probe, median_fps=30.0)
    with_rate = replace(fast.capture, capture_fps=120.0)
    stretched = _stretch(fast.keypoints, 4.0)
    slow = measure(PassKind.deep, [stretched], played, with_rate)
    assert_same(usual, slow)
    times = {one.name: one.t_s for one in usual.events}
    assert {one.name: round(one.t_s / 4, 3) for one in slow.events} == {
        name: pytest.approx(time, abs=0.002) for name, time in times.items()
    }


def _stretch(keypoints: bytes, by: float) -> bytes:
    with np.load(io.BytesIO(keypoints)) as stored:
        rows = {name: stored[name] for name in stored.files}
    rows["t_s"] = rows["t_s"] * by
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    return buffer.getvalue()


@settings(max_examples=3, deadline=None)
@given(size=st.integers(7, 149), is_reversed=st.booleans())
def test_chunks_of_any_size_in_any_order_give_exactly_the_same(size: int, is_reversed: bool) -> None:
    whole = make(noise_px=2)
    parts = split(whole.keypoints, size)
    if is_reversed:
        parts.reverse()
    assert measure(PassKind.deep, parts, whole.probe, whole.capture) == measure_synthetic(whole)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("head_sway_m", (0.0, 0.02, 0.09), MetricCode.head_stability),
        ("drift_m", (0.0, 0.04, 0.12), MetricCode.balance_drift),
        ("collapse", (4.0, 15.0, 40.0), MetricCode.front_knee_brace),
        ("lag_ms", (-40.0, 10.0, 60.0), MetricCode.hip_shoulder_timing),
        ("elbow_drop_m", (0.02, 0.1, 0.25), MetricCode.elbow_drop),
    ],
)
def test_a_metric_grows_with_what_it_measures(name: str, values: tuple[float, ...], code: MetricCode) -> None:
    found = [values_of(measure_synthetic(make(noise_px=1, **{name: value})))[code] for value in values]
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.parametrize(
    ("hidden", "lost"),
    [
        (
            (0, 7, 8),
            {MetricCode.head_stability: "low_coverage", MetricCode.balance_drift: "low_coverage"},
        ),
        ((25, 26), {MetricCode.front_knee_brace: "low_coverage", MetricCode.balance_drift: "low_coverage"}),
        ((13, 14), {MetricCode.elbow_drop: "low_coverage", MetricCode.balance_drift: "low_coverage"}),
        ((15, 16), dict.fromkeys(MetricCode, "no_")),
    ],
)
def test_what_cannot_be_seen_is_not_measurable_and_never_zero(
    hidden: tuple[int, ...], lost: dict[MetricCode, str]
) -> None:
    found = reasons_of(measure_synthetic(make(hidden=hidden)))
    assert set(found) == set(lost)
    assert all(found[code].startswith(reason) for code, reason in lost.items())


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"fps": 10}, "low_frame_rate"), ({"distance_m": 40.0}, "small_subject")],
)
def test_clips_that_show_too_little_are_refused_with_the_reason(values: dict[str, Any], reason: str) -> None:
    assert set(reasons_of(measure_synthetic(make(**values))).values()) == {reason}


def test_keeping_has_no_timing_and_no_elbow() -> None:
    synthetic = make(discipline=Discipline.batting)
    keeping = replace(synthetic.capture, discipline=Discipline.keeping)
    found = measure(PassKind.deep, [synthetic.keypoints], synthetic.probe, keeping)
    assert reasons_of(found) == {
        MetricCode.hip_shoulder_timing: "not_for_discipline",
        MetricCode.elbow_drop: "not_for_discipline",
    }


def test_an_event_that_the_coach_sets_stays_and_moves_what_hangs_on_it() -> None:
    synthetic = make()
    usual = measure_synthetic(synthetic)
    edited = MotionEvent(EventName.front_foot_contact, 1.56, 0.0)
    moved = measure_synthetic(synthetic, edited_events=[edited])
    kept = next(one for one in moved.events if one.name is EventName.front_foot_contact)
    assert (kept.t_s, kept.is_edited) == (1.56, True)
    knee = MetricCode.front_knee_brace
    assert values_of(moved)[knee] < values_of(usual)[knee] - 3


def test_the_coachs_limits_make_the_level_and_noise_makes_it_uncertain() -> None:
    synthetic = make(noise_px=4, collapse=20.0)
    knee = MetricCode.front_knee_brace

    def level(low: float, high: float) -> tuple[str, bool]:
        found = measure_synthetic(synthetic, targets=[Target(knee, low, high)])
        one = next(one for one in found.metrics if one.code is knee)
        assert isinstance(one, Measured)
        assert one.low < one.value < one.high
        return one.level.value, one.is_uncertain

    assert level(60, 80) == ("low", False)
    assert level(2, 3) == ("high", False)
    assert level(5, 60) == ("medium", False)
    assert level(values_of(measure_synthetic(synthetic))[knee] - 1, 60) == ("medium", True)


def test_the_interval_holds_the_truth_and_narrows_with_less_noise() -> None:
    widths = []
    for noise in (0.5, 2.0, 6.0):
        one = make(noise_px=noise, elbow_drop_m=0.15)
        found = measure_synthetic(one)
        elbow = next(metric for metric in found.metrics if metric.code is MetricCode.elbow_drop)
        assert isinstance(elbow, Measured)
        widths.append(elbow.high - elbow.low)
    assert widths == sorted(widths)


def test_the_same_keypoints_and_seed_give_the_same() -> None:
    synthetic = make_synthetic(Delivery(noise_px=3))
    assert measure_synthetic(synthetic, seed=5) == measure_synthetic(synthetic, seed=5)


def test_rows_of_another_body_change_nothing() -> None:
    synthetic = make()
    with np.load(io.BytesIO(synthetic.keypoints)) as stored:
        rows = {name: stored[name] for name in stored.files}
    rows["xy"][135:] += (-600, 80)
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    found = measure(PassKind.deep, [buffer.getvalue()], synthetic.probe, synthetic.capture)
    assert_same(measure_synthetic(synthetic), found)


def test_nobody_seen_is_not_measurable() -> None:
    synthetic = make(hidden=tuple(range(33)))
    found = measure_synthetic(synthetic)
    assert set(reasons_of(found).values()) == {"no_athlete"}
    assert found.events == ()
    assert measure(PassKind.deep, [], synthetic.probe, synthetic.capture).detection_share == 0.0


def test_few_samples_as_of_a_quick_pass_give_values_that_are_all_uncertain() -> None:
    found = measure_synthetic(make(fps=15, collapse=40.0))
    measured = [one for one in found.metrics if isinstance(one, Measured)]
    assert len(measured) == 4
    assert all(one.is_uncertain for one in measured)
    knee = values_of(found)[MetricCode.front_knee_brace]
    assert 25 < knee < 50
