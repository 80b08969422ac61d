"""What a clip is said to be, and what becomes of files that are no clips or broken ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from referee.foundation.settings import Settings, load_settings
from referee.videos.shapes import Capture, Discipline, Probe, Track, VideoRefused
from referee.videos.vision import DEFAULT_LIMITS, make_proxy, probe_video, track_quick, vision_state

CAPTURE = Capture(Discipline.bowling)


def probe(clips: Path, name: str, settings: Settings) -> Probe:
    return asyncio.run(probe_video(clips / name, settings=settings))


def describe(found: Probe) -> tuple[object, ...]:
    return (
        found.frames_count,
        round(found.duration_s, 2),
        (found.width_px, found.height_px),
        found.codec,
        round(found.median_fps),
        len(found.problems),
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sound.mp4", (90, 3.0, (160, 96), "h264", 30, 0)),
        ("portrait.mp4", (90, 3.0, (96, 160), "h264", 30, 0)),
        ("negative.mkv", (20, 0.67, (160, 96), "h264", 30, 0)),
        ("ten_bit.mov", (6, 0.2, (160, 96), "hevc", 30, 0)),
        ("four_k.mp4", (3, 0.23, (3840, 2160), "h264", 10, 1)),
        ("one.mp4", (1, 0.03, (160, 96), "h264", 0, 1)),
        ("cut.mp4", (49, 1.63, (160, 96), "h264", 30, 1)),
        ("no_times.mp4", (90, 3.0, (160, 96), "h264", 30, 1)),
        ("claims_30_gb.mp4", (1, 0.03, (160, 96), "h264", 0, 2)),
        ("many.mkv", (100_000, 3333.33, (32, 32), "mjpeg", 30, 0)),
    ],
)
def test_a_clip_is_what_its_packets_say(
    clips: Path, vision_settings: Settings, name: str, wanted: tuple[object, ...]
) -> None:
    assert describe(probe(clips, name, vision_settings)) == wanted


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty.mp4", "empty"),
        ("absent.mp4", "empty"),
        ("playlist.mp4", "not_a_video"),
        ("text.mp4", "not_a_video"),
        ("index_lost.mp4", "not_a_video"),
        ("only_sound.mp4", "no_video_stream"),
    ],
)
def test_what_is_no_clip_is_refused_with_what_to_do(
    clips: Path, vision_settings: Settings, name: str, code: str
) -> None:
    with pytest.raises(VideoRefused) as refused:
        probe(clips, name, vision_settings)
    assert refused.value.code == code
    assert len(refused.value.reason.split(". ")) >= 2


def test_clips_beyond_a_limit_are_refused(clips: Path, vision_settings: Settings) -> None:
    codes = []
    for limits in (
        replace(DEFAULT_LIMITS, pixels_count=1920 * 1080),
        replace(DEFAULT_LIMITS, frames_count=2),
        replace(DEFAULT_LIMITS, size_bytes=1000),
        replace(DEFAULT_LIMITS, memory_bytes=90 * 1024 * 1024),
    ):
        with pytest.raises(VideoRefused) as refused:
            asyncio.run(probe_video(clips / "four_k.mp4", limits=limits, settings=vision_settings))
        codes.append(refused.value.code)
    assert codes[:3] == ["too_large", "too_long", "too_large"]
    assert codes[3] in ("out_of_memory", "crashed")


def test_times_of_a_variable_rate_are_the_presentation_times(clips: Path, vision_settings: Settings) -> None:
    found = probe(clips, "variable.mp4", vision_settings)
    assert found.is_variable_rate
    assert found.duration_s == pytest.approx(1.6, abs=0.06)


def test_a_damaged_clip_without_people_is_read_as_far_as_it_goes_and_nobody_is_found(
    clips: Path, vision_settings: Settings, tmp_path: Path
) -> None:
    async def run() -> Track:
        path = clips / "flipped.mp4"
        found = await probe_video(path, settings=vision_settings)
        return await track_quick(path, found, CAPTURE, work=tmp_path, settings=vision_settings)

    quick = asyncio.run(run())
    assert 0 < quick.decoded_count <= 24
    assert quick.corrupt_count > 0
    assert (quick.detected_count, quick.people_count) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_copy_for_the_browser_keeps_the_times(
    clips: Path, vision_settings: Settings, tmp_path: Path
) -> None:
    async def run() -> tuple[Probe, Probe]:
        first = await probe_video(clips / "portrait.mp4", settings=vision_settings)
        copy = await make_proxy(clips / "portrait.mp4", first, work=tmp_path, settings=vision_settings)
        return first, await probe_video(copy, settings=vision_settings)

    first, copy = asyncio.run(run())
    assert (copy.frames_count, copy.rotation_degrees) == (first.frames_count, 0)
    assert (copy.width_px, copy.height_px) == (first.width_px, first.height_px)
    assert copy.duration_s == pytest.approx(first.duration_s, abs=0.05)


def test_without_its_environment_the_room_says_how_to_install_it(tmp_path: Path) -> None:
    state = asyncio.run(vision_state(load_settings(home=tmp_path, tools_dir=tmp_path / "tools")))
    assert not state.is_available
    assert "referee video install" in state.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "samples"), [("many.mkv", 195), ("four_k.mp4", 3), ("ten_bit.mov", 6), ("one.mp4", 1)]
)
def test_unusual_clips_are_sampled_as_others(
    clips: Path, vision_settings: Settings, tmp_path: Path, name: str, samples: int
) -> None:
    async def run() -> Track:
        found = await probe_video(clips / name, settings=vision_settings)
        return await track_quick(clips / name, found, CAPTURE, work=tmp_path, settings=vision_settings)

    assert asyncio.run(run()).decoded_count == samples
