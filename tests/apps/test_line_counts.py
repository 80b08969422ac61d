"""Lines of code that findings are related to."""

from __future__ import annotations

from pathlib import Path

from referee.apps import SourceLimits, take_snapshot
from referee.apps.line_counts import count_code_lines
from referee.core.sources import SourceSnapshot

LIMITS = SourceLimits(files_count=100, total_bytes=1_000_000, file_bytes=100_000)


def take(root: Path, files: dict[str, str]) -> SourceSnapshot:
    source = root / "source"
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return take_snapshot(source, root / "snapshots", LIMITS, name="app")


def test_lines_that_are_not_blank_count_in_code_alone(tmp_path: Path) -> None:
    snapshot = take(
        tmp_path,
        {
            "main.py": "import os\n\n# a comment\n   \nprint(os)",
            "web/app.js": "let a;\n",
            "web/index.html": "<p>\n</p>\n",
            "README.md": "prose\nprose\n",
            "package.json": "{\n}\n",
            "node_modules/x/index.js": "a;\nb;\n",
        },
    )
    assert count_code_lines(snapshot) == 3 + 1 + 2


def test_source_without_code_has_none(tmp_path: Path) -> None:
    assert count_code_lines(take(tmp_path, {"README.md": "prose\n"})) == 0


def test_part_of_the_lines_is_no_number(tmp_path: Path) -> None:
    snapshot = take(tmp_path, {"a.py": "a\n", "b.py": "b\n"})
    (snapshot.root / "b.py").chmod(0o600)
    snapshot.root.chmod(0o700)
    (snapshot.root / "b.py").unlink()
    assert count_code_lines(snapshot) is None
