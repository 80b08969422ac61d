"""The small apps of every shape, and starting one in the sandbox as a host would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from referee.apps import SourceLimits, take_snapshot
from referee.apps.environments import AppEnvironment, ensure_environment, prepare_workspace
from referee.apps.recipes import Component, Recipe, find_recipe
from referee.core.sources import SourceSnapshot
from referee.foundation.sandbox import Command, Limits, run_command

__all__ = [
    "MODELS_DIR",
    "SHAPES",
    "SHAPES_DIR",
    "Answers",
    "find_node",
    "install_app",
    "snapshot_files",
    "snapshot_folder",
    "start_app",
]

ROOT = Path(__file__).parents[2]
SHAPES_DIR = ROOT / "tests" / "samples" / "running"
MODELS_DIR = ROOT / "samples" / "apps" / "models"
SHAPES = tuple(sorted(entry.name for entry in SHAPES_DIR.iterdir() if entry.is_dir()))
LIMITS = SourceLimits(files_count=1_000, total_bytes=10_000_000, file_bytes=1_000_000)
PROBER = Path(__file__).parent / "probers" / "start_and_ask.py"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a started app answered."""

    statuses: Mapping[str, int | None]
    """By component and path; None: no answer."""
    bodies: Mapping[str, str]
    exit_codes: Mapping[str, int | None]
    """By component; None: it still ran."""
    log: str


def snapshot_folder(folder: Path, tmp_path: Path) -> SourceSnapshot:
    """Return a snapshot of a folder."""
    return take_snapshot(folder, tmp_path / "snapshots", LIMITS, name=folder.name)


def snapshot_files(files: Mapping[str, str], tmp_path: Path) -> SourceSnapshot:
    """Return a snapshot of files made up for a test."""
    folder = tmp_path / "source"
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return snapshot_folder(folder, tmp_path)


def find_node() -> Path | None:
    """Return the machine's Node.js."""
    found = shutil.which("node")
    return Path(found).resolve() if found else None


async def install_app(
    snapshot: SourceSnapshot, environments_dir: Path
) -> tuple[Recipe, dict[str, AppEnvironment]]:
    """Return how an app starts and what it runs in."""
    recipe = find_recipe(snapshot)
    assert recipe is not None
    environments = {
        component.name: await ensure_environment(
            component, snapshot, environments_dir=environments_dir, node=find_node(), timeout_s=240
        )
        for component in recipe.components
    }
    return recipe, environments


async def start_app(
    snapshot: SourceSnapshot,
    environments_dir: Path,
    tmp_path: Path,
    *,
    asked: Mapping[str, Sequence[str]],
    wait_s: float = 20,
) -> Answers:
    """Start all components of an app in one sandbox, ask each for some paths, and end them.

    Args:
        snapshot: The app.
        environments_dir: Where environments lie.
        tmp_path: Room for its workspace.
        asked: Paths by component; the first one is waited for.
        wait_s: How long for its first answer below 500.
    """
    recipe, environments = await install_app(snapshot, environments_dir)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    prepare_workspace(snapshot, workspace, environments, recipe.components)
    ports = {
        component.name: component.port or 5900 + place for place, component in enumerate(recipe.components)
    }
    words = {"host": "127.0.0.1", "backend_url": f"http://127.0.0.1:{ports.get('backend', 0)}"}
    steps = [
        _make_step(
            component, environments[component.name], workspace, {**words, "port": str(ports[component.name])}
        )
        | {
            "name": component.name,
            "port": ports[component.name],
            "paths": list(asked.get(component.name, ())),
        }
        for component in recipe.components
    ]
    output_dir = tmp_path / "output"
    output_dir.mkdir()
    any_python = await ensure_environment(
        Component(name="prober", kind="static", framework="", folder="", argv=("python",)),
        snapshot,
        environments_dir=environments_dir,
        node=None,
        timeout_s=1,
    )
    shown = dict.fromkeys(path for one in (any_python, *environments.values()) for path in one.read_only)
    result = await run_command(
        Command(
            label="app",
            argv=(str(any_python.program), str(PROBER)),
            working_dir=workspace,
            read_only=(PROBER.parent, *shown),
            writable=(workspace,),
            stdin=json.dumps({"wait_s": wait_s, "steps": steps}).encode(),
        ),
        Limits(wall_s=150, processes_count=256, open_files_count=4096),
        output_dir,
    )
    log = result.stderr_path.read_text("utf-8", errors="replace")
    assert (result.end, result.exit_code) == ("exited", 0), log
    return Answers(**json.loads(result.stdout_path.read_text("utf-8")), log=log)


def _make_step(
    component: Component, environment: AppEnvironment, workspace: Path, words: Mapping[str, str]
) -> dict[str, object]:
    return {
        "commands": [
            [str(environment.program), *(_fill(word, words) for word in argv[1:])]
            for argv in (*component.build, component.argv)
        ],
        "folder": str(workspace / component.folder),
        "environment": {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "PYTHONUNBUFFERED": "1",
            **environment.variables,
            "HOST": words["host"],
            "PORT": words["port"],
            **{name: _fill(value, words) for name, value in component.environment.items()},
        },
    }


def _fill(text: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text
