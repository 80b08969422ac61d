"""What an app's components need installed: one environment per lock digest, made once and kept.

::

    <environments_dir>/python/<key>/   a virtual environment, whole as soon as it has its name
    <environments_dir>/node/<key>/     a folder with node_modules
    <environments_dir>/.cache/         what uv and npm have fetched; may be removed at any time

The key names the dependencies' digest, the packages besides and the interpreter, so apps
that ask for the same share one environment. It is read-only to them: nothing that an app
does while it runs can reach another app.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from referee.apps.environments_clients import ClientRun, read_client_configuration
from referee.apps.environments_contract import AppEnvironment, DependenciesFailed
from referee.apps.environments_node import install_node, list_node_folders
from referee.apps.environments_python import base_python, install_python, python_folders
from referee.apps.recipes import Component, Dependencies
from referee.apps.recipes_reading import join_path
from referee.core.errors import StorageFull, Unavailable
from referee.core.ids import new_id
from referee.core.sources import SourceSnapshot
from referee.tools.install import unique_folders
from referee.tools.staging import staging_folder, taking_lock

__all__ = [
    "MAX_ENVIRONMENT_BYTES",
    "AppEnvironment",
    "DependenciesFailed",
    "ensure_environment",
    "prepare_workspace",
    "sweep_environments",
]

MAX_ENVIRONMENT_BYTES: Final = 2 * 1024**3
"""Enough for a web app with a scientific stack, not for a machine learning one with its drivers."""
_FOLDERS: Final[Mapping[str, str]] = {"uv": "python", "npm": "node"}
_RECORD_NAME: Final = "referee-environment.json"
_SWEEP_AGE_S: Final = 3_600.0
"""An environment used within the last hour is never swept: somebody may be about to start in it."""


async def ensure_environment(
    component: Component,
    snapshot: SourceSnapshot,
    *,
    environments_dir: Path,
    node: Path | None,
    timeout_s: float,
    max_bytes: int = MAX_ENVIRONMENT_BYTES,
    environment: Mapping[str, str] | None = None,
) -> AppEnvironment:
    """Return the environment of a component, installing it in the sandbox first if need be. Idempotent.

    Args:
        component: What will run in it.
        snapshot: The app's source, which holds the dependency files.
        environments_dir: Where environments lie; made when absent.
        node: The Node.js program, None where there is none.
        timeout_s: Longest time for an installation, waiting for another one included. Seconds.
        max_bytes: Largest environment that is kept.
        environment: Variables of the user, for the package clients only; those of this process by default.

    Raises:
        DependenciesFailed: They cannot be installed; nothing half-made is left.
        Unavailable: The folder cannot be written.
    """
    if component.kind == "node" and node is None:
        raise DependenciesFailed("There is no Node.js here, which the component needs.")
    dependencies = component.dependencies
    if dependencies is None:
        return _describe(component, None, node, ())
    environments_dir = environments_dir.absolute()
    root = environments_dir / _FOLDERS[dependencies.manager] / _key_of(dependencies)
    try:
        if not root.is_dir():
            async with asyncio.timeout(timeout_s), staging_folder(root) as staging:
                if staging is not None:
                    run = ClientRun(
                        staging=staging,
                        cache_dir=_make_cache(environments_dir, dependencies),
                        configuration=await asyncio.to_thread(
                            read_client_configuration,
                            os.environ if environment is None else environment,
                            environments_dir,
                        ),
                        deadline_s=time.monotonic() + timeout_s,
                        max_bytes=max_bytes,
                    )
                    await _install(run, dependencies, snapshot, node)
        os.utime(root)
        notices = await asyncio.to_thread(_read_notices, root)
    except TimeoutError:
        raise DependenciesFailed(f"They could not be installed within {timeout_s:g} seconds.") from None
    except OSError as error:
        raise _not_made(error) from error
    return _describe(component, root, node, notices)


def prepare_workspace(
    snapshot: SourceSnapshot,
    workspace: Path,
    environments: Mapping[str, AppEnvironment],
    components: tuple[Component, ...],
) -> None:
    """Copy a snapshot into an empty folder that the app may write, with its ``node_modules`` in place. Blocking.

    ``node_modules`` is a real folder of links to the entries of the shared one, so that what
    programs write into it, such as ``.vite``, stays with the app.

    Args:
        snapshot: The app's source.
        workspace: An empty folder.
        environments: By component name.
        components: Those that will run in it.
    """
    places = {
        join_path(component.dependencies.folder, "node_modules"): shared
        for component in components
        if component.dependencies is not None
        and (shared := environments[component.name].node_modules) is not None
    }
    for file in snapshot.files:
        if any(file.path == place or file.path.startswith(f"{place}/") for place in places):
            continue
        target = workspace / file.path
        _make_folder(target.parent, workspace)
        shutil.copyfile(snapshot.root / file.path, target, follow_symlinks=False)
        target.chmod(0o644)
    for place, shared in places.items():
        folder = workspace / place
        _make_folder(folder, workspace)
        _link_entries(shared, folder)


def sweep_environments(
    environments_dir: Path, keep: Collection[Path], max_bytes: int, *, now_s: float | None = None
) -> int:
    """Remove the least recently used environments until all take at most ``max_bytes``. Blocking.

    If that is not enough, what the clients have cached goes too.

    Args:
        environments_dir: Where environments lie.
        keep: Paths inside of environments in use, such as the ``read_only`` of an ``AppEnvironment``.
        max_bytes: What environments and caches may take together.
        now_s: The time by which age is judged, in seconds since the epoch; the present by default.

    Returns:
        Environments removed. Count.
    """
    now_s = time.time() if now_s is None else now_s
    roots = [
        entry
        for kind in _FOLDERS.values()
        if (environments_dir / kind).is_dir()
        for entry in (environments_dir / kind).iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    caches = [environments_dir / ".cache" / kind for kind in _FOLDERS.values()]
    sizes = {folder: _measure(folder) for folder in (*roots, *caches)}
    total_bytes = sum(sizes.values())
    removed_count = 0
    for root in sorted(roots, key=lambda one: one.stat().st_mtime):
        if total_bytes <= max_bytes:
            return removed_count
        is_kept = any(path.absolute().is_relative_to(root.absolute()) for path in keep)
        if not is_kept and _remove(root, now_s):
            total_bytes -= sizes[root]
            removed_count += 1
    if total_bytes > max_bytes:
        for kind, cache in zip(_FOLDERS.values(), caches, strict=True):
            _remove_cache(environments_dir / kind, cache)
    return removed_count


async def _install(
    run: ClientRun, dependencies: Dependencies, snapshot: SourceSnapshot, node: Path | None
) -> None:
    if dependencies.manager == "npm":
        if node is None:
            raise DependenciesFailed("There is no Node.js here, which the component needs.")
        notices = await install_node(run, dependencies, snapshot, node)
    else:
        notices = await install_python(run, dependencies, snapshot)
    size_bytes = await asyncio.to_thread(_measure, run.staging)
    if size_bytes > run.max_bytes:
        raise DependenciesFailed(
            f"They take {size_bytes // 2**20} MiB; {run.max_bytes // 2**20} are allowed for one environment."
        )
    record = json.dumps({"notices": list(notices), "size_bytes": size_bytes})
    await asyncio.to_thread((run.staging / _RECORD_NAME).write_text, record, "utf-8")


def _key_of(dependencies: Dependencies) -> str:
    """The key names the runtime too: an environment is of no use to another interpreter."""
    if dependencies.manager == "uv":
        runtime = f"python {platform.python_version()} {sys.base_prefix}"
    else:
        runtime = f"node {platform.system()} {platform.machine()}"
    text = "\n".join((dependencies.digest, *dependencies.extra, runtime))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _describe(
    component: Component, root: Path | None, node: Path | None, notices: tuple[str, ...]
) -> AppEnvironment:
    if component.kind == "node" and node is not None:
        return AppEnvironment(
            program=node,
            read_only=(*((root,) if root else ()), *list_node_folders(node)),
            node_modules=root / "node_modules" if root else None,
            notices=notices,
        )
    if root is None:
        return AppEnvironment(program=base_python(), read_only=python_folders(), notices=notices)
    return AppEnvironment(
        program=root / "bin" / "python",
        read_only=unique_folders((root, *python_folders())),
        variables={"VIRTUAL_ENV": str(root)},
        notices=notices,
    )


def _make_cache(environments_dir: Path, dependencies: Dependencies) -> Path:
    cache = environments_dir / ".cache" / _FOLDERS[dependencies.manager]
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    return cache


def _read_notices(root: Path) -> tuple[str, ...]:
    try:
        record = json.loads((root / _RECORD_NAME).read_text("utf-8"))
    except ValueError:
        return ()
    return tuple(record["notices"])


def _measure(folder: Path) -> int:
    """Return the bytes of all files of a folder, each counted once however many names it has."""
    seen: set[tuple[int, int]] = set()
    total_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = (Path(parent) / name).lstat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total_bytes += status.st_size
    return total_bytes


def _remove(root: Path, now_s: float) -> bool:
    """Remove an environment unless it was used a moment ago. It loses its name before it loses its files."""
    doomed = root.with_name(f".swept-{new_id().hex}")
    try:
        if now_s - root.stat().st_mtime < _SWEEP_AGE_S:
            return False
        root.rename(doomed)
        if now_s - doomed.stat().st_mtime < _SWEEP_AGE_S:  # somebody has taken it up in this moment
            doomed.rename(root)
            return False
    except OSError:  # another sweep, or a new one in its place
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _remove_cache(folder: Path, cache: Path) -> None:
    with taking_lock(folder) as is_held:
        if is_held:  # else a client is at work in it
            shutil.rmtree(cache, ignore_errors=True)


def _make_folder(folder: Path, workspace: Path) -> None:
    """Make a folder below the workspace that the app can enter, whatever the umask."""
    missing = []
    while folder != workspace and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir()
        one.chmod(0o755)


def _link_entries(shared: Path, folder: Path) -> None:
    """Fill a folder with links to the entries of the shared one; scopes and ``.bin`` are folders of links."""
    for entry in sorted(shared.iterdir()):
        if entry.name.startswith("@") or entry.name == ".bin":
            inner = folder / entry.name
            inner.mkdir(mode=0o755)
            for one in sorted(entry.iterdir()):
                (inner / one.name).symlink_to(one)
        else:
            (folder / entry.name).symlink_to(entry)


def _not_made(error: OSError) -> Unavailable:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            "app.environment_disk_full", f"An environment could not be made: {reason}.", "Free space."
        )
    return Unavailable(
        "app.environment_not_made",
        f"An environment could not be made: {reason}.",
        "See to it that the folder of the apps' environments can be written.",
    )
