"""A tool may do what it likes: its outcome says so, the others finish, and nothing of it is left."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from tests.faults.conftest import OpenBad, WriteProgram, analyse, list_problems, list_processes_of

from referee.analysis import AnalysisRequest, cancel_analysis, create_analysis
from referee.core.vocabulary import AnalysisState, ExitMeaning, Outcome, ParseState
from referee.foundation.access import get_project
from referee.tools.registry import get_tool

MEBIBYTE = 1 << 20

HANGS = "import time\ntime.sleep(1000)\n"

IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(1)
"""

FORKS_GRANDCHILDREN = """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        os._exit(0)
time.sleep(1000)
"""

LEAVES_A_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
"""

CLOSES_ITS_OUTPUT = """
import os, time
os.close(1)
os.close(2)
time.sleep(1000)
"""

PRINTS_200_MB = """
import sys
block = b"x" * (1 << 20)
for _ in range(200):
    sys.stdout.buffer.write(block)
"""

EATS_MEMORY = """
hoard = []
while True:
    hoard.append(b"x" * (64 << 20))
"""

CRASHES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"

WRITES_REPORT = """
import sys
target = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--output="))
open(target, "wb").write({report!r})
"""

BANDIT_REPORT = {
    "errors": [],
    "generated_at": "2026-01-01T00:00:00Z",
    "metrics": {
        "./main.py": {"loc": 9, "nosec": 0, "skipped_tests": 0},
        "_totals": {"loc": 9, "nosec": 0, "skipped_tests": 0},
    },
    "results": [
        {
            "code": "5 def run(name):\n",
            "col_offset": 11,
            "end_col_offset": 51,
            "filename": "./main.py",
            "issue_confidence": "HIGH",
            "issue_cwe": {"id": 78, "link": "https://cwe.mitre.org/data/definitions/78.html"},
            "issue_severity": "HIGH",
            "issue_text": "subprocess call with shell=True identified, security issue.",
            "line_number": 6,
            "line_range": [6],
            "more_info": "https://bandit.readthedocs.io/",
            "test_id": "B602",
            "test_name": "subprocess_popen_with_shell_equals_true",
        }
    ],
}


@pytest.mark.parametrize(
    ("source", "outcome", "words"),
    [
        pytest.param(HANGS, Outcome.timed_out, "not done", id="hangs"),
        pytest.param(IGNORES_SIGTERM, Outcome.timed_out, "not done", id="ignores SIGTERM"),
        pytest.param(FORKS_GRANDCHILDREN, Outcome.timed_out, "not done", id="forks grandchildren"),
        pytest.param(CLOSES_ITS_OUTPUT, Outcome.timed_out, "not done", id="closes its output but lives"),
        pytest.param(LEAVES_A_DAEMON, Outcome.parse_error, "report.json", id="leaves a daemon"),
        pytest.param(CRASHES, Outcome.failed, "signal 11", id="crashes by a signal"),
    ],
)
async def test_misbehaving_tool_gets_its_outcome_and_the_others_finish(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path, source: str, outcome: Outcome, words: str
) -> None:
    program = write_program(source)
    async with open_bad(programs={"bandit": program}, tool_wall_max_s=1.5) as application:
        started_s = time.monotonic()
        analysis, runs = await analyse(application, subject, "bandit", "jshint", "radon")
        took_s = time.monotonic() - started_s

        assert runs["bandit"].outcome is outcome, runs["bandit"].reason
        assert words in runs["bandit"].reason
        assert runs["bandit"].findings_count is None
        assert runs["jshint"].outcome is Outcome.not_applicable
        assert runs["radon"].outcome is not None
        assert analysis.state in (AnalysisState.partially_completed, AnalysisState.failed)
        assert "bandit" in analysis.reason
        assert list_processes_of(program.parent) == []
        assert await list_problems(application) == []
    assert took_s < 30


async def test_analysis_with_one_bad_tool_is_partially_completed_and_its_slot_is_free_again(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    program = write_program(CRASHES)
    async with open_bad(programs={"bandit": program}, worker_tool_slots_count=1) as application:
        first, runs = await analyse(application, subject, "bandit", "vulture")
        second, _ = await analyse(application, subject, "vulture")

        assert first.state is AnalysisState.partially_completed
        assert runs["vulture"].outcome is Outcome.succeeded
        assert second.state is AnalysisState.completed
        assert list(application.settings.scratch_dir.iterdir()) == []


async def test_analysis_of_one_bad_tool_alone_has_failed(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    async with open_bad(programs={"bandit": write_program(CRASHES)}) as application:
        analysis, _ = await analyse(application, subject, "bandit")

    assert analysis.state is AnalysisState.failed
    assert analysis.reason == "No tool came to a result: bandit failed."


async def test_tool_that_prints_200_mb_is_cut_and_costs_us_no_memory(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    program = write_program(PRINTS_200_MB)
    async with open_bad(programs={"bandit": program}, raw_output_max_bytes=4 * MEBIBYTE) as application:
        await analyse(application, subject, "vulture")
        with measured_growth() as growth:
            analysis, runs = await analyse(application, subject, "bandit")

        stdout = runs["bandit"].raw["stdout"]
        assert isinstance(stdout, dict)
        assert stdout["total_bytes"] == 200 * MEBIBYTE
        assert stdout["size_bytes"] == 4 * MEBIBYTE
        assert stdout["is_truncated"] is True
        assert runs["bandit"].outcome is Outcome.parse_error
        assert analysis.state is AnalysisState.failed
        assert await list_problems(application) == []
    assert max(growth) <= 64 * MEBIBYTE


async def test_tool_that_prints_more_than_the_default_cap_costs_us_at_most_64_mib(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    async with open_bad(programs={"bandit": write_program(PRINTS_200_MB)}) as application:
        await analyse(application, subject, "vulture")
        with measured_growth() as growth:
            _, runs = await analyse(application, subject, "bandit")

    assert runs["bandit"].outcome is Outcome.parse_error
    assert max(growth) <= 64 * MEBIBYTE


async def test_report_cut_anywhere_is_a_parse_error_with_its_bytes_kept(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    report = json.dumps(BANDIT_REPORT).encode()
    cuts = [report[:length] for length in (0, 1, len(report) // 3, len(report) // 2, len(report) - 1)]
    runs, kept = [], []
    async with open_bad(programs={"bandit": write_program(CRASHES)}) as application:
        for cut in cuts:
            write_program(WRITES_REPORT.format(report=cut))
            _, by_tool = await analyse(application, subject, "bandit")
            stream = by_tool["bandit"].raw["report.json"]
            assert isinstance(stream, dict)
            runs.append(by_tool["bandit"])
            kept.append(await application.artifacts.read_bytes(str(stream["sha256"])))

    assert {run.outcome for run in runs} == {Outcome.parse_error}
    assert {run.parse_state for run in runs} == {ParseState.unreadable}
    assert {run.findings_count for run in runs} == {None}
    assert kept == cuts


async def test_whole_report_of_the_stand_in_is_a_success(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    report = json.dumps(BANDIT_REPORT).encode()
    program = write_program(WRITES_REPORT.format(report=report))
    async with open_bad(programs={"bandit": program}) as application:
        analysis, runs = await analyse(application, subject, "bandit")

    assert analysis.state is AnalysisState.completed
    assert runs["bandit"].findings_count == 1


@pytest.mark.slow
async def test_tool_that_eats_memory_is_ended_and_says_so(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    bound = get_tool("bandit").describe().limits.memory_bytes
    if psutil.virtual_memory().available < bound * 1.5:
        pytest.skip("too little memory free to let a tool use up its share")
    async with open_bad(programs={"bandit": write_program(EATS_MEMORY)}) as application:
        analysis, runs = await analyse(application, subject, "bandit", "vulture")

    assert runs["bandit"].outcome is Outcome.failed
    assert runs["bandit"].exit_meaning in (ExitMeaning.killed, ExitMeaning.findings)
    assert runs["bandit"].reason != ""
    assert analysis.state is AnalysisState.partially_completed


async def test_tool_that_cannot_be_installed_is_unavailable(open_bad: OpenBad, subject: Path) -> None:
    async with open_bad(absent=frozenset({"bandit"})) as application:
        analysis, runs = await analyse(application, subject, "bandit", "vulture")

    assert runs["bandit"].outcome is Outcome.unavailable
    assert runs["bandit"].reason == "bandit could not be installed. Install it."
    assert runs["bandit"].did_run is False
    assert analysis.state is AnalysisState.partially_completed


async def test_tool_whose_program_is_gone_says_so(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    program = write_program(CRASHES)
    program.unlink()
    async with open_bad(programs={"bandit": program}) as application:
        analysis, runs = await analyse(application, subject, "bandit", "vulture")
        problems = await list_problems(application)

    assert runs["bandit"].outcome is Outcome.unavailable
    assert str(program) in runs["bandit"].reason
    assert runs["bandit"].did_run is False
    assert runs["vulture"].outcome is Outcome.succeeded
    assert analysis.state is AnalysisState.partially_completed
    assert problems == []


async def test_cancelled_analysis_leaves_no_process(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    program = write_program(FORKS_GRANDCHILDREN)
    async with open_bad(programs={"bandit": program}) as application:
        room, engine = application.analysis, application.engine
        project_id = (await get_project(application.database, "default")).project_id
        request = AnalysisRequest(path=str(subject), tools=("bandit",))
        analysis = await create_analysis(room, engine, project_id, request)
        async with asyncio.timeout(30):
            while not list_processes_of(program.parent):
                await asyncio.sleep(0.05)
        cancelled = await cancel_analysis(room, engine, project_id, analysis.analysis_id)
        async with asyncio.timeout(10):
            while list_processes_of(program.parent):
                await asyncio.sleep(0.05)

    assert cancelled.state is AnalysisState.cancelled


async def test_closed_application_leaves_no_process(
    open_bad: OpenBad, write_program: WriteProgram, subject: Path
) -> None:
    program = write_program(IGNORES_SIGTERM)
    async with open_bad(programs={"bandit": program}) as application:
        waiting = asyncio.create_task(analyse(application, subject, "bandit"))
        async with asyncio.timeout(30):
            while not list_processes_of(program.parent):
                await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert list_processes_of(program.parent) == []


@contextmanager
def measured_growth() -> Iterator[list[int]]:
    """Sample our resident memory all the while; the list holds its growth in bytes."""
    process, samples, stop = psutil.Process(os.getpid()), [0], Event()
    before = process.memory_info().rss

    def sample() -> None:
        while not stop.wait(0.01):
            samples.append(process.memory_info().rss - before)

    thread = Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
