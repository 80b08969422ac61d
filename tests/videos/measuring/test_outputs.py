"""What is made of a measurement: findings, report, PDF, exports and what the page draws."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from tests.videos.skeletons import Synthetic, make

from referee.videos.measuring import (
    draw_report_pdf,
    encode_for_browser,
    export_csv,
    export_json,
    export_trc,
    find_faults,
    measure,
    write_report,
)
from referee.videos.measuring.angles import included_angles
from referee.videos.shapes import Level, Measured, Measurement, PassKind, Report, VideoFinding

BROKEN_JPEG = b"\xff\xd8\xff\xe0" + bytes(200)


def analyse(**values: Any) -> tuple[Synthetic, Measurement, tuple[VideoFinding, ...], Report]:
    synthetic = make(**values)
    found = measure(PassKind.deep, [synthetic.keypoints], synthetic.probe, synthetic.capture)
    findings = find_faults(found, synthetic.probe, synthetic.capture)
    return synthetic, found, findings, write_report(found, findings, synthetic.probe, synthetic.capture)


def test_a_sound_movement_has_no_finding_and_the_highest_level() -> None:
    _, _, findings, _ = analyse(head_sway_m=0.005, drift_m=0.0, collapse=3, lag_ms=60, elbow_drop_m=0.02)
    assert [one.code for one in findings if one.code != "BALANCE_DRIFT"] == []
    _, found, _, _ = analyse()
    whole = replace(
        found,
        metrics=tuple(replace(one, level=Level.low) for one in found.metrics if isinstance(one, Measured)),
    )
    synthetic = make()
    best = write_report(whole, (), synthetic.probe, synthetic.capture)
    assert (best.overall_level, best.top_issues, best.drills) == ("high", (), ())
    assert len(best.one_week_plan) == 7


def test_each_fault_is_found_with_its_evidence_and_what_to_do() -> None:
    _, found, findings, report = analyse(
        head_sway_m=0.12, drift_m=0.12, collapse=40, lag_ms=-40, elbow_drop_m=0.3
    )
    assert {one.code for one in findings} == {
        "HEAD_MOVEMENT", "BALANCE_DRIFT", "KNEE_COLLAPSE", "ROTATION_TIMING", "ELBOW_DROP"
    }  # fmt: skip
    levels = {one.code: one.level for one in found.metrics if isinstance(one, Measured)}
    for one in findings:
        assert one.metric is not None
        assert one.severity is levels[one.metric]
        assert one.cues
        assert one.drills
        assert 0 < one.confidence_share <= 1
        assert one.worst_frames
        assert one.code == "ROTATION_TIMING" or one.bad_segments
    severities = [("high", "medium").index(one.severity.value) for one in findings]
    assert severities == sorted(severities)
    assert report.overall_level == "low"
    assert len(report.top_issues) == 3
    assert len(report.drills) <= 8
    assert {section.title for section in report.sections} >= {one.title for one in findings}


def test_evidence_points_at_frames_of_the_clip() -> None:
    _, _, findings, _ = analyse(collapse=40)
    knee = next(one for one in findings if one.code == "KNEE_COLLAPSE")
    assert 1.5 <= knee.worst_frames[0].t_s <= 1.7
    assert all(abs(one.frame - one.t_s * 60) <= 1 for one in knee.worst_frames)
    (segment,) = knee.bad_segments
    assert 1.5 < segment.start_s < segment.end_s < 1.75


def test_what_cannot_be_measured_is_one_finding_about_the_clip_and_no_fault() -> None:
    synthetic, _, findings, report = analyse(distance_m=40.0)
    assert [one.code for one in findings] == ["INSUFFICIENT_POSE_VISIBILITY"]
    assert report.overall_level == "not_measurable"
    assert "pixels tall" in report.text
    pdf = draw_report_pdf(report, *_parts(synthetic, findings), [], synthetic.capture, "Empty")
    assert pdf.startswith(b"%PDF")


def _parts(synthetic: Synthetic, findings: tuple[VideoFinding, ...]) -> tuple[Any, Any]:
    return measure(PassKind.deep, [synthetic.keypoints], synthetic.probe, synthetic.capture), findings


def test_every_number_of_a_measurement_can_be_written_as_json() -> None:
    for values in ({}, {"hidden": (0, 7, 8)}, {"distance_m": 40.0}, {"fps": 20}):
        _, found, findings, report = analyse(**values)
        json.dumps([asdict(found), [asdict(one) for one in findings], asdict(report)], allow_nan=False)


def test_the_pdf_holds_hostile_titles_as_text_and_the_same_report_gives_the_same_bytes() -> None:
    synthetic, found, findings, report = analyse(noise_px=2)
    title = 'Nets #eval("1") <b> $x$ \\u{202e} ' + "long " * 100
    first, second = (
        draw_report_pdf(report, found, findings, [BROKEN_JPEG, b"", b"no picture"], synthetic.capture, title)
        for _ in range(2)
    )
    assert first.startswith(b"%PDF")
    assert first == second


def test_the_scores_of_the_earlier_system_are_shares_or_absent() -> None:
    _, found, _, _ = analyse()
    scores = dict(found.legacy_scores)
    timing = scores.pop("hip_shoulder_separation_timing")
    assert timing is not None
    assert set(scores) == {
        "head_stability_score", "balance_drift_score", "front_knee_brace_score", "elbow_drop_score"
    }  # fmt: skip
    assert all(value is not None and 0 <= value <= 1 for value in scores.values())
    _, nothing, _, _ = analyse(hidden=tuple(range(33)))
    assert set(nothing.legacy_scores.values()) == {None}


def test_the_knee_score_of_the_earlier_system_is_its_formula() -> None:
    # In shares of a picture 1920 by 1080 the least angle of both knees decides, over the whole clip.
    _, found, _, _ = analyse(collapse=0.0, knee_at_contact=170.0)
    score = found.legacy_scores["front_knee_brace_score"]
    assert score is not None
    assert 0.4 < score < 0.7


def decode(data: bytes) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    content = json.loads(gzip.decompress(data))
    shape = (len(content["t_ms"]), content["landmarks_count"], 2)
    steps = np.array(content["xy"]).reshape(shape[0], -1).cumsum(axis=0).reshape(shape)
    return np.cumsum(content["t_ms"]) / 1000, steps / content["scale"], content


def test_the_page_gets_positions_within_an_eighth_of_a_pixel() -> None:
    synthetic = make(noise_px=1, lost_share=0.1)
    with np.load(io.BytesIO(synthetic.keypoints)) as stored:
        t_s, xy = stored["t_s"], stored["xy"]
    times, points, content = decode(encode_for_browser([synthetic.keypoints]))
    assert np.abs(times - t_s).max() <= 0.0006
    assert np.abs(points - xy).max() <= 0.1251
    assert len(content["confidence"]) == len(t_s) * 33


def test_exports_hold_every_frame() -> None:
    synthetic = make()
    lines = list(csv.reader(io.StringIO(export_csv([synthetic.keypoints]).decode())))
    assert (len(lines), len(lines[0]), lines[0][:3]) == (151, 101, ["frame", "t_s", "nose_x_px"])
    frames = json.loads(export_json([synthetic.keypoints]))["frames"]
    assert [float(lines[1][2]), float(lines[1][3])] == pytest.approx(frames[0]["points"][0][:2], abs=0.01)
    trc = export_trc([synthetic.keypoints]).decode().splitlines()
    assert trc[2].split("\t")[:5] == ["60", "60", "150", "33", "px"]
    assert len(trc) == 6 + 150
    assert float(trc[6].split("\t")[3]) == pytest.approx(-frames[0]["points"][0][1], abs=0.01)
    assert {len(line.split("\t")) for line in trc[6:]} == {2 + 99}


def test_included_angles_are_those_of_the_law_of_cosines() -> None:
    random = np.random.default_rng(3)
    first, middle, last = random.normal(size=(3, 200, 2)) * 100
    one, two, across = (
        np.linalg.norm(first - middle, axis=1),
        np.linalg.norm(last - middle, axis=1),
        np.linalg.norm(first - last, axis=1),
    )
    wanted = np.degrees(np.arccos((one**2 + two**2 - across**2) / (2 * one * two)))
    assert np.allclose(included_angles(first, middle, last), wanted, atol=1e-6)
