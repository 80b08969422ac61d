"""npm packages of an app: from package-lock.json 1 to 3, and from package.json where no lock stands for it.

Lock files of yarn and pnpm give names and versions alone; the reader of the npm tools takes them.

Source:
    npm documentation, "package-lock.json" and "package.json"; W3C, "Subresource Integrity" for digests.
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from referee.apps.bill_of_materials.contract import (
    MAX_LINKS_COUNT,
    Archive,
    Bill,
    PackageKey,
    Use,
    read_digest,
)
from referee.core.sources import SourceSnapshot
from referee.tools.advisories.versions import is_exact_npm_version
from referee.tools.dependencies import find_npm_dependencies
from referee.tools.dependencies.model import ManifestUnreadable, read_manifest

__all__ = ["read_npm_packages"]

_MAX_LOCK_BYTES: Final = 16_000_000
_MAX_DEPTH: Final = 200
"""Nesting of ``dependencies`` in a lock of version 1."""
_MAX_PLACE_CHARACTERS: Final = 2_000
_MAX_NESTING: Final = 40
"""Folders ``node_modules`` in one another: npm puts packages as high as it can and stays far below."""
_LOCKS: Final = ("package-lock.json", "npm-shrinkwrap.json")
_INSIDE: Final = "node_modules/"
_GROUPS: Final = {
    "dependencies": Use.required,
    "optionalDependencies": Use.optional,
    "devDependencies": Use.development,
}
_NEEDS: Final = ("dependencies", "optionalDependencies", "peerDependencies")
_PATHS: Final = ("file:", "link:", "workspace:", "portal:", ".", "/", "~/")
_ADDRESSES: Final = ("http:", "https:", "git", "github:", "gitlab:", "bitbucket:", "gist:")


def read_npm_packages(snapshot: SourceSnapshot, bill: Bill) -> None:
    """Take over what the npm dependency files of an app name."""
    others: list[str] = []
    for path in find_npm_dependencies(snapshot).files:
        name = posixpath.basename(path)
        if name in _LOCKS:
            _read(snapshot, path, bill, is_lock=True)
        elif name == "package.json":
            bill.loose_files.append(path)
            _read(snapshot, path, bill, is_lock=False)
        else:
            others.append(path)
    rest = replace(snapshot, files=tuple(snapshot.by_path[path] for path in others))
    found = find_npm_dependencies(rest)
    bill.files += others
    bill.loose_files += others  # what these packages need in turn is not read
    for one in found.declarations:
        bill.add("npm", one.name, one.version, one.path, is_direct=True)
    for hole in found.holes:
        bill.note_gap(hole.name, hole.reason)


def _read(snapshot: SourceSnapshot, path: str, bill: Bill, *, is_lock: bool) -> None:
    bill.files.append(path)
    try:
        text = read_manifest(snapshot, snapshot.by_path[path], limit_bytes=_MAX_LOCK_BYTES)
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ManifestUnreadable("not a JSON object")
        if is_lock:
            beside = snapshot.by_path.get(posixpath.join(posixpath.dirname(path), "package.json"))
            manifest = None if beside is None else json.loads(read_manifest(snapshot, beside))
            _read_lock(document, _object(manifest), path, bill)
        else:
            _read_manifest(document, path, bill)
    except ManifestUnreadable as error:
        bill.note_gap(path, str(error))
    except ValueError:
        bill.note_gap(path, "not JSON")
    except RecursionError:
        bill.note_gap(path, "nested too deeply")


def _read_manifest(document: Mapping[str, Any], path: str, bill: Bill) -> None:
    for group, use in _GROUPS.items():
        for name, wanted in _object(document.get(group)).items():
            if not isinstance(wanted, str):
                bill.note_gap(path, f"{group} asks for something that is no text")
            elif is_exact_npm_version(wanted):
                bill.add("npm", name, wanted.strip().lstrip("=v"), path, use=use, is_direct=True)
            elif not wanted.startswith("workspace:"):
                origin = _find_origin(wanted)
                said = "" if origin else wanted  # an address may hold a password
                bill.add("npm", name, None, path, use=use, wanted=said, origin=origin, is_direct=True)


def _read_lock(document: Mapping[str, Any], manifest: Mapping[str, Any], path: str, bill: Bill) -> None:
    packages = document.get("packages")
    if isinstance(packages, dict):
        entries = {key: entry for key, entry in packages.items() if isinstance(entry, dict)}
    else:
        entries = {"": dict(manifest)} | dict(_flatten(document, path, bill))
        if not manifest:
            bill.note_gap(
                path, "package.json is not beside it, so which packages the app itself asks for is not known"
            )
    keys: dict[str, PackageKey] = {}
    for place, entry in entries.items():
        if len(place) > _MAX_PLACE_CHARACTERS or place.count(_INSIDE) > _MAX_NESTING:
            bill.note_gap(path, f"packages are nested more than {_MAX_NESTING} deep")
        elif _INSIDE in place and not entry.get("link"):
            key = _add_entry(place, entry, path, bill)
            if key is not None:
                keys[place] = key
    _link_entries(entries, keys, path, bill)


def _link_entries(
    entries: Mapping[str, Mapping[str, Any]], keys: Mapping[str, PackageKey], path: str, bill: Bill
) -> None:
    """Note who needs whom, and what the app itself asks for."""
    needs_count = 0
    for place, entry in entries.items():
        if place not in keys and (_INSIDE in place or len(place) > _MAX_PLACE_CHARACTERS):
            continue
        for name in _list_needs(entry, _NEEDS if place in keys else (*_GROUPS,)):
            needs_count += 1
            if needs_count > MAX_LINKS_COUNT:
                bill.note_gap(path, f"packages need one another more than {MAX_LINKS_COUNT:,} times")
                return
            needed = _resolve(place, name, keys)
            if needed is None:
                continue
            if place in keys:
                bill.link(keys[place], needed, path)
            else:  # the app itself, or a workspace of it
                bill.direct.add(needed)


def _add_entry(place: str, entry: Mapping[str, Any], path: str, bill: Bill) -> PackageKey | None:
    name: object = entry.get("name") or place.rsplit(_INSIDE, 1)[1]
    version, resolved = entry.get("version"), entry.get("resolved")
    if isinstance(version, str) and version.startswith("npm:") and "@" in version[5:]:
        name, _, version = version[4:].rpartition("@")  # an alias: "npm:lodash@4.17.20"
    origin = _find_origin(version) if isinstance(version, str) else ""
    if isinstance(resolved, str) and not origin and not resolved.startswith(("http:", "https:")):
        origin = _find_origin(resolved)
    if origin and isinstance(version, str) and not is_exact_npm_version(version):
        version = None
    use = Use.required
    if entry.get("dev") is True:
        use = Use.development
    elif entry.get("optional") is True or entry.get("devOptional") is True:
        use = Use.optional
    return bill.add(
        "npm", name, version, path, use=use, origin=origin, archives=_read_integrity(entry.get("integrity"))
    )


def _flatten(document: Mapping[str, Any], path: str, bill: Bill) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the nested entries of a lock of version 1 as those of version 3: by place, with what they need."""
    waiting: list[tuple[str, Mapping[str, Any], int]] = [("", _object(document.get("dependencies")), 0)]
    while waiting:
        parent, entries, depth = waiting.pop()
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                continue
            place = f"{parent}{_INSIDE}{name}"
            if len(place) > _MAX_PLACE_CHARACTERS:
                bill.note_gap(path, f"packages are nested more than {_MAX_NESTING} deep")
                continue
            yield place, {**entry, "dependencies": _object(entry.get("requires"))}
            if depth < _MAX_DEPTH:
                waiting.append((f"{place}/", _object(entry.get("dependencies")), depth + 1))
            elif entry.get("dependencies"):
                bill.note_gap(path, f"dependencies nested more than {_MAX_DEPTH} deep")


