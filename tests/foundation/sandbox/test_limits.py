"""What becomes of programs that want more than they may have."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
from tests.foundation.sandbox.conftest import Bench, list_commands

from referee.foundation.sandbox import detect_isolation

MIB = 1024 * 1024


async def test_hanging_program_ends_at_its_deadline(bench: Bench, method: str) -> None:
    result = await bench.shell("exec sleep 600", wall_s=1)
    assert result.end == "timed_out"
    assert 1000 <= result.duration_ms < 2500
    assert "1 s are allowed" in result.reason


async def test_program_that_obeys_the_request_to_stop_can_still_write(bench: Bench, method: str) -> None:
    result = await bench.shell("trap 'echo bye; exit 0' TERM; sleep 600 & wait", wall_s=1)
    assert result.end == "timed_out"
    assert result.stdout_path.read_text() == "bye\n"


async def test_program_that_ignores_the_request_to_stop_is_killed(bench: Bench, method: str) -> None:
    result = await bench.shell("trap '' TERM; while :; do sleep 0.1; done", wall_s=1)
    assert result.end == "timed_out"
    assert 3000 <= result.duration_ms < 6000


async def test_program_that_closes_its_output_and_lives_on_ends_at_its_deadline(
    bench: Bench, method: str
) -> None:
    result = await bench.shell("echo said; exec >&- 2>&-; exec sleep 600", wall_s=1)
    assert result.end == "timed_out"
    assert result.stdout_path.read_text() == "said\n"
    assert result.duration_ms < 2500


async def test_grandchild_with_a_session_of_its_own_ends_with_its_parent(bench: Bench, method: str) -> None:
    result = await bench.shell("setsid setsid sleep 7411.25 & sleep 0.2; exit 0")
    assert (result.end, result.exit_code) == ("exited", 0)
    assert list_commands("sleep 7411.25") == []


async def test_grandchild_that_keeps_the_output_open_does_not_hold_up_the_end(
    bench: Bench, method: str
) -> None:
    result = await bench.shell("(trap '' TERM HUP; sleep 7412.25) & exit 4")
    assert (result.exit_code, list_commands("sleep 7412.25")) == (4, [])
    assert result.duration_ms < 5000


async def test_fork_bomb_stays_small_and_ends_without_a_rest(bench: Bench, method: str) -> None:
    code = (
        "import os, time\n"
        "made = 0\n"
        "while True:\n"
        "    try:\n"
        "        if os.fork() == 0: time.sleep(7413.25)\n"
        "        made += 1\n"
        "    except OSError as error:\n"
        "        print(made, error.errno, flush=True); os._exit(0)\n"
    )
    result = await bench.python(code, wall_s=20, processes_count=40)
    made, number = (int(word) for word in result.stdout_path.read_text().split())
    assert (result.end, number) == ("exited", 11)
    assert 30 <= made <= 48
    assert list_commands("sleep(7413.25)") == []


async def test_fork_bomb_that_never_stops_ends_at_its_deadline(bench: Bench, method: str) -> None:
    code = (
        "import os, signal\n"
        "marker = 'bomb-7414'\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: pass\n"
    )
    result = await bench.python(code, wall_s=1, wall_stretch=2, processes_count=40, cpu_s=100)
    # Where processes cannot be counted for the command alone, it is the watch that ends it.
    assert result.end in ("timed_out", "signaled")
    assert result.duration_ms < 7000
    assert list_commands("bomb-7414") == []


async def test_program_that_takes_ten_gigabytes_is_ended(bench: Bench, method: str) -> None:
    code = "parts = []\nfor _ in range(1280): parts.append(bytearray(8 << 20))\nprint('all of it')"
    result = await bench.python(code, memory_bytes=300 * MIB)
    assert result.end == "memory_exceeded"
    assert result.stdout_bytes == 0
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes < 2000 * MIB


async def test_large_reservation_that_is_not_used_is_allowed(bench: Bench, method: str) -> None:
    code = "import mmap\nprint(len(mmap.mmap(-1, 64 << 30, mmap.MAP_PRIVATE | 0x4000, mmap.PROT_READ)) >> 30)"
    result = await bench.python(code, memory_bytes=300 * MIB)
    assert (result.end, result.stdout_path.read_text()) == ("exited", "64\n")


async def test_cpu_time_of_all_processes_together_is_limited(bench: Bench, method: str) -> None:
    script = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
    result = await bench.shell(script, cpu_s=1.5, wall_s=30)
    assert result.end == "cpu_exceeded"
    assert 1400 <= result.cpu_ms < 4000


async def test_file_larger_than_the_limit_cannot_be_written(bench: Bench, method: str) -> None:
    result = await bench.shell("head -c 3000000 /dev/zero > big; echo $?", file_bytes=MIB)
    assert (bench.scratch_dir / "big").stat().st_size == MIB
    assert result.stdout_path.read_text() != "0\n"


async def test_many_files_that_fill_the_disk_end_the_program(bench: Bench, method: str) -> None:
    script = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > $i; done"
    result = await bench.shell(script, disk_bytes=50 * MIB, wall_s=30)
    assert (result.end, result.signal) == ("signaled", 9)
    assert "50 are allowed" in result.reason


async def test_temporary_folder_counts_as_disk_too(bench: Bench, method: str) -> None:
    script = 'i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > "$TMPDIR/$i"; done'
    result = await bench.shell(script, disk_bytes=50 * MIB, wall_s=30)
    assert "50 are allowed" in result.reason


async def test_too_many_files_end_the_program(bench: Bench, method: str) -> None:
    code = "import itertools\nfor number in itertools.count(): open(f'f{number}', 'w').close()"
    result = await bench.python(code, disk_files_count=3000, wall_s=30)
    assert (result.end, result.signal) == ("signaled", 9)
    assert "3000 are allowed" in result.reason


async def test_two_hundred_megabytes_of_output_cost_us_no_memory(bench: Bench, method: str) -> None:
    await bench.shell("true")
    gc.collect()
    before = psutil.Process().memory_info().rss
    result = await bench.shell("head -c 200000000 /dev/zero", output_bytes=MIB)
    assert psutil.Process().memory_info().rss - before < 16 * MIB
    assert (result.end, result.stdout_bytes, result.is_stdout_truncated) == ("exited", 200_000_000, True)
    assert result.stdout_path.stat().st_size == MIB


async def test_output_of_exactly_the_limit_is_not_truncated(bench: Bench, method: str) -> None:
    result = await bench.shell("head -c 1048576 /dev/urandom >&2", output_bytes=MIB)
    assert (result.stderr_bytes, result.is_stderr_truncated) == (MIB, False)
    assert result.stderr_path.stat().st_size == MIB


async def test_endless_output_is_cut_at_the_deadline(bench: Bench, method: str) -> None:
    result = await bench.shell("exec cat /dev/zero", wall_s=1, output_bytes=MIB)
    assert result.end == "timed_out"
    assert result.stdout_bytes > 10 * MIB
    assert result.stdout_path.stat().st_size == MIB


async def test_core_files_are_not_written(bench: Bench, method: str) -> None:
    await bench.shell("kill -QUIT $$")
    assert list(bench.scratch_dir.iterdir()) == []


async def test_limits_that_are_named_really_bind(method: str) -> None:
    assert "processes" in detect_isolation().limits
    assert Path("/proc/self/cgroup").exists()
