"""The ``node_modules`` of a Node.js component, made by npm without running any package's script."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from referee.apps.environments_clients import ClientAnswer, ClientRun
from referee.apps.environments_contract import DependenciesFailed
from referee.apps.recipes_contract import Dependencies
from referee.apps.recipes_reading import name_of
from referee.core.sources import SourceSnapshot
from referee.tools.install import node_folders, unique_folders

__all__ = ["install_node", "list_node_folders"]

_TABLES: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_KEPT: Final = (*_TABLES, "name", "version", "overrides")
"""What npm needs of a ``package.json``; scripts, workspaces and configuration stay behind."""
_FLAGS: Final = (
    "--ignore-scripts",
    "--include=dev",
    "--no-audit",
    "--no-fund",
    "--no-progress",
    "--no-update-notifier",
    "--logs-max=0",
    # A lock file may name any host; packages come from the user's registry all the same.
    "--replace-registry-host=always",
    "--allow-git=none",
    "--allow-remote=none",
    "--allow-file=none",
    "--allow-directory=none",
)
_MAX_LOCK_BYTES: Final = 16 * 1024 * 1024
_REGISTRY_SPEC: Final = re.compile(r"(npm:(@[\w.~-]+/)?[\w.~-]+(@[^:/]*)?|[^:/]*)")
"""A range of versions or an alias of a package of the registry: without colon and slash, which addresses have."""
_NPM_BESIDE_NODE: Final = "lib/node_modules/npm/bin/npm-cli.js"


async def install_node(
    run: ClientRun, dependencies: Dependencies, snapshot: SourceSnapshot, node: Path
) -> tuple[str, ...]:
    """Make a ``node_modules`` in the staging folder and return notices.

    Raises:
        DependenciesFailed: They cannot be installed.
    """
    (run.staging / "package.json").write_text(_make_manifest(dependencies, snapshot), encoding="utf-8")
    lock = _find_lock(dependencies, snapshot)
    if lock is not None:
        (run.staging / "package-lock.json").write_bytes(lock)
    npm = _find_npm(node)
    read_only = (*list_node_folders(node), *unique_folders((npm.parents[1],)))
    variables = {"npm_config_cache": str(run.cache_dir)}

    async def ask(*words: str) -> ClientAnswer:
        argv = (str(node), str(npm), *words, *_FLAGS)
        return await run.run(f"npm-{words[0]}", argv, read_only=read_only, variables=variables)

    notices: list[str] = []
    answer = await ask("ci" if lock is not None else "install")
    if answer.exit_code != 0 and _can_be_loosened(answer, has_lock=lock is not None):
        notices.append(_explain_loosening(answer))
        (run.staging / "package-lock.json").unlink(missing_ok=True)
        answer = await ask("install", "--legacy-peer-deps")
    if answer.exit_code != 0:
        raise DependenciesFailed(_find_reason(answer), answer.last_lines)
    if lock is None:
        notices.append("There is no lock file: the versions are those of the day of the first installation.")
    (run.staging / "node_modules").mkdir(exist_ok=True)
    return tuple(notices)


def list_node_folders(node: Path) -> tuple[Path, ...]:
    """Return what the sandbox must show for a Node.js program."""
    return unique_folders(node_folders(node))


def _make_manifest(dependencies: Dependencies, snapshot: SourceSnapshot) -> str:
    """Return a ``package.json`` with what the app asks for and nothing else of its own."""
    path = next(path for path in dependencies.files if name_of(path) == "package.json")
    data = _load(snapshot, path)
    kept: dict[str, object] = {key: data[key] for key in _KEPT if key in data}
    for name, spec in _list_specs(kept):
        if not _REGISTRY_SPEC.fullmatch(spec) or spec.startswith("."):
            raise DependenciesFailed(f"{path} takes {name[:100]} from {spec[:100]!r}, not from the registry.")
    return json.dumps({"private": True, **kept})


def _list_specs(kept: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key in _TABLES:
        table = kept.get(key)
        for name, spec in table.items() if isinstance(table, dict) else ():
            yield name, spec if isinstance(spec, str) else ":"
    waiting = [kept.get("overrides")]
    while waiting:
        table = waiting.pop()
        for name, spec in table.items() if isinstance(table, dict) else ():
            if isinstance(spec, dict):
                waiting.append(spec)
            else:
                yield name, spec if isinstance(spec, str) else ":"


def _find_lock(dependencies: Dependencies, snapshot: SourceSnapshot) -> bytes | None:
    """Return the lock file as bytes, once every package in it is known to come from a registry."""
    path = next((path for path in dependencies.files if name_of(path) != "package.json"), None)
    if path is None:
        return None
    data = _load(snapshot, path)
    packages = data.get("packages")
    if not isinstance(packages, dict):
        return None  # the form of npm 6, which `npm ci` would have to translate with the network's help
    for name, entry in packages.items():
        if not name:
            continue
        resolved = entry.get("resolved", "") if isinstance(entry, dict) else ""
        is_outside = not isinstance(resolved, str) or (
            resolved and not resolved.startswith(("https://", "http://"))
        )
        if not isinstance(entry, dict) or entry.get("link") or is_outside or not _is_module_path(name):
            raise DependenciesFailed(f"{path} takes {name[:100]!r} from outside of the registry.")
    return json.dumps(data).encode()


def _is_module_path(name: str) -> bool:
    return name.startswith("node_modules/") and ".." not in name.split("/")


def _load(snapshot: SourceSnapshot, path: str) -> dict[str, object]:
    with (snapshot.root / path).open("rb") as file:
        data = file.read(_MAX_LOCK_BYTES + 1)
    if len(data) > _MAX_LOCK_BYTES:
        raise DependenciesFailed(f"{path} is longer than {_MAX_LOCK_BYTES:,} bytes.")
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise DependenciesFailed(f"{path} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise DependenciesFailed(f"{path} holds no object.")
    return value


def _find_npm(node: Path) -> Path:
    beside = node.resolve().parents[1] / _NPM_BESIDE_NODE
    if beside.is_file():
        return beside
    found = shutil.which("npm")
    script = Path(found).resolve() if found else None
    if script is None or script.suffix != ".js":
        raise DependenciesFailed("There is no npm beside Node.js, so nothing can be installed for it.")
    return script


def _can_be_loosened(answer: ClientAnswer, *, has_lock: bool) -> bool:
    text = "\n".join(answer.said)
    return "ERESOLVE" in text or (has_lock and ("EUSAGE" in text or "in sync" in text))


def _explain_loosening(answer: ClientAnswer) -> str:
    if "ERESOLVE" in "\n".join(answer.said):
        return "Packages disagree about their peers; npm needed --legacy-peer-deps."
    return "The lock file does not fit package.json; npm chose the versions, with --legacy-peer-deps."


def _find_reason(answer: ClientAnswer) -> str:
    text = "\n".join(answer.said)
    if "E404" in text or "ETARGET" in text:
        return "The registry does not have a package or version that the app asks for."
    return f"npm could not install them (exit code {answer.exit_code})."
