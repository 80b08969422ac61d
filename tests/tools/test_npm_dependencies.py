"""Reading npm dependency files: what npm, yarn and pnpm wrote for the same package.json, and hostile ones."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from referee.core.sources import SourceFile, SourceSnapshot
from referee.tools.dependencies import Dependencies, find_npm_dependencies

SAMPLES = Path(__file__).parents[1] / "samples" / "npm-advisories" / "1"
DIRECT = {
    ("lodash", "4.17.20"),
    ("lodash", "4.17.11"),
    ("express", "4.17.1"),
    ("minimist", "1.2.5"),
    ("vite", "4.0.0"),
    ("@types/ws", "8.5.3"),
}


def read(root: Path, files: dict[str, str | bytes]) -> Dependencies:
    listed = []
    for path, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        listed.append(SourceFile(path, len(data), hashlib.sha256(data).hexdigest(), "json"))
    return find_npm_dependencies(SourceSnapshot(root=root, source_digest="", files=tuple(listed)))


def sample(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [
        ("package-lock.json", "package-lock-v3.json", 93),
        ("package-lock.json", "package-lock-v1.json", 93),
        ("npm-shrinkwrap.json", "package-lock-v3.json", 93),
        ("yarn.lock", "yarn-v1.lock", 95),
        ("yarn.lock", "yarn-v10.lock", 115),
        ("pnpm-lock.yaml", "pnpm-lock-v9.yaml", 95),
    ],
)
def test_every_package_of_a_real_lock_file_is_read(tmp_path: Path, name: str, file: str, count: int) -> None:
    found = read(tmp_path, {name: sample(file), "package.json": sample("package.json")})
    assert len({(one.name, one.version) for one in found.declarations}) == count
    assert {(one.name, one.version) for one in found.declarations} >= DIRECT
    assert found.holes == []


def test_a_finding_can_name_the_line_of_the_lock_file(tmp_path: Path) -> None:
    text = sample("package-lock-v3.json")
    found = read(tmp_path, {"package-lock.json": text})
    (place,) = [one for one in found.declarations if one.name == "minimist"]
    assert '"node_modules/minimist"' in text.splitlines()[(place.line or 0) - 1]


def test_without_a_lock_only_exact_versions_of_package_json_are_judged(tmp_path: Path) -> None:
    found = read(tmp_path, {"package.json": sample("package.json").replace('"4.17.20"', '"^4.17.20"')})
    assert {(one.name, one.version) for one in found.declarations} == {
        ("express", "4.17.1"), ("minimist", "1.2.5"), ("vite", "4.0.0"), ("@types/ws", "8.5.3"),
    }  # fmt: skip
    assert {hole.name for hole in found.holes} == {"lodash ^4.17.20", "my-lodash npm:lodash@4.17.11"}


def test_the_lock_of_a_workspace_root_stands_for_its_packages(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "package.json": '{"workspaces": ["packages/*"]}',
        "package-lock.json": '{"lockfileVersion": 3, "packages": {"packages/a": {"version": "1.0.0"}, '
        '"node_modules/a": {"link": true}, "node_modules/ws": {"version": "8.0.0"}}}',
        "packages/a/package.json": '{"dependencies": {"ws": "^8.0.0"}}',
    }
    found = read(tmp_path, files)
    assert [(one.name, one.version) for one in found.declarations] == [("ws", "8.0.0")]
    assert found.holes == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("package-lock.json", b"{", "not JSON"),
        ("package-lock.json", b"[]", "not a JSON object"),
        ("package-lock.json", b"[" * 200_000, "nested too deeply"),
        ("package-lock.json", b'{"a": 1' + b"0" * 10_000 + b"}", "not JSON"),
        ("package-lock.json", b"\x00", "binary, not text"),
        ("package.json", b"null", "not a JSON object"),
        ("pnpm-lock.yaml", b"&a [*a]", "not a pnpm lock file"),
        ("yarn.lock", b"   just text", "not a yarn lock file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_hole(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    found = read(tmp_path, {name: content})
    assert [(hole.name, hole.kind, hole.reason) for hole in found.holes] == [(name, "unreadable", reason)]


def test_a_damaged_lock_does_not_hide_the_manifest(tmp_path: Path) -> None:
    found = read(tmp_path, {"package-lock.json": "{", "package.json": '{"dependencies": {"ws": "8.0.0"}}'})
    assert [(one.name, one.path) for one in found.declarations] == [("ws", "package.json")]
    assert found.unreadable_count == 1


def test_wrong_types_and_hostile_names_become_holes(tmp_path: Path) -> None:
    lock = {
        "packages": {
            "node_modules/a": {"version": 5}, "node_modules/b": [], "node_modules/../../etc": {"version": "1.0.0"},
            "node_modules/\u202e": {"version": "1.0.0"}, "node_modules/c": {"version": "1.0.0", "name": ["x"]},
            "node_modules/d": {"version": "git+ssh://host/d.git"}, "node_modules/ok": {"version": "1.0.0"},
        }
    }  # fmt: skip
    found = read(tmp_path, {"package-lock.json": json.dumps(lock)})
    assert [(one.name, one.version) for one in found.declarations] == [("ok", "1.0.0")]
    assert found.skipped_count + found.unreadable_count == 5


def test_dependencies_nested_beyond_reason_are_cut_and_told(tmp_path: Path) -> None:
    inner: dict[str, object] = {}
    for _ in range(300):
        inner = {"x": {"version": "1.0.0", "dependencies": inner}}
    found = read(tmp_path, {"package-lock.json": json.dumps({"dependencies": inner})})
    assert [hole.reason for hole in found.holes] == ["dependencies nested more than 200 deep"]


def test_a_version_of_very_many_digits_is_read_at_once(tmp_path: Path) -> None:
    started = time.process_time()
    read(tmp_path, {"pnpm-lock.yaml": "lockfileVersion: 9\npackages:\n  a@1.1." + "1" * 200_000})
    assert time.process_time() - started < 3


def test_a_huge_lock_is_read_in_seconds_and_beyond_the_limit_told(tmp_path: Path) -> None:
    packages = {f"node_modules/p{number}": {"version": "1.0.0"} for number in range(60_000)}
    started = time.process_time()
    found = read(tmp_path, {"package-lock.json": json.dumps({"packages": packages}, indent=1)})
    assert time.process_time() - started < 10
    assert (len(found.declarations), found.skipped_count) == (20_000, 40_000)
