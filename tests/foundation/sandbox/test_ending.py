"""Nothing of a command outlives us, its cancellation, or its supervisor."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import psutil
import pytest
from tests.foundation.sandbox.conftest import METHODS, Bench, list_commands, wait_until

from referee.foundation.sandbox import Limits, run_command
from referee.foundation.sandbox.launching import supervisor_command

TREE = "(trap '' TERM HUP; setsid sleep {marker} & sleep {marker}) & echo up; exec sleep {marker}"

# SIGINT is ignored in what a shell starts in the background, and children inherit that.
RUN_AND_WAIT = """
import asyncio, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from referee.foundation.sandbox import Command, Limits, run_command
scratch, output, script = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
command = Command(label="t", argv=("/bin/sh", "-c", script), working_dir=scratch, writable=(scratch,))
asyncio.run(run_command(command, Limits(wall_s=100), output))
"""


def _start_tree(bench: Bench, marker: str) -> subprocess.Popen[bytes]:
    script = TREE.format(marker=marker)
    child = subprocess.Popen(
        [sys.executable, "-c", RUN_AND_WAIT, str(bench.scratch_dir), str(bench.output_dir), script]
    )
    wait_until(
        lambda: len([line for line in list_commands(marker) if line.startswith("sleep")]) == 3, within_s=30
    )
    return child


def test_killing_us_leaves_nothing_within_a_second(bench: Bench, method: str) -> None:
    with _start_tree(bench, "7421.5") as child:
        [supervisor] = psutil.Process(child.pid).children()
        child.kill()
        took_s = wait_until(lambda: not list_commands("7421.5"), within_s=1.0)
    assert took_s < 1.0
    wait_until(lambda: not supervisor.is_running(), within_s=5)


def test_interrupting_us_leaves_nothing(bench: Bench, method: str) -> None:
    with _start_tree(bench, "7422.5") as child:
        child.send_signal(signal.SIGINT)
        child.wait(10)
        assert list_commands("7422.5") == []


async def test_cancelled_task_returns_only_when_nothing_is_left(bench: Bench, method: str) -> None:
    task = asyncio.create_task(bench.shell(TREE.format(marker="7423.5")))
    await asyncio.to_thread(wait_until, lambda: len(list_commands("7423.5")) >= 3, within_s=30)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list_commands("7423.5") == []


async def test_task_cancelled_before_it_started_leaves_nothing(bench: Bench, method: str) -> None:
    await bench.shell("true")
    task = asyncio.create_task(bench.shell("sleep 7424.5"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list_commands("7424.5") == []


async def test_deadline_of_the_caller_ends_the_tree_too(bench: Bench, method: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await bench.shell("sleep 7425.5")
    assert list_commands("7425.5") == []


async def test_command_whose_supervisor_is_killed_is_no_success(bench: Bench, method: str) -> None:
    marker = f"7426.{METHODS.index(method)}5"
    task = asyncio.create_task(bench.shell(f"setsid sleep {marker} & exec sleep {marker}"))
    await asyncio.to_thread(wait_until, lambda: len(list_commands(f"sleep {marker}")) >= 2, within_s=30)
    script = supervisor_command()[-2]
    [supervisor] = [child for child in psutil.Process().children() if script in child.cmdline()]
    supervisor.kill()
    result = await task
    assert (result.end, result.signal, result.exit_code) == ("signaled", 9, None)
    assert "supervisor" in result.reason
    wait_until(lambda: not list_commands(f"sleep {marker}"), within_s=2)


async def test_twenty_commands_at_once_all_end_as_they_should(bench: Bench, method: str) -> None:
    folders = [bench.output_dir / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
    results = await asyncio.gather(
        *(
            run_command(bench.shell_command(f"sleep 0.2; exit {number}"), Limits(wall_s=30), folder)
            for number, folder in enumerate(folders)
        )
    )
    assert [result.exit_code for result in results] == list(range(20))
