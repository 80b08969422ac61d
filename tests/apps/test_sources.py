"""A snapshot holds what is there, says what is not, and cannot be led out of its folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.apps import SourceLimits, load_snapshot, render_listing, sweep_snapshots, take_snapshot
from referee.apps.languages import classify_content, classify_folder, language_of
from referee.apps.sources import printable_name
from referee.core.errors import InvalidInput, NotFound, PayloadTooLarge
from referee.core.sources import SourceSnapshot

WIDE = SourceLimits(files_count=1_000, total_bytes=10_000_000, file_bytes=1_000_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


def write(source: Path, name: str, data: bytes = b"x = 1\n") -> Path:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def excluded(snapshot: SourceSnapshot) -> dict[str, tuple[str, int]]:
    return {entry.path: (entry.reason, entry.files_count) for entry in snapshot.excluded}


def test_snapshot_holds_the_bytes_with_digest_and_language(source: Path, snapshots: Path) -> None:
    write(source, "backend/app.py", b"print('hi')\n")
    write(source, "frontend/src/App.jsx", b"export default 1\n")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [(file.path, file.size_bytes, file.language) for file in snapshot.files] == [
        ("backend/app.py", 12, "python"),
        ("frontend/src/App.jsx", 17, "jsx"),
    ]
    assert (snapshot.root / "backend/app.py").read_bytes() == b"print('hi')\n"
    assert snapshot.root == snapshots / snapshot.source_digest
    assert snapshot.name == "demo"


def test_digest_depends_on_paths_and_bytes_only(source: Path, snapshots: Path, tmp_path: Path) -> None:
    write(source, "a.py")
    write(source, "b/c.py")
    other = tmp_path / "elsewhere"
    write(other, "b/c.py")
    os.utime(write(other, "a.py"), (1, 1))
    first = take_snapshot(source, snapshots, WIDE, name="one")
    again = take_snapshot(other, snapshots, WIDE, name="two")
    assert first.source_digest == again.source_digest
    assert [path.name for path in snapshots.iterdir()] == [first.source_digest]


@pytest.mark.parametrize(("name", "data"), [("a.py", b"x = 2\n"), ("b.py", b"x = 1\n")])
def test_digest_changes_with_a_byte_and_with_a_name(
    source: Path, snapshots: Path, tmp_path: Path, name: str, data: bytes
) -> None:
    write(source, "a.py")
    write(tmp_path / "other", name, data)
    first = take_snapshot(source, snapshots, WIDE, name="demo")
    other = take_snapshot(tmp_path / "other", snapshots, WIDE, name="demo")
    assert first.source_digest != other.source_digest


def test_copy_cannot_be_changed_by_its_reader_and_does_not_follow_the_source(
    source: Path, snapshots: Path
) -> None:
    write(source, "a.py", b"before\n")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    write(source, "a.py", b"after\n")
    assert (snapshot.root / "a.py").read_bytes() == b"before\n"
    assert (snapshot.root / "a.py").stat().st_mode & 0o222 == 0


def test_links_lead_nowhere_and_are_counted(source: Path, snapshots: Path, tmp_path: Path) -> None:
    write(tmp_path, "secret.py", b"secret\n")
    write(source, "a.py")
    (source / "file.py").symlink_to(tmp_path / "secret.py")
    (source / "folder").symlink_to(tmp_path)
    (source / "loop").symlink_to("loop")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == ["a.py"]
    assert excluded(snapshot) == dict.fromkeys(("file.py", "folder", "loop"), ("symlink", 1))


def test_pipes_and_sockets_are_left_out_without_waiting(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    os.mkfifo(source / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(source, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/socket.py")
        os.close(folder)
        snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert excluded(snapshot) == {"pipe.py": ("special_file", 1), "socket.py": ("special_file", 1)}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"two words.py", "two words.py"),
        (b"-rf", "-rf"),
        (b"new\nline.py", "new%0Aline.py"),
        (b"tab\there.py", "tab%09here.py"),
        (b"caf\xe9.py", "caf%E9.py"),
        ("café.py".encode(), "café.py"),
        (b"100%.py", "100%25.py"),
        (b"esc\x1b[31m.py", "esc%1B[31m.py"),
        (b"$(reboot).py", "$(reboot).py"),
        ("\u202eyp.py".encode(), "%E2%80%AEyp.py"),
    ],
)
def test_hostile_names_become_printable_paths(source: Path, snapshots: Path, name: bytes, path: str) -> None:
    Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(b"x = 1\n")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == [path]
    assert (snapshot.root / path).read_bytes() == b"x = 1\n"


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_printable_names_are_printable_and_differ_when_names_do(one: bytes, other: bytes) -> None:
    assert printable_name(one).isprintable()
    assert (printable_name(one) == printable_name(other)) == (one == other)


def test_vendored_generated_and_version_controlled_folders_are_left_out_and_counted(
    source: Path, snapshots: Path
) -> None:
    for name in (
        "app.py",
        "node_modules/a/index.js",
        "node_modules/a/b.js",
        ".git/config",
        "__pycache__/a.pyc",
        "dist/x.js",
    ):
        write(source, name)
    write(source, "environment/pyvenv.cfg")
    write(source, "environment/lib/site.py")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == ["app.py"]
    assert excluded(snapshot) == {
        ".git": ("version_control", 1),
        "__pycache__": ("generated", 1),
        "dist": ("generated", 1),
        "environment": ("vendored", 2),
        "node_modules": ("vendored", 2),
    }


def test_package_that_is_called_build_is_source(source: Path, snapshots: Path) -> None:
    write(source, "build/__init__.py")
    write(source, "build/steps.py")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == ["build/__init__.py", "build/steps.py"]


def test_minified_binary_and_large_files_are_left_out_with_the_reason(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    write(source, "app.min.js")
    write(source, "bundled.js", b"var a=1;" * 2_000)
    write(source, "data.py", b"\0\1\2")
    write(source, "long.py", b"# " + b"x" * 200_000)
    write(source, "huge.py", b"x" * (WIDE.file_bytes + 1))
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == ["a.py", "long.py"]
    assert excluded(snapshot) == {
        "app.min.js": ("minified", 1),
        "bundled.js": ("minified", 1),
        "data.py": ("binary", 1),
        "huge.py": ("too_large", 1),
    }


def test_file_as_large_as_the_limit_is_kept_whole(source: Path, snapshots: Path) -> None:
    write(source, "a.py", b"#" * WIDE.file_bytes)
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert snapshot.files[0].size_bytes == WIDE.file_bytes


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (SourceLimits(files_count=2, total_bytes=1_000, file_bytes=1_000), "source.too_many_files"),
        (SourceLimits(files_count=9, total_bytes=15, file_bytes=1_000), "source.too_large"),
    ],
)
def test_too_much_is_refused_and_nothing_stays(
    source: Path, snapshots: Path, limits: SourceLimits, code: str
) -> None:
    for name in ("a.py", "b.py", "c.py"):
        write(source, name)
    with pytest.raises(PayloadTooLarge) as refusal:
        take_snapshot(source, snapshots, limits, name="demo")
    assert refusal.value.code == code
    assert list(snapshots.iterdir()) == []


def test_vendored_files_do_not_count_against_the_limit(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    for number in range(20):
        write(source, f"node_modules/{number}.js")
    limits = SourceLimits(files_count=1, total_bytes=1_000, file_bytes=1_000)
    assert len(take_snapshot(source, snapshots, limits, name="demo").files) == 1


def test_folder_without_source_is_refused_with_what_was_left_out(source: Path, snapshots: Path) -> None:
    with pytest.raises(InvalidInput, match="it is empty") as refusal:
        take_snapshot(source, snapshots, WIDE, name="demo")
    assert refusal.value.code == "source.empty"
    write(source, "node_modules/a.js")
    with pytest.raises(InvalidInput, match=r"all 1 entries are left out \(vendored\)"):
        take_snapshot(source, snapshots, WIDE, name="demo")
    assert list(snapshots.iterdir()) == []


def test_folders_without_end_are_cut(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    write(source, "/".join(["d"] * 80) + "/deep.py")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert [file.path for file in snapshot.files] == ["a.py"]
    assert [entry.reason for entry in snapshot.excluded] == ["too_large"]


def test_listing_reads_back_as_the_same_snapshot(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    write(source, "caf\udce9.py")
    write(source, "node_modules/a.js")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert load_snapshot(render_listing(snapshot), snapshots) == snapshot


def test_listing_of_an_unknown_schema_is_refused(source: Path, snapshots: Path) -> None:
    write(source, "a.py")
    listing = json.loads(render_listing(take_snapshot(source, snapshots, WIDE, name="demo")))
    listing["schema_version"] = "9.0"
    with pytest.raises(InvalidInput) as refusal:
        load_snapshot(json.dumps(listing).encode(), snapshots)
    assert refusal.value.code == "source.listing_unknown"


def test_sweep_removes_only_what_is_old_and_not_needed(source: Path, snapshots: Path, tmp_path: Path) -> None:
    write(source, "a.py")
    write(tmp_path / "second", "b.py")
    write(tmp_path / "third", "c.py")
    needed = take_snapshot(source, snapshots, WIDE, name="needed")
    old = take_snapshot(tmp_path / "second", snapshots, WIDE, name="old")
    fresh = take_snapshot(tmp_path / "third", snapshots, WIDE, name="fresh")
    two_hours_ago = time.time() - 7_200
    for snapshot in (needed, old):
        os.utime(snapshot.root, (two_hours_ago, two_hours_ago))
    assert sweep_snapshots(snapshots, frozenset({needed.source_digest})) == 1
    assert (needed.root.is_dir(), old.root.is_dir(), fresh.root.is_dir()) == (True, False, True)
    with pytest.raises(NotFound):
        load_snapshot(render_listing(old), snapshots)


def test_copies_can_be_entered_whatever_the_umask_and_not_be_listed(source: Path, snapshots: Path) -> None:
    write(source, "a/b/app.py")
    before = os.umask(0o077)
    try:
        snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777 for path in (snapshots, snapshot.root, *sorted(snapshot.root.rglob("*")))
    ]
    assert [oct(mode) for mode in modes] == ["0o711", "0o755", "0o755", "0o755", "0o444"]


def test_paths_longer_than_an_index_can_hold_are_left_out(source: Path, snapshots: Path) -> None:
    write(source, "app.py")
    folder = source
    for _ in range(8):
        folder = folder / ("long-" * 40)
        folder.mkdir()
        (folder / "inner.py").write_bytes(b"x = 1\n")
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    assert len(snapshot.files) == 6
    assert [entry.reason for entry in snapshot.excluded] == ["unreadable"]


def test_file_that_fails_while_it_is_read_is_left_out(source: Path, snapshots: Path) -> None:
    """Memory of the reading process: a regular file of /proc that opens, and whose first byte cannot be read."""
    with pytest.raises(InvalidInput, match="unreadable"):
        take_snapshot(
            Path("/proc/self/task").resolve() / str(os.getpid()) / "attr", snapshots, WIDE, name="proc"
        )


def test_entries_that_are_left_out_have_a_limit_too(source: Path, snapshots: Path) -> None:
    write(source, "app.py")
    for number in range(60):
        (source / f"link{number}").symlink_to("app.py")
    narrow = SourceLimits(files_count=6, total_bytes=1_000, file_bytes=1_000)
    with pytest.raises(PayloadTooLarge, match="more than 60 files, folders and links"):
        take_snapshot(source, snapshots, narrow, name="demo")


def test_excluded_folders_without_end_are_counted_to_a_depth(source: Path, snapshots: Path) -> None:
    write(source, "app.py")
    write(source, "node_modules/x.js")
    home = Path.cwd()
    try:
        os.chdir(source / "node_modules")
        for _ in range(1_200):
            os.mkdir("d")  # noqa: PTH102 - deeper than a path may be long
            os.chdir("d")
    finally:
        os.chdir(home)
    snapshot = take_snapshot(source, snapshots, WIDE, name="demo")
    subprocess.run(["rm", "-rf", str(source)], check=True)  # pytest's own removal ends at this depth
    assert excluded(snapshot) == {"node_modules": ("vendored", 1)}


def test_folder_that_became_a_link_after_it_was_checked_is_refused(
    source: Path, snapshots: Path, tmp_path: Path
) -> None:
    write(source, "inner/app.py")
    checked = source / "inner"
    source.rename(tmp_path / "elsewhere")
    source.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput) as caught:
        take_snapshot(checked, snapshots, WIDE, name="demo")
    assert caught.value.code == "source.unreadable"


def test_copy_that_is_being_removed_is_not_taken_for_whole(source: Path, snapshots: Path) -> None:
    write(source, "app.py")
    first = take_snapshot(source, snapshots, WIDE, name="demo")
    os.utime(first.root, (0, 0))
    sweep_snapshots(snapshots, frozenset())
    again = take_snapshot(source, snapshots, WIDE, name="demo")
    assert (again.root / "app.py").is_file()
    assert [entry.name for entry in snapshots.iterdir()] == [again.source_digest]


def test_sweep_of_a_home_without_snapshots_removes_nothing(snapshots: Path) -> None:
    assert sweep_snapshots(snapshots, frozenset()) == 0


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "python"), ("a.PY", "python"), ("b/App.tsx", "tsx"), ("c.mjs", "javascript"), ("Dockerfile", "docker"),
        ("requirements.txt", "text"), ("x.unknown", "other"), ("noext", "other"),
    ],
)  # fmt: skip
def test_language_is_told_by_the_name(path: str, language: str) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    ("name", "entries", "reason"),
    [
        ("node_modules", (), "vendored"), ("anything", ("pyvenv.cfg",), "vendored"), (".git", (), "version_control"),
        ("demo.egg-info", (), "generated"), ("coverage", ("index.html",), "generated"),
        ("coverage", ("__init__.py",), None), ("src", (), None),
    ],
)  # fmt: skip
def test_folders_are_classified(name: str, entries: tuple[str, ...], reason: str | None) -> None:
    assert classify_folder(name, frozenset(entries)) == reason


@pytest.mark.parametrize(
    ("path", "head", "size_bytes", "reason"),
    [
        ("a.png", b"\x89PNG\0", 5, "binary"), ("a.py", "x".encode("utf-16"), 4, None),
        ("a.bundle.js", b"a\n", 2, "minified"), ("a.css", b"a{}" * 3_000, 9_000, "minified"),
        ("a.js", b"a;" * 600, 1_200, None), ("a.json", b"[1]" * 3_000, 9_000, None),
    ],
)  # fmt: skip
def test_contents_are_classified(path: str, head: bytes, size_bytes: int, reason: str | None) -> None:
    assert classify_content(path, head, size_bytes) == reason
