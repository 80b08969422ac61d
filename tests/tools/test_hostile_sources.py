"""What Referee itself reads of an app before a tool runs is read in seconds, whatever it holds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from referee.apps import SourceLimits, take_snapshot
from referee.core.sources import SourceSnapshot
from referee.tools.registry import get_tool

LIMITS = SourceLimits(files_count=20_000, total_bytes=500_000_000, file_bytes=10_000_000)


def snapshot(tmp_path: Path, files: dict[str, str]) -> SourceSnapshot:
    for path, content in files.items():
        (tmp_path / "app" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / path).write_text(content)
    return take_snapshot(tmp_path / "app", tmp_path / "snapshots", LIMITS, name="app")


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        ("jshint", {"a.js": "/*\n" * 60_000}),
        ("jshint", {"a.js": "\n" * 100_000}),
        ("jshint", {"a.js": "`" + "\\`\n" * 60_000}),
        ("mypy", {"main.py": "", "inner/a.py": "from " + "a" * 100_000}),
        ("mypy", {f"d{number}/m{number}.py": f"import m{number}\n" for number in range(4_000)}),
        ("mypy", {f"{'-+=~@,!^'[number % 8] * (number // 8 + 1)}.py"[-250:]: "" for number in range(1_900)}),
        ("mypy", {f"d{number}/{kind}x.py": "" for number in range(1_000) for kind in "-+"}),
        ("semgrep", {"a.py": "x = 1\n" + "#" * 100_000 + "\n# nosem_"}),
    ],
)
def test_planning_for_hostile_files_takes_seconds(tmp_path: Path, tool: str, files: dict[str, str]) -> None:
    source = snapshot(tmp_path, files)
    description = get_tool(tool).describe()
    started = time.process_time()
    get_tool(tool).plan(source, description.resolve_parameters({}))
    assert time.process_time() - started < 3
