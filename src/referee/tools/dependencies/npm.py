"""Dependencies of JavaScript code: lock files of npm, yarn and pnpm, and package.json where there is no lock.

Only names, versions and lines are taken from a lock file. yarn's and pnpm's
are read line by line, as they are always written by their tools in one form;
no YAML is evaluated.

Source:
    npm documentation, "package-lock.json"; yarn.lock v1 and v2 or newer; pnpm-lock.yaml 5 to 9.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from referee.core.sources import SourceFile, SourceSnapshot
from referee.tools.advisories.versions import is_exact_npm_version
from referee.tools.dependencies.model import Declaration, Dependencies, ManifestUnreadable, read_manifest

__all__ = ["NPM_FILES", "find_npm_dependencies"]

NPM_FILES = "package-lock.json, npm-shrinkwrap.json, yarn.lock, pnpm-lock.yaml, package.json"
"""What is looked for, for people."""

MAX_LOCK_BYTES = 16_000_000
MAX_DEPTH = 200
"""Nesting of ``dependencies`` in a version 1 lock file; npm itself stays far below."""
_LOCK_NAMES = ("npm-shrinkwrap.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock")
"""Best first: npm uses a shrinkwrap file before a lock file."""

_NAME = r"(?:@[^/@\s\"']+/)?[^/@\s\"':]+"
_NAME_ONLY = re.compile(r"(?:@[a-zA-Z0-9._~-]+/)?[a-zA-Z0-9._~!'()*-]+")
_JSON_KEY = re.compile(r"\s*\"([^\"\\]{1,2000})\"\s*:\s*\{")
_YARN_KEY = re.compile(rf"\"?(?P<name>{_NAME})@(?P<range>[^\s\"].*)")
_YARN_VERSION = re.compile(r"\s+version:?\s+\"?(?P<version>[^\"\s]+)\"?\s*")
_YARN_ALIAS = re.compile(rf"npm:(?P<name>{_NAME})@")
_PNPM_KEY = re.compile(
    rf"  ['\"]?/?(?P<name>{_NAME})[@/](?P<version>\d++\.\d++\.\d++[^('\":_\s]*+)"
    r"(?:[(_][^:]*)?['\"]?:\s*(?:\{.*)?"
)
_PNPM_OTHER_KEY = re.compile(r"  (?P<key>\S.*):\s*(?:\{.*)?")
_MANIFEST_GROUPS = ("dependencies", "devDependencies", "optionalDependencies")


def find_npm_dependencies(snapshot: SourceSnapshot) -> Dependencies:
    """Return what the npm dependency files of an app declare."""
    found = Dependencies()
    readers = {
        "package-lock.json": _read_npm_lock,
        "npm-shrinkwrap.json": _read_npm_lock,
        "yarn.lock": _read_yarn_lock,
        "pnpm-lock.yaml": _read_pnpm_lock,
    }
    locked: set[str] = set()
    for name in _LOCK_NAMES:
        for file in snapshot.files_named(name):
            folder = posixpath.dirname(file.path)
            if folder in locked:
                continue  # a second package manager's lock of the same folder
            before = found.unreadable_count
            _read(snapshot, file, found, readers[name], MAX_LOCK_BYTES)
            if found.unreadable_count == before:
                locked.add(folder)
    workspaces = {folder for folder in locked if _is_workspace_root(snapshot, folder)}
    for file in snapshot.files_named("package.json"):
        folder = posixpath.dirname(file.path)
        if folder not in locked and not any(_is_below(folder, root) for root in workspaces):
            _read(snapshot, file, found, _read_manifest, MAX_LOCK_BYTES)
    return found


def _read(
    snapshot: SourceSnapshot, file: SourceFile, found: Dependencies, read: Any, limit_bytes: int
) -> None:
    found.files.append(file.path)
    try:
        read(read_manifest(snapshot, file, limit_bytes=limit_bytes), file.path, found)
    except ManifestUnreadable as error:
        found.fail(file.path, str(error))
    except RecursionError:
        found.fail(file.path, "nested too deeply")


def _is_workspace_root(snapshot: SourceSnapshot, folder: str) -> bool:
    if posixpath.join(folder, "pnpm-workspace.yaml") in snapshot.by_path:
        return True
    file = snapshot.by_path.get(posixpath.join(folder, "package.json"))
    if file is None:
        return False
    try:
        return "workspaces" in _load_object(read_manifest(snapshot, file))
    except (ManifestUnreadable, RecursionError):
        return False


def _is_below(folder: str, root: str) -> bool:
    return root == "" or folder.startswith(root + "/")


def _load_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ManifestUnreadable("not JSON") from error
    if not isinstance(document, dict):
        raise ManifestUnreadable("not a JSON object")
    return document


def _read_npm_lock(text: str, path: str, found: Dependencies) -> None:
    document = _load_object(text)
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _JSON_KEY.match(line):
            lines.setdefault(match[1], number)
    packages = document.get("packages")
    if isinstance(packages, dict):
        for key, entry in packages.items():
            if "node_modules/" in key and isinstance(entry, dict) and not entry.get("link"):
                name = entry.get("name") or key.rsplit("node_modules/", 1)[1]
                _add(name, entry, path, lines.get(key), found)
        return
    waiting: list[tuple[Mapping[str, Any], int]] = [(_object(document.get("dependencies")), 0)]
    while waiting:
        dependencies, depth = waiting.pop()
        for name, entry in dependencies.items():
            if not isinstance(entry, dict):
                continue
            _add(name, entry, path, lines.get(name), found)
            if depth < MAX_DEPTH:
                waiting.append((_object(entry.get("dependencies")), depth + 1))
            elif entry.get("dependencies"):
                found.fail(path, f"dependencies nested more than {MAX_DEPTH} deep")


def _add(name: object, entry: Mapping[str, Any], path: str, line: int | None, found: Dependencies) -> None:
    version = entry.get("version")
    if isinstance(version, str) and version.startswith("npm:") and "@" in version[5:]:
        name, _, version = version[4:].rpartition("@")  # an alias: "npm:lodash@4.17.20"
    _add_version(name, version, path, line, found)


def _add_version(name: object, version: object, path: str, line: int | None, found: Dependencies) -> None:
    if not isinstance(name, str) or _NAME_ONLY.fullmatch(name) is None:
        found.fail(f"{path}:{line or 1}", "a name that npm would not accept")
    elif isinstance(version, str) and is_exact_npm_version(version):
        found.add(Declaration(name, version.lstrip("=v"), path, line))
    else:
        found.skip(name, "skipped: comes from an address or a path, not from a registry")


def _read_yarn_lock(text: str, path: str, found: Dependencies) -> None:
    name, started_at = "", 0
    entries = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not line[0].isspace() and not line.startswith(("#", "__metadata")):
            match = _YARN_KEY.match(line)
            name, started_at = (match["name"], number) if match else ("", number)
            if match and (alias := _YARN_ALIAS.match(match["range"])):
                name = alias["name"]
            if match and match["range"].startswith("workspace:"):
                name = ""
            entries += 1
        elif name and (match := _YARN_VERSION.fullmatch(line)):
            _add_version(name, match["version"], path, started_at, found)
            name = ""
    if not entries and text.strip() and "# yarn lockfile v1" not in text:
        raise ManifestUnreadable("not a yarn lock file")


def _read_pnpm_lock(text: str, path: str, found: Dependencies) -> None:
    if re.search(r"^lockfileVersion:", text, re.MULTILINE) is None:
        raise ManifestUnreadable("not a pnpm lock file")
    is_inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not line[0].isspace():
            is_inside = line.startswith("packages:")
        elif is_inside and len(line) > 2 and line.startswith("  ") and line[2] not in " #":
            if match := _PNPM_KEY.fullmatch(line):
                _add_version(match["name"], match["version"], path, number, found)
            elif other := _PNPM_OTHER_KEY.fullmatch(line):
                found.skip(
                    other["key"].strip("'\""), "skipped: comes from an address or a path, not from a registry"
                )


def _read_manifest(text: str, path: str, found: Dependencies) -> None:
    document = _load_object(text)
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        for match in re.finditer(r"\"([^\"\\]{1,300})\"\s*:\s*\"", line):
            lines.setdefault(match[1], number)
    for group in _MANIFEST_GROUPS:
        for name, wanted in _object(document.get(group)).items():
            if isinstance(wanted, str) and is_exact_npm_version(wanted):
                _add_version(name, wanted, path, lines.get(name), found)
            else:
                found.skip(
                    f"{name} {wanted}", "skipped: not pinned to one version, and there is no lock file"
                )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
