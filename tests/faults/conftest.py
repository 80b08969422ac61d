"""Applications whose tools misbehave, homes in trouble, and a command line as people start it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from referee.analysis import Analysis, AnalysisRequest, ToolRun, create_analysis
from referee.analysis.queries import get_analysis, list_tool_runs
from referee.app import Application, open_application
from referee.core.errors import Unavailable
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.operations.integrity import verify_everything
from referee.tools import Installation, ToolInstaller

FLAWED = """import hashlib
import subprocess


def run(name):
    return subprocess.call("ls " + name, shell=True)


def digest(text):
    return hashlib.md5(text.encode()).hexdigest()


def unused_helper():
    return 1
"""

RUNTIME = (Path(sys.base_prefix), Path(sys.base_prefix).resolve())


@dataclass(frozen=True, slots=True)
class BadKit:
    """An ``InstallKit`` that gives some tools a program of the test instead of their own."""

    real: ToolInstaller
    programs: dict[str, Path] = field(default_factory=dict)
    """Tool → program that runs in its place, in a folder of its own."""
    absent: frozenset[str] = frozenset()
    """Tools that cannot be had."""

    async def python_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return the test's program, or the real environment."""
        if tool in self.absent:
            raise Unavailable("tools.install_failed", f"{tool} could not be installed.", "Install it.")
        if tool not in self.programs:
            return await self.real.python_environment(tool, lock, program)
        stand_in = self.programs[tool]
        return Installation(
            root=stand_in.parent,
            program=stand_in,
            read_only=tuple(dict.fromkeys((stand_in.parent, *RUNTIME))),
            lock_digest="0" * 64,
        )

    async def node_environment(self, tool: str, lock: str, program: str) -> Installation:
        """Return the real environment."""
        return await self.real.node_environment(tool, lock, program)

    async def system_program(self, tool: str, program: str, package: str) -> Installation:
        """Return the test's program, or that of the machine."""
        if tool in self.programs:
            return await self.python_environment(tool, "", program)
        return await self.real.system_program(tool, program, package)

    @property
    def node(self) -> Path:
        """Path of Node.js."""
        return self.real.node

    @property
    def advisories_dir(self) -> Path:
        """Folder of the advisory store."""
        return self.real.advisories_dir


OpenBad: TypeAlias = Callable[..., AbstractAsyncContextManager[Application]]
Analyse: TypeAlias = Callable[..., Awaitable[tuple[Analysis, dict[str, ToolRun]]]]
WriteProgram: TypeAlias = Callable[[str], Path]


@pytest.fixture
def write_program(tmp_path: Path) -> WriteProgram:
    """Return a function that writes a Python program into a folder that everybody may read."""

    def write(source: str) -> Path:
        folder = tmp_path / "stand-in"
        folder.mkdir(exist_ok=True)
        program = folder / "program"
        interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        program.write_text(f"#!{interpreter} -IB\n{source}")
        program.chmod(0o755)
        return program

    return write


@pytest.fixture
def open_bad(database_settings: Settings) -> OpenBad:
    """Return a function that opens an application with a bad kit and a short deadline."""

    @asynccontextmanager
    async def open_it(
        *, programs: dict[str, Path] | None = None, absent: frozenset[str] = frozenset(), **overrides: object
    ) -> AsyncIterator[Application]:
        settings = database_settings.model_copy(update={"tool_wall_max_s": 60.0, **overrides})
        real = ToolInstaller(settings.tools_path, advisories_dir=settings.advisories_dir)
        kit = BadKit(real, programs or {}, absent)
        async with open_application(settings, is_worker=True, install_kit=kit) as application:
            yield application

    return open_it


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    """A folder with one flawed Python file."""
    folder = tmp_path / "subject"
    folder.mkdir()
    (folder / "main.py").write_text(FLAWED)
    return folder


async def analyse(
    application: Application, path: Path, *tools: str, timeout_s: float = 120.0
) -> tuple[Analysis, dict[str, ToolRun]]:
    """Analyse a folder and wait for the end."""
    project_id = (await get_project(application.database, "default")).project_id
    request = AnalysisRequest(path=str(path), tools=tools)
    accepted = await create_analysis(application.analysis, application.engine, project_id, request)
    assert accepted.job_id is not None
    await application.engine.wait(accepted.job_id, timeout_s)
    async with application.database.reading() as session:
        ended = await get_analysis(session, project_id, accepted.analysis_id)
        runs = await list_tool_runs(session, accepted.analysis_id)
    return ended, {run.tool: run for run in runs}


async def list_problems(application: Application) -> list[str]:
    """Return what ``referee verify`` says."""
    report = await verify_everything(application.integrity_checks)
    return [f"{problem.subject}: {problem.message}" for problem in report.problems]


def list_processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that were started from below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


async def count_rows(database: Database) -> dict[str, int]:
    """Return the rows of every table in which an accepted analysis leaves something."""
    from sqlalchemy import text

    names = ("analyses", "subjects", "tool_runs", "apps", "jobs", "artifacts")
    async with database.reading() as session:
        return {
            name: (await session.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one()  # noqa: S608
            for name in names
        }
