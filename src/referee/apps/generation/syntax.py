"""Whether the files of an app can be parsed: Python and JSON here, JavaScript by Node.js in the sandbox.

JSX needs a parser of its own: the one in eslint's environment, when that is installed. A file that
nothing here can parse is told as unchecked, never taken for correct.
"""

from __future__ import annotations

import ast
import asyncio
import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.apps.generation.contract import FileSet
from referee.apps.room import AppsRoom
from referee.core.errors import RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.foundation.sandbox import Command, Limits, run_command
from referee.tools.inspecting import InstalledTools
from referee.tools.install import node_folders

__all__ = ["SyntaxProblem", "SyntaxReport", "check_syntax", "parse_python"]

_SCRIPT: Final = Path(__file__).parents[1] / "runners" / "check_syntax.mjs"
_SCRIPTS: Final = (".js", ".mjs", ".cjs", ".jsx")
_TYPED: Final = (".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte")
_PARSER: Final = "node_modules/espree/dist/espree.cjs"
_LIMITS: Final = Limits(
    wall_s=60, cpu_s=60, memory_bytes=1024 * 1024 * 1024, processes_count=64, output_bytes=4 * 1024 * 1024
)


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """A file that cannot be parsed."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class SyntaxReport:
    """What became of the files."""

    problems: tuple[SyntaxProblem, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Paths of files that nothing here can parse and that hold code."""


async def check_syntax(room: AppsRoom, files: FileSet) -> SyntaxReport:
    """Parse the files of an app. Nothing of them is run."""
    problems: list[SyntaxProblem] = []
    for path, text in sorted(files.items()):
        if path.endswith(".py"):
            tree = await asyncio.to_thread(parse_python, text)
            problems += [SyntaxProblem(path, *_read_place(tree))] if isinstance(tree, str) else []
        elif path.endswith(".json"):
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                problems.append(SyntaxProblem(path, getattr(error, "lineno", None), str(error)[:300]))
    scripts = {path: text for path, text in files.items() if path.endswith(_SCRIPTS)}
    unchecked = [path for path in files if path.endswith(_TYPED)]
    if scripts:
        report = await _check_scripts(room, scripts)
        problems += report.problems
        unchecked += report.unchecked
    return SyntaxReport(tuple(problems), tuple(sorted(unchecked)))


def parse_python(text: str) -> ast.Module | str:
    """Return the syntax tree of a Python file, or ``line: what is wrong with it``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        return f"{error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"1: it cannot be parsed ({type(error).__name__})"


def _read_place(problem: str) -> tuple[int, str]:
    line, _, message = problem.partition(": ")
    return int(line), message


async def _check_scripts(room: AppsRoom, scripts: FileSet) -> SyntaxReport:
    node = room.node
    if node is None:
        return SyntaxReport(unchecked=tuple(scripts))
    parser = await _find_parser(room)
    with tempfile.TemporaryDirectory(prefix="referee-syntax-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        working_dir, output_dir = folder / "files", folder / "output"
        output_dir.mkdir(mode=0o700)
        paths = await asyncio.to_thread(_write, working_dir, scripts, parser)
        try:
            result = await run_command(
                Command(
                    label="syntax",
                    argv=(
                        str(node),
                        "--experimental-vm-modules",
                        "--no-warnings",
                        "check_syntax.mjs",
                        "request.json",
                    ),
                    working_dir=working_dir,
                    read_only=(
                        working_dir,
                        *node_folders(node),
                        *(() if parser is None else (parser.parents[3],)),  # the environment that holds it
                    ),
                ),
                _LIMITS,
                output_dir,
            )
        except RefereeError:
            return SyntaxReport(unchecked=tuple(scripts))
        with result.stdout_path.open("rb") as output:
            records = _read_records(output.read(_LIMITS.output_bytes))
    known = [(paths[str(record.get("path"))], record) for record in records if record.get("path") in paths]
    problems = tuple(_read_problem(path, record) for path, record in known if "message" in record)
    if not any(record.get("end") is True for record in records):
        bad = {problem.path for problem in problems}
        return SyntaxReport(problems, tuple(path for path in scripts if path not in bad))
    return SyntaxReport(problems, tuple(path for path, record in known if record.get("unchecked") is True))


def _read_problem(path: str, record: dict[str, JsonValue]) -> SyntaxProblem:
    line = record.get("line")
    return SyntaxProblem(path, line if isinstance(line, int) else None, str(record.get("message")))


async def _find_parser(room: AppsRoom) -> Path | None:
    """Return the parser in eslint's environment, None where that is not installed."""
    kit = InstalledTools(room.settings.tools_path, advisories_dir=room.settings.advisories_dir)
    try:
        installation = await kit.node_environment("eslint", "eslint", _PARSER)
    except (Unavailable, OSError):
        return None
    return installation.program if installation.program.is_file() else None


def _write(working_dir: Path, scripts: FileSet, parser: Path | None) -> dict[str, str]:
    """Write the files under plain names of ours, and return their own by them."""
    working_dir.mkdir(mode=0o755)
    paths = {}
    for number, (path, text) in enumerate(sorted(scripts.items())):
        name = f"{number}{Path(path).suffix}"
        (working_dir / name).write_text(text, "utf-8")
        paths[name] = path
    shutil.copyfile(_SCRIPT, working_dir / "check_syntax.mjs")
    request = {"files": list(paths), "parser": None if parser is None else str(parser)}
    (working_dir / "request.json").write_text(json.dumps(request), "utf-8")
    return paths


def _read_records(data: bytes) -> list[dict[str, JsonValue]]:
    """Return the objects that the script printed; a line that was cut is left out."""
    records = []
    for line in data.split(b"\n"):
        try:
            value: JsonValue = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            records.append(value)
    return records