def _resolve(place: str, name: str, keys: Mapping[str, PackageKey]) -> PackageKey | None:
    """Return the package that ``name`` means at a place: in its own folder, or the nearest one above."""
    while True:
        prefix = f"{place}/" if place else ""
        found = keys.get(f"{prefix}{_INSIDE}{name}")
        if found is not None or not place:
            return found
        head, separator, _ = place.rpartition(_INSIDE)
        # A workspace is no package: above it is the root.
        place = head.rstrip("/") if separator else ""


def _list_needs(entry: Mapping[str, Any], groups: Iterable[str]) -> list[str]:
    return [name for group in groups for name in _object(entry.get(group))]


def _read_integrity(value: object) -> list[Archive]:
    """Return the digests of a Subresource Integrity text."""
    found = []
    for one in value.split()[:10] if isinstance(value, str) else ():
        algorithm, _, encoded = one.partition("-")
        try:
            digest = base64.b64decode(encoded.partition("?")[0], validate=True).hex()
        except (binascii.Error, ValueError):
            continue
        read = read_digest(algorithm, digest)
        if read is not None:
            found.append(Archive("", *read))
    return found


def _find_origin(wanted: str) -> str:
    """Return where a package comes from that is of no registry; empty for one of a registry."""
    if wanted.startswith("npm:"):
        return ""
    if wanted.startswith(_PATHS):
        return "path"
    if wanted.startswith(_ADDRESSES) or "://" in wanted:
        return "git" if "git" in wanted.partition(":")[0] else "address"
    return "git" if wanted.count("/") == 1 and not wanted.startswith("@") else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
