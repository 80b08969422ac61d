"""Start the components of an app one after another, and know what really answers.

A port says nothing by itself: an app may take another one than it was told, or
none. So after each start the network is looked at until a port is open that was
not open before, and then an HTTP request is sent from where tools run.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from referee.apps.environments import AppEnvironment
from referee.apps.listening import OWNER_VARIABLE, Listener, find_owned_listeners, list_listeners
from referee.apps.probing import ProbeAnswer, probe_urls
from referee.apps.recipes import Component
from referee.apps.runs import AppFailed, FailureKind
from referee.core.targets import Target
from referee.foundation.sandbox import Command, CommandResult, Limits, NetworkHandle, run_command

__all__ = [
    "AppPlace",
    "StartedComponent",
    "build_component",
    "make_limits",
    "read_last_lines",
    "start_component",
]

_LOOK_S: Final = 0.05
_PROBE_PAUSE_S: Final = 0.25
_PATIENCE_S: Final = 1.0
"""How long another port than the expected one must be open, and the expected one not, to be taken for the app's."""
_LAST_LINES: Final = 50
_LINE_CHARACTERS: Final = 500
_TAIL_BYTES: Final = 64 * 1024
_BUILD_S: Final = 300.0
_RUN_S: Final = 7 * 86_400.0
"""Longer than any lease: what ends a component is that nobody holds the app any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPlace:
    """Where the components of one run live."""

    app_run_id: str
    folder: Path
    """Holds ``workspace/<component>`` and ``logs``."""
    network: NetworkHandle | None
    limits: Limits

    def workspace(self, component: str) -> Path:
        """Return the component's own copy of the source."""
        return self.folder / "workspace" / component

    @property
    def logs_dir(self) -> Path:
        """Folder of the components' output."""
        return self.folder / "logs"

    def log_path(self, component: str) -> Path:
        """Return the file that a component's output goes to."""
        return self.logs_dir / f"{component}.stdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedComponent:
    """A component that answered."""

    component: Component
    target: Target
    task: asyncio.Task[CommandResult]
    """Runs for as long as the component does; cancelling it ends the component."""


async def build_component(place: AppPlace, component: Component, environment: AppEnvironment) -> None:
    """Run what has to run once before the start.

    Raises:
        AppFailed: A command of it failed.
    """
    for number, argv in enumerate(component.build):
        label = f"{component.name}-build-{number}"
        command = _make_command(place, component, environment, argv, label, {}, port=0)
        result = await run_command(
            command, replace(place.limits, wall_s=_BUILD_S, cpu_s=_BUILD_S), place.logs_dir
        )
        if result.end != "exited" or result.exit_code != 0:
            raise AppFailed(
                FailureKind.build_failed,
                result.reason or f"{' '.join(argv)} ended with exit code {result.exit_code}.",
                lines=read_last_lines(result.stdout_path),
            )


async def start_component(
    place: AppPlace,
    component: Component,
    environment: AppEnvironment,
    *,
    port: int,
    words: Mapping[str, str],
    timeout_s: float,
    on_stage: Callable[[str], Awaitable[None]],
) -> StartedComponent:
    """Start one component and return once it answers an HTTP request.

    Args:
        place: Where it lives.
        component: What to start.
        environment: What it runs in.
        port: The port it is told to take.
        words: What stands for ``{backend_url}`` and the like.
        timeout_s: From start to answer.
        on_stage: Told what is waited for.

    Raises:
        AppFailed: It crashed, never listened, or answered no request.
    """
    before = {listener.inode for listener in _list(place)}
    expected = component.port or port
    command = _make_command(place, component, environment, component.argv, component.name, words, port=port)
    task = asyncio.create_task(run_command(command, place.limits, place.logs_dir))
    try:
        await on_stage(f"waiting for {component.name} to listen")
        deadline_s = time.monotonic() + timeout_s
        listener = await _wait_for_listener(place, component, task, before, expected, deadline_s)
        await on_stage(f"waiting for {component.name} to answer")
        await _wait_for_answer(place, component, task, listener, deadline_s)
    except BaseException:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise
    target = Target(name=component.name, url=listener.url, port=listener.port, framework=component.framework)
    return StartedComponent(component=component, target=target, task=task)


