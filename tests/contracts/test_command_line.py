"""The root command: its version, and how little it loads to say it."""

from __future__ import annotations

import subprocess
import sys

from referee import __version__


def test_version_is_printed() -> None:
    result = run("--version")

    assert (result.returncode, result.stdout, result.stderr) == (0, f"{__version__}\n", "")


def test_unknown_option_is_one_sentence_and_exit_code_2() -> None:
    result = run("analyze", "--nonsense")

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "Error: No such option: --nonsense"


def test_help_loads_neither_database_nor_web_framework_nor_drawing() -> None:
    program = (
        "import sys, typer.testing, referee.cli; typer.testing.CliRunner().invoke(referee.cli.app, ['--help'])\n"
        "heavy = {'sqlalchemy', 'pydantic', 'fastapi', 'dbos', 'psycopg', 'structlog', 'rich', 'httpx'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "referee", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
