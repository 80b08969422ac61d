"""A virtual environment for a Python component, made by uv from wheels only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from referee.apps.environments_clients import ClientAnswer, ClientRun
from referee.apps.environments_contract import DependenciesFailed
from referee.apps.recipes_contract import Dependencies
from referee.apps.recipes_reading import SourceReader
from referee.apps.recipes_requirements import read_python_requirements
from referee.core.sources import SourceSnapshot
from referee.tools.install import unique_folders

__all__ = ["base_python", "install_python", "python_folders"]

_REQUIREMENTS_NAME: Final = "referee-requirements.txt"


def base_python() -> Path:
    """Return the interpreter that app environments are made with: the one below our own."""
    return Path(getattr(sys, "_base_executable", sys.executable))


def python_folders() -> tuple[Path, ...]:
    """Return what the sandbox must show for that interpreter."""
    prefix = Path(sys.base_prefix)
    return unique_folders((prefix, prefix.resolve()))


async def install_python(
    run: ClientRun, dependencies: Dependencies, snapshot: SourceSnapshot
) -> tuple[str, ...]:
    """Make a virtual environment in the staging folder and return notices.

    Raises:
        DependenciesFailed: They cannot be installed.
    """
    import uv  # noqa: PLC0415 - only an installation pays for it

    wanted = read_python_requirements(SourceReader(snapshot), dependencies.folder)
    if wanted.refused:
        raise DependenciesFailed(wanted.refused[0], tuple(wanted.refused[:20]))
    program = Path(uv.find_uv_bin())
    read_only = (program, *python_folders())
    variables = {"UV_CACHE_DIR": str(run.cache_dir), "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1"}
    make = (
        "venv",
        "--quiet",
        "--relocatable",
        "--allow-existing",
        "--no-project",
        "--python",
        str(base_python()),
    )
    answer = await run.run("uv-venv", (str(program), *make, "."), read_only=read_only, variables=variables)
    _check(answer)
    lines = [*wanted.lines, *dependencies.extra]
    if lines:
        (run.staging / _REQUIREMENTS_NAME).write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )
        await _fill(run, program, read_only, variables)
    return ()


async def _fill(
    run: ClientRun, program: Path, read_only: tuple[Path, ...], variables: Mapping[str, str]
) -> None:
    fill = (
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--compile-bytecode",
        "--python",
        "bin/python",
        "--requirement",
        _REQUIREMENTS_NAME,
    )
    _check(await run.run("uv-install", (str(program), *fill), read_only=read_only, variables=variables))


def _check(answer: ClientAnswer) -> None:
    if answer.exit_code == 0:
        return
    text = " ".join(answer.said).lower()
    if "no usable wheels" in text or "building from source is disabled" in text or "has no wheels" in text:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        reason = f"A package has no wheel for Python {version} here, and nothing is built from source."
    elif "no solution found" in text:
        reason = "The versions that the app asks for do not go together."
    else:
        reason = f"uv could not install them (exit code {answer.exit_code})."
    raise DependenciesFailed(reason, answer.last_lines)