def read_last_lines(path: Path) -> tuple[str, ...]:
    """Return the last lines of a log, each shortened, without control characters. Blocking."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            data = file.read(_TAIL_BYTES)
    except OSError:
        return ()
    lines = [
        "".join(letter if letter.isprintable() else " " for letter in line)[:_LINE_CHARACTERS].rstrip()
        for line in data.decode("utf-8", errors="replace").splitlines()
    ]
    return tuple(line for line in lines if line)[-_LAST_LINES:]


async def _wait_for_listener(
    place: AppPlace,
    component: Component,
    task: asyncio.Task[CommandResult],
    before: set[int],
    expected: int,
    deadline_s: float,
) -> Listener:
    other_since_s: float | None = None
    while time.monotonic() < deadline_s:
        if task.done():
            raise _crashed(place, component, task)
        new = [listener for listener in _list(place, component) if listener.inode not in before]
        wanted = next((listener for listener in new if listener.port == expected), None)
        if wanted is not None:
            return wanted
        if new:
            other_since_s = other_since_s or time.monotonic()
            if time.monotonic() - other_since_s >= _PATIENCE_S:
                return new[0]
        await asyncio.sleep(_LOOK_S)
    raise AppFailed(
        FailureKind.never_listened,
        f"{component.name} ran, and opened no port.",
        lines=read_last_lines(place.log_path(component.name)),
    )


async def _wait_for_answer(
    place: AppPlace,
    component: Component,
    task: asyncio.Task[CommandResult],
    listener: Listener,
    deadline_s: float,
) -> None:
    paths = component.probe_paths or ("/",)
    answers: tuple[ProbeAnswer, ...] = ()
    while time.monotonic() < deadline_s:
        if task.done():
            raise _crashed(place, component, task)
        answers = await probe_urls([f"{listener.url}{path}" for path in paths], place.network)
        # The first path that the app knows decides: a 404 elsewhere says that something answers, a 500 that it is ill.
        known = [answer for answer in answers if answer.status not in (None, 404)]
        if known and known[0].is_healthy:
            return
        if not known and any(answer.is_healthy for answer in answers):
            return
        await asyncio.sleep(_PROBE_PAUSE_S)
    said = "; ".join(
        f"{answer.url} answered {answer.status}" if answer.status else f"{answer.url}: {answer.error}"
        for answer in answers
    )
    raise AppFailed(
        FailureKind.unhealthy,
        f"{component.name} listens, and does not answer as it should: {said}.",
        lines=read_last_lines(place.log_path(component.name)),
    )


def _list(place: AppPlace, component: Component | None = None) -> tuple[Listener, ...]:
    """Return what listens. In a network of the app's own all of it is the app's; elsewhere it has to be proven."""
    if place.network is not None:
        return list_listeners(place.network.holder_pid)
    return list_listeners() if component is None else find_owned_listeners(_owner(place, component))


def _owner(place: AppPlace, component: Component) -> str:
    return f"{place.app_run_id}/{component.name}"


def _crashed(place: AppPlace, component: Component, task: asyncio.Task[CommandResult]) -> AppFailed:
    result = task.result()
    lines = read_last_lines(place.log_path(component.name))
    taken = next(
        (line for line in lines if "address already in use" in line.lower() or "EADDRINUSE" in line), None
    )
    if taken is not None:
        return AppFailed(
            FailureKind.port_taken, f"{component.name} could not have its port: {taken}", lines=lines
        )
    end = result.reason or f"It ended with exit code {result.exit_code}."
    is_killed = result.end == "signaled" and result.signal == signal.SIGKILL
    kind = FailureKind.killed if is_killed else FailureKind.crashed
    return AppFailed(kind, f"{component.name} ended before it answered. {end}", lines=lines)


def _make_command(
    place: AppPlace,
    component: Component,
    environment: AppEnvironment,
    argv: tuple[str, ...],
    label: str,
    words: Mapping[str, str],
    *,
    port: int,
) -> Command:
    given = {"host": "127.0.0.1", "port": str(port), **words}
    workspace = place.workspace(component.name)
    variables = {name: _fill(value, given) for name, value in component.environment.items()}
    return Command(
        label=label,
        argv=(str(_find_program(argv[0], environment)), *(_fill(word, given) for word in argv[1:])),
        working_dir=workspace / component.folder if component.folder else workspace,
        environment={
            "PATH": str(environment.program.parent),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "CI": "true",
            **environment.variables,
            "HOST": given["host"],
            "PORT": given["port"],
            **variables,
            OWNER_VARIABLE: _owner(place, component),
        },
        read_only=environment.read_only,
        writable=(workspace,),
        network=place.network,
        has_network=place.network is None,
        is_log_live=True,
    )


def _find_program(word: str, environment: AppEnvironment) -> Path:
    if word in ("python", "python3", "node"):
        return environment.program
    if "/" not in word:
        beside = environment.program.parent / word
        if beside.exists():
            return beside
        found = shutil.which(word, path="/usr/bin:/bin")
        if found is not None:
            return Path(found)
    raise AppFailed(FailureKind.crashed, f"The program {word!r} is not there.")


def _fill(text: str, words: Mapping[str, str]) -> str:
    """Fill in ``{port}`` and the like; other braces stay, since they are the app's own."""
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def make_limits(*, memory_bytes: int, disk_bytes: int) -> Limits:
    """Return what one component may use while it runs."""
    return Limits(
        wall_s=_RUN_S,
        wall_stretch=1.0,
        cpu_s=_RUN_S,
        memory_bytes=memory_bytes,
        processes_count=200,
        open_files_count=4096,
        disk_bytes=disk_bytes,
    )
