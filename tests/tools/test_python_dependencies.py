"""Reading Python dependency files: pins with their lines, and a reason for everything else."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.sources import SourceFile, SourceSnapshot
from referee.tools.dependencies import Dependencies, find_python_dependencies
from referee.tools.dependencies.requirements import read_requirement_lines


def snapshot(root: Path, files: dict[str, str | bytes]) -> SourceSnapshot:
    listed = []
    for path, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        listed.append(SourceFile(path, len(data), hashlib.sha256(data).hexdigest(), "text"))
    return SourceSnapshot(root=root, source_digest="", files=tuple(listed))


def pins(found: Dependencies) -> list[tuple[str, str, str, int | None]]:
    return [(one.name, one.version, one.path, one.line) for one in found.declarations]


def test_requirement_lines_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    text = "\n".join([
        "# comment", "Flask==2.2.2  # web", "  ", "requests[security,socks]==2.28.0 ; python_version > '3.7'",
        "Jinja2==3.1.2 \\", "    --hash=sha256:aaaa \\", "    --hash=sha256:bbbb", "zope.interface===5.0",
        "--index-url https://example.invalid/simple", "-i https://example.invalid", "--pre", "Pillow == 9.0.0",
    ])  # fmt: skip
    found = find_python_dependencies(snapshot(tmp_path, {"requirements.txt": text}))
    assert pins(found) == [
        ("flask", "2.2.2", "requirements.txt", 2),
        ("requests", "2.28.0", "requirements.txt", 4),
        ("jinja2", "3.1.2", "requirements.txt", 5),
        ("zope-interface", "5.0", "requirements.txt", 8),
        ("pillow", "9.0.0", "requirements.txt", 12),
    ]
    assert found.holes == []


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("flask", "skipped", "skipped: not pinned to one version"),
        ("flask>=2.0,<3", "skipped", "skipped: not pinned to one version"),
        ("flask==2.*", "skipped", "skipped: not pinned to one version"),
        ("flask==1.0,==2.0", "skipped", "skipped: not pinned to one version"),
        ("-e .", "skipped", "skipped: installed in place, it has no released version"),
        ("--editable git+https://example.invalid/x.git#egg=x", "skipped",
         "skipped: installed in place, it has no released version"),
        ("git+https://example.invalid/x.git@v1", "skipped",
         "skipped: comes from an address or a path, not from a registry"),
        ("x @ https://example.invalid/x-1.0.whl", "skipped",
         "skipped: comes from an address or a path, not from a registry"),
        ("./wheels/x-1.0-py3-none-any.whl", "skipped", "skipped: comes from an address or a path, not from a registry"),
        ("-c constraints.txt", "skipped", "skipped: constraints are not applied"),
        ("-r ../../etc/passwd", "skipped", "skipped: leads outside of the app"),
        ("-r /etc/passwd", "skipped", "skipped: leads outside of the app"),
        ("-r https://example.invalid/r.txt", "skipped", "skipped: an address, and nothing is fetched"),
        ("-r missing.txt", "unreadable", "not in the app"),
        ("this is not a requirement", "unreadable", "not a requirement that pip would accept"),
        ("flask===nonsense", "unreadable", "not a version that PEP 440 knows"),
        ("x" * 9000, "unreadable", "a line of 9000 characters"),
        ("flask==1.0; python_version" + "(" * 3000, "unreadable", "not a requirement that pip would accept"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_a_hole_with_its_reason(
    tmp_path: Path, line: str, kind: str, reason: str
) -> None:
    found = find_python_dependencies(snapshot(tmp_path, {"requirements.txt": line + "\n"}))
    assert [(hole.kind, hole.reason) for hole in found.holes] == [(kind, reason)]
    assert found.declarations == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    found = find_python_dependencies(
        snapshot(tmp_path, {"requirements.txt": "flask==1.0\n".encode(encoding)})
    )
    assert pins(found) == [("flask", "1.0", "requirements.txt", 1)]


def test_latin_1_comments_and_old_line_ends_are_understood(tmp_path: Path) -> None:
    found = find_python_dependencies(
        snapshot(tmp_path, {"requirements.txt": b"# caf\xe9\r\nflask==1.0\rjinja2==2.0"})
    )
    assert [one[0] for one in pins(found)] == ["flask", "jinja2"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("requirements.txt", b"\x7fELF\x00\x01\x02", "binary, not text"),
        ("requirements.txt", b"x==1\n" * 300_000, "larger than 1000000 bytes"),
        ("pyproject.toml", b"[project\n", "not TOML"),
        ("pyproject.toml", b"a = " + b"[" * 100_000, "nested too deeply"),
        ("Pipfile", b"\x00", "binary, not text"),
        ("setup.cfg", b"[options\nx", "not an INI file"),
        ("Pipfile.lock", b"{", "not JSON"),
        ("Pipfile.lock", b"[" * 100_000, "nested too deeply"),
        ("poetry.lock", b"\xff\xfe\x00", "not text"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_hole_and_never_an_error(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    found = find_python_dependencies(snapshot(tmp_path, {name: content}))
    assert [(hole.name, hole.kind, hole.reason) for hole in found.holes] == [(name, "unreadable", reason)]


def test_included_files_are_read_once_and_circles_end(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "-r more/base.pip\nflask==1.0\n",
        "more/base.pip": "-r ../requirements.txt\njinja2==2.0\n",
    }
    found = find_python_dependencies(snapshot(tmp_path, files))
    assert pins(found) == [("flask", "1.0", "requirements.txt", 2), ("jinja2", "2.0", "more/base.pip", 2)]


def test_all_kinds_of_manifest_are_read_with_their_lines(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a/pyproject.toml": '[project]\ndependencies = [\n  "flask==1.0",\n  "click>=8",\n]\n'
        '[project.optional-dependencies]\nx = ["jinja2==2.0"]\n[dependency-groups]\ndev = ["pytest==7.0"]\n',
        "b/pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "1.0"\n'
        'requests = {version = "==2.0", extras = ["x"]}\nclick = "^8.0"\n',
        "c/Pipfile": '[packages]\nflask = "==1.0"\nclick = "*"\nrequests = {version = "==2.0"}\n',
        "d/setup.cfg": "[options]\ninstall_requires =\n    flask==1.0\n    click\n"
        "[options.extras_require]\nx =\n    jinja2==2.0\n",
        "e/requirements/prod.txt": "flask==1.0\n",
        "f/dev-requirements.txt": "flask==1.0\n",
    }
    found = find_python_dependencies(snapshot(tmp_path, files))
    assert sorted(pins(found), key=lambda one: (one[2], one[3] or 0)) == [
        ("flask", "1.0", "a/pyproject.toml", 3),
        ("jinja2", "2.0", "a/pyproject.toml", 7),
        ("pytest", "7.0", "a/pyproject.toml", 9),
        ("flask", "1.0", "b/pyproject.toml", 3),
        ("requests", "2.0", "b/pyproject.toml", 4),
        ("flask", "1.0", "c/Pipfile", 2),
        ("requests", "2.0", "c/Pipfile", 4),
        ("flask", "1.0", "d/setup.cfg", 3),
        ("jinja2", "2.0", "d/setup.cfg", 7),
        ("flask", "1.0", "e/requirements/prod.txt", 1),
        ("flask", "1.0", "f/dev-requirements.txt", 1),
    ]
    assert found.skipped_count == 4


def test_a_lock_file_stands_for_the_manifest_beside_it(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "pyproject.toml": '[project]\nname = "app"\ndependencies = ["flask>=1"]\n',
        "uv.lock": 'version = 1\n[[package]]\nname = "app"\nversion = "0.1"\nsource = { virtual = "." }\n'
        '[[package]]\nname = "flask"\nversion = "1.0"\nsource = { registry = "x" }\n',
        "old/Pipfile": '[packages]\nflask = "*"\n',
        "old/Pipfile.lock": '{"default": {\n"flask": {"version": "==1.0"}}}',
    }
    found = find_python_dependencies(snapshot(tmp_path, files))
    assert pins(found) == [("flask", "1.0", "old/Pipfile.lock", 2), ("flask", "1.0", "uv.lock", 7)]
    assert found.holes == []


def test_setup_py_is_told_as_not_run(tmp_path: Path) -> None:
    found = find_python_dependencies(
        snapshot(tmp_path, {"requirements.txt": "flask==1.0\n", "setup.py": "import os"})
    )
    assert [hole.reason for hole in found.holes] == ["skipped: setup.py is code and is not run"]


def test_a_megabyte_of_hostile_lines_is_read_in_seconds(tmp_path: Path) -> None:
    lines = [
        " " * 8000 + "x",
        "a" + "[" * 4000,
        "\t" * 4000 + "--" * 2000,
        "a==1" + " #" * 3000,
        "\\",
        "-r " + "../" * 2000,
    ]
    text = "\n".join(lines * 28)
    started = time.process_time()
    found = find_python_dependencies(snapshot(tmp_path, {"requirements.txt": text[:990_000]}))
    assert time.process_time() - started < 10
    assert found.unreadable_count > 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "[" + ".".join("a" * 20_000) + "]\nb = 1"),
        ("pyproject.toml", "\n".join(f"{'a.' * 4_000}b{number} = 1" for number in range(60))),
        ("poetry.lock", "\n".join(f"{'a . ' * 4_000}b{number} = 1" for number in range(60))),
        ("pyproject.toml", "\n".join('x = "' + "\\" * 4_000 for _ in range(100))),
        ("setup.cfg", "[options]\n  a" + " " * 200_000 + "b"),
        ("setup.cfg", "[options]\n  a" + "\u2003" * 200_000 + "b"),
        ("requirements.txt", "a==" + "1" * 5_000),
    ],
)
def test_text_that_keeps_readers_busy_is_told_in_seconds(tmp_path: Path, name: str, content: str) -> None:
    started = time.process_time()
    found = find_python_dependencies(snapshot(tmp_path, {name: content}))
    assert time.process_time() - started < 3
    assert found.unreadable_count == 1


def test_long_lines_of_pinned_dependencies_are_read(tmp_path: Path) -> None:
    pinned = ", ".join(f'"p{number}==1.2.3"' for number in range(100))
    found = find_python_dependencies(
        snapshot(tmp_path, {"pyproject.toml": f"[project]\ndependencies = [{pinned}]\n"})
    )
    assert len(found.declarations) == 100


@given(st.text(max_size=400) | st.text(alphabet="-r e=.;[]@#\\\n\t\"'fl1<>~!,", max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = Dependencies()
    read_requirement_lines(text, "requirements.txt", found, lambda path, line: None)
    assert Dependencies.from_json(found.to_json()).declarations == found.declarations
