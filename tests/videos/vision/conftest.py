from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.videos.open_clips import find_open_clip

from referee.foundation.settings import Settings, load_settings
from referee.videos.vision.installing import install_vision

PERSON = ("pose2sim", "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4")


@pytest.fixture(scope="session")
def vision_settings(tools_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), tools_dir=tools_dir)
    asyncio.run(install_vision(settings))
    return settings


@pytest.fixture(scope="session")
def clips(vision_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small clips, sound and broken, written by the decoder's own environment."""
    folder = tmp_path_factory.mktemp("clips")
    return _write(vision_settings, folder)


@pytest.fixture(scope="session")
def person_clip(vision_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four frames of an open clip at 60 a second: a man who walks, two people behind him."""
    folder = tmp_path_factory.mktemp("person")
    return _write(vision_settings, folder, find_open_clip(*PERSON)) / "person.mp4"


def _write(settings: Settings, folder: Path, *source: Path) -> Path:
    vision = asyncio.run(install_vision(settings))
    script = Path(__file__).parent / "write_clips.py"
    subprocess.run(
        [str(vision.python), str(script), str(folder), *map(str, source)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder
