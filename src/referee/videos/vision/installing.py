"""The environment that reads clips, and the weights of the pose model, installed once and kept.

::

    <tools_dir>/video/<digest>/            numpy, the decoder and the runtime of the models, from ``locks/video.txt``
    <tools_dir>/mediapipe-pose/<digest>/   the npm package that carries the weights, from ``locks/mediapipe-pose``

Nothing is fetched when a clip is analysed, and nothing of a clip is ever sent anywhere: the runtime is the bare
interpreter of the models, without the library around it that reports its use to its maker.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from referee.core.errors import Unavailable
from referee.foundation.settings import Settings, load_settings
from referee.tools.contract import Installation
from referee.tools.install import ToolInstaller
from referee.tools.running import probe_python_package

__all__ = ["MODEL_SHA256", "Vision", "VisionState", "install_vision", "vision_state"]

INSTALL_HINT = "Install it with `referee video install`."

MODEL_SHA256 = {
    "pose_landmark_lite.tflite": "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    "pose_landmark_full.tflite": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    "pose_solution_packed_assets.data": "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
}
"""The weights by the name of their file; the last is the person detector, a model like the others."""

_PACKAGES = ("ai-edge-litert", "av", "numpy")
_WEIGHTS = "node_modules/@mediapipe/pose"

_verified: set[Path] = set()
"""Folders of weights whose digests this process has checked: they are read-only by convention and 40 MB long."""


@dataclass(frozen=True, slots=True)
class Vision:
    """An installed environment with its weights."""

    python: Path
    models_dir: Path
    read_only: tuple[Path, ...]
    """What the sandbox must show."""
    versions: dict[str, str]
    """Of the packages that compute."""


@dataclass(frozen=True, slots=True)
class VisionState:
    """Whether clips can be analysed here. ``reason`` says why not and how to change it."""

    is_available: bool
    reason: str = ""
    versions: tuple[tuple[str, str], ...] = ()


async def install_vision(settings: Settings | None = None) -> Vision:
    """Install what is missing and return it; what is there already is left alone.

    Raises:
        Unavailable: It cannot be installed here, or a file is not what it should be.
    """
    return await _ensure(settings or load_settings(), is_installing=True)


async def find_vision(settings: Settings | None = None) -> Vision:
    """Return the installed environment.

    Raises:
        Unavailable: It is not installed.
    """
    return await _ensure(settings or load_settings(), is_installing=False)


async def vision_state(settings: Settings | None = None) -> VisionState:
    """Return whether clips can be analysed here, and why not."""
    try:
        vision = await find_vision(settings)
    except Unavailable as error:
        return VisionState(is_available=False, reason=f"{error.message} {error.hint}".strip())
    return VisionState(is_available=True, versions=tuple(sorted(vision.versions.items())))


async def _ensure(settings: Settings, *, is_installing: bool) -> Vision:
    kit = ToolInstaller(
        settings.tools_path,
        advisories_dir=settings.advisories_dir,
        install_timeout_s=settings.install_timeout_s,
        can_install=is_installing,
    )
    try:
        runtime = await kit.python_environment("video", "video.txt", "python")
        weights = await kit.node_environment("mediapipe-pose", "mediapipe-pose", _WEIGHTS)
    except Unavailable as error:
        if is_installing:
            raise
        raise Unavailable(
            "video.not_installed", f"Clips cannot be analysed yet: {error.message}", INSTALL_HINT
        ) from error
    if weights.program not in _verified:
        await asyncio.to_thread(_check_weights, weights.program)
        _verified.add(weights.program)
    return Vision(
        python=runtime.program,
        models_dir=weights.program,
        read_only=(*runtime.read_only, weights.root),
        versions=await _read_versions(runtime),
    )


async def _read_versions(runtime: Installation) -> dict[str, str]:
    return {name: await probe_python_package(runtime, name) for name in _PACKAGES}


def _check_weights(folder: Path) -> None:
    for name, wanted in MODEL_SHA256.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        if found != wanted:
            raise Unavailable(
                "video.weights_differ",
                f"The weights {name} are not the pinned ones: sha256 {found}.",
                f"Remove {folder} and run `referee video install` again.",
            )
