"""A folder to work in, a folder for output, and each isolation method in turn."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.programs import skip_for_system

from referee.foundation.sandbox import Command, CommandResult, Limits, detect_isolation, run_command

METHODS = ("bubblewrap", "unprivileged_user", "limits_only")

STRONG = [pytest.param("bubblewrap", marks=pytest.mark.apt)]
STRONG += [pytest.param("unprivileged_user")] * (os.geteuid() == 0)
"""Only root can become another user, so nobody else has that method to test."""


@dataclass(frozen=True)
class Bench:
    """Runs commands between two folders of one test."""

    scratch_dir: Path
    output_dir: Path
    read_only_dir: Path

    def shell_command(self, script: str, *, has_network: bool = False) -> Command:
        return self._make(("/bin/sh", "-c", script), has_network=has_network)

    def python_command(self, code: str, *, stdin: bytes = b"") -> Command:
        program = os.path.realpath(sys.executable)
        return self._make((program, "-I", "-S", "-c", code), stdin=stdin)

    async def shell(self, script: str, **limits: float) -> CommandResult:
        return await self.run(self.shell_command(script), **limits)

    async def python(self, code: str, **limits: float) -> CommandResult:
        return await self.run(self.python_command(code), **limits)

    async def run(self, command: Command, **limits: float) -> CommandResult:
        return await run_command(command, Limits(**{"wall_s": 60, **limits}), self.output_dir)  # type: ignore[arg-type]

    def _make(self, argv: tuple[str, ...], *, stdin: bytes = b"", has_network: bool = False) -> Command:
        return Command(
            label="test",
            argv=argv,
            working_dir=self.scratch_dir,
            writable=(self.scratch_dir,),
            read_only=(self.read_only_dir, Path(sys.base_prefix).resolve()),
            stdin=stdin,
            has_network=has_network,
        )


def _make_bench(folder: Path) -> Bench:
    for name in ("scratch", "output", "readable"):
        (folder / name).mkdir()
    return Bench(folder / "scratch", folder / "output", folder / "readable")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return _make_bench(tmp_path)


@pytest.fixture(params=[*STRONG, "limits_only"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each isolation method that works here; the others are skipped with the reason."""
    yield from _force(str(request.param), monkeypatch)


@pytest.fixture(params=STRONG)
def strong_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The methods that keep a program away from the machine."""
    yield from _force(str(request.param), monkeypatch)


@pytest.fixture
def bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _force("bubblewrap", monkeypatch)


@pytest.fixture
def limits_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _force("limits_only", monkeypatch)


def _force(wanted: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("REFEREE_SANDBOX_METHOD", wanted)
    isolation = detect_isolation()
    if isolation.method != wanted:
        skip_for_system(isolation.reason)
    yield wanted


def list_commands(marker: str) -> list[str]:
    """Return the command lines of all processes of this machine that contain a marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # Gone meanwhile.
        if marker in text:
            found.append(text)
    return found


def list_open_files() -> list[Path]:
    """Return what this process holds open."""
    return list(Path("/proc/self/fd").iterdir())


def wait_until(is_so: Callable[[], bool], *, within_s: float) -> float:
    """Return after how many seconds something became so; fail if it did not."""
    started_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - started_s < within_s, f"not so within {within_s} s"
        time.sleep(0.005)
    return time.monotonic() - started_s
