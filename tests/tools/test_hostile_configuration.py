"""A scanned app cannot make a tool run its code, read its configuration, or write beside it.

Every folder of the app holds configuration that would execute code or hide findings if the
tool read it, and modules that shadow what the tool imports; each leaves a file when run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.tools.conftest import PlantedRun, RunTool, ToolRun, WriteApp
from tests.tools.python_samples import PLANTED_DIR, TOOLS, summarise

TRACE = """
_os = __import__("os")
for _folder in (_os.environ.get("HOME", "/tmp"), _os.getcwd(), "/tmp", _os.path.dirname(__file__)):
    try:
        open(_folder + "/EXECUTED", "w").close()
    except OSError:
        continue
raise SystemExit("executed")
"""
SHADOWS = (
    "sitecustomize", "usercustomize", "bandit", "pylint", "astroid", "isort", "dill",
    "mccabe", "tomlkit", "platformdirs", "mypy", "mypy_extensions", "typing_extensions", "vulture",
    "radon", "mando", "colorama", "detect_secrets", "yaml", "stevedore", "rich",
    "json", "ast", "tomllib", "logging", "enchant", "requests", "configparser",
    "multiprocessing", "pathspec", "conftest", "evil_plugin",
)  # fmt: skip
CONFIGURATION = {
    ".pylintrc": "[MAIN]\ninit-hook=import evil_plugin\nload-plugins=evil_plugin\ndisable=all\n",
    "pylintrc": "[MAIN]\ninit-hook=import evil_plugin\ndisable=all\n",
    "mypy.ini": "[mypy]\nplugins = ./evil_plugin.py\nignore_errors = True\n",
    ".mypy.ini": "[mypy]\nplugins = ./evil_plugin.py\nignore_errors = True\n",
    ".bandit": "[bandit]\nskips = B102,B104,B105,B110,B201,B307,B324,B404,B602,B608\nexclude = /\n",
    "bandit.yaml": "skips: [B307]\n",
    ".vulture.toml": "",
    "ruff.toml": "exclude = ['**']\n",
    ".ruff.toml": "exclude = ['**']\n",
    "radon.cfg": "[radon]\nexclude = *\n",
    "setup.cfg": "[mypy]\nignore_errors = True\n[pylint]\ndisable=all\n[radon]\nexclude = *\n",
    "tox.ini": "[pylint]\ndisable=all\n[bandit]\nskips = B307\n",
    ".gitignore": "*\n",
    ".ignore": "*\n",
    ".secrets.baseline": '{"exclude": {"files": ".*", "lines": ".*"}}',
    "pyproject.toml": (
        "[tool.vulture]\nexclude = ['*']\nmin_confidence = 100\n"
        "[tool.ruff]\nexclude = ['**']\n[tool.mypy]\nplugins = ['./evil_plugin.py']\nignore_errors = true\n"
        "[tool.bandit]\nexclude_dirs = ['.']\n[tool.pylint.main]\ninit-hook = 'import evil_plugin'\n"
        "[tool.pylint.'messages control']\ndisable = 'all'\n"
    ),
}


def planted_files() -> dict[str, str]:
    paths = sorted(path for path in PLANTED_DIR.rglob("*") if path.is_file())
    return {path.relative_to(PLANTED_DIR).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def hostile_files() -> dict[str, str]:
    files = {f"{folder}{name}": text for folder in ("", "backend/") for name, text in CONFIGURATION.items()}
    return files | {f"{folder}{name}.py": TRACE for folder in ("", "backend/") for name in SHADOWS}


@pytest.mark.parametrize("tool", TOOLS)
async def test_configuration_of_the_app_is_neither_run_nor_honoured(
    tool: str, run_tool: RunTool, planted_run: PlantedRun, write_app: WriteApp
) -> None:
    planted = planted_files()
    plain = await planted_run(tool)
    hostile_app = write_app(hostile_files() | planted)
    hostile = await run_tool(tool, hostile_app, cores_count=2)

    assert traces_below(hostile.scratch_dir) == []
    assert traces_below(hostile.snapshot.root) == []
    assert traces_below(hostile_app) == []
    assert findings_in(plain, planted) <= findings_in(hostile, planted)
    assert hostile.report.coverage.examined_count > plain.report.coverage.examined_count


@pytest.mark.parametrize("tool", TOOLS)
async def test_snapshot_is_the_same_after_a_run(tool: str, planted_run: PlantedRun) -> None:
    run = await planted_run(tool)
    files = sorted(
        path.relative_to(run.snapshot.root).as_posix()
        for path in run.snapshot.root.rglob("*")
        if path.is_file()
    )
    assert files == [file.path for file in run.snapshot.files]


@pytest.mark.parametrize("tool", TOOLS)
async def test_running_again_gives_an_equal_report(
    tool: str, run_tool: RunTool, planted_run: PlantedRun
) -> None:
    first, second = await planted_run(tool), await run_tool(tool, PLANTED_DIR)
    assert first.report == second.report
    assert summarise(first.report)["findings"] > 0


def traces_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("EXECUTED"))


def findings_in(run: ToolRun, planted: Mapping[str, str]) -> set[tuple[str, int | None, str, str | None]]:
    """What was found in the planted files; mypy and vulture may know less of names that are shadowed."""
    return {
        (finding.location.path, finding.location.start_line, finding.rule_id, finding.suppression)
        for finding in run.report.findings
        if finding.location and finding.location.path in planted
    }
