"""How a busy machine stretches a deadline."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.foundation.sandbox.conftest import Bench

from referee.foundation.sandbox.supervisor.deadline import Deadline, compute_starvation

seconds = st.floats(0, 1000)


@pytest.mark.parametrize(
    ("ran_s", "waited_s", "lost_s"),
    [
        (0.0, 0.0, 0.0),  # asleep
        (1.0, 0.0, 0.0),  # alone
        (0.5, 0.5, 0.5),  # one thread beside one of another program
        (2.0, 2.0, 0.0),  # four threads in each other's way on two cores
        (1.0, 3.0, 0.5),  # the same, and another program has one core
        (0.0, 1.0, 1.0),  # never got a CPU
        (0.1, 0.1, 0.1),  # mostly asleep
    ],
)
def test_time_lost_to_others_is_told_from_time_lost_to_oneself(
    ran_s: float, waited_s: float, lost_s: float
) -> None:
    assert compute_starvation(1.0, ran_s, waited_s, 2) == pytest.approx(lost_s)


@given(passed_s=seconds, ran_s=seconds, waited_s=seconds, cores_count=st.integers(1, 64))
def test_lost_time_is_never_more_than_the_time_that_passed(
    passed_s: float, ran_s: float, waited_s: float, cores_count: int
) -> None:
    assert 0 <= compute_starvation(passed_s, ran_s, waited_s, cores_count) <= passed_s


def test_deadline_stretches_by_what_was_lost_up_to_its_limit() -> None:
    deadline = Deadline(10, 3, 0)
    assert not deadline.is_over(9, {1: (0, 9_000_000_000)})
    assert not deadline.is_over(18, {1: (0, 18_000_000_000)})
    assert not deadline.is_over(29, {1: (0, 29_000_000_000)})
    assert deadline.is_over(30, {1: (0, 30_000_000_000)})


def test_deadline_of_a_sleeping_program_does_not_stretch() -> None:
    deadline = Deadline(10, 3, 0)
    assert not deadline.is_over(9.9, {1: (1000, 1000)})
    assert deadline.is_over(10.01, {1: (2000, 1000)})


async def test_busy_machine_stretches_the_deadline_of_a_working_program(bench: Bench, method: str) -> None:
    burn = ["/bin/sh", "-c", "while :; do :; done"]
    count = 2 * len(os.sched_getaffinity(0))
    # Each in a session of its own: some kernels share the CPU out by session.
    others = [subprocess.Popen(burn, start_new_session=True) for _ in range(count)]
    try:
        working, hanging = await asyncio.gather(
            bench.shell("while :; do :; done", wall_s=1, wall_stretch=4),
            _with_own_output(bench).shell("exec sleep 600", wall_s=1, wall_stretch=4),
        )
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert (working.end, hanging.end) == ("timed_out", "timed_out")
    assert "without a CPU" in working.reason
    assert working.duration_ms > 1.3 * hanging.duration_ms


def _with_own_output(bench: Bench) -> Bench:
    folder = bench.output_dir / "other"
    folder.mkdir()
    scratch = bench.scratch_dir.parent / "other-scratch"
    scratch.mkdir()
    return Bench(scratch, folder, bench.read_only_dir)
