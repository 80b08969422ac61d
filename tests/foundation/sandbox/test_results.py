"""What comes back from a command that stays within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
from tests.foundation.sandbox.conftest import Bench, list_open_files

from referee.core.errors import InvalidInput
from referee.foundation.sandbox import Command, Limits, detect_isolation, run_command
from referee.foundation.sandbox.supervisor.processes import list_descendants


async def test_exit_code_and_both_streams_come_back(bench: Bench, method: str) -> None:
    result = await bench.shell("echo out; echo err >&2; exit 3")
    assert (result.end, result.exit_code, result.signal, result.reason) == ("exited", 3, None, "")
    assert (result.stdout_path.read_bytes(), result.stderr_path.read_bytes()) == (b"out\n", b"err\n")
    assert (result.stdout_bytes, result.is_stdout_truncated) == (4, False)
    assert result.isolation.method == method
    assert 0 < result.duration_ms < 30_000


async def test_high_exit_code_is_not_taken_for_a_signal(bench: Bench, method: str) -> None:
    result = await bench.shell("exit 255")
    assert (result.end, result.exit_code) == ("exited", 255)


async def test_death_by_signal_is_reported_as_such(bench: Bench, method: str) -> None:
    result = await bench.shell("kill -SEGV $$")
    assert (result.end, result.exit_code, result.signal) == ("signaled", None, 11)
    assert "signal 11" in result.reason


async def test_kill_from_outside_is_reported_as_a_signal_also_of_the_sandbox_itself(
    bench: Bench, method: str
) -> None:
    running = asyncio.create_task(bench.shell("sleep 61.25; true"))
    async with asyncio.timeout(20):
        while not list_processes_of("sleep\x0061.25"):
            await asyncio.sleep(0.01)
    for pid in list_processes_of("61.25"):
        with contextlib.suppress(ProcessLookupError):  # it ended with the one before
            os.kill(pid, signal.SIGKILL)

    result = await running

    assert (result.end, result.signal) == ("signaled", 9)
    assert "signal 9" in result.reason


def list_processes_of(word: str) -> list[int]:
    """Return our descendants whose command line holds a word."""
    found = []
    for pid in list_descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


async def test_standard_input_arrives_whole(bench: Bench, method: str) -> None:
    data = os.urandom(300_000)
    command = bench.python_command("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", stdin=data)
    result = await bench.run(command)
    assert result.stdout_path.read_bytes() == data


async def test_standard_input_is_empty_by_default(bench: Bench, method: str) -> None:
    result = await bench.shell("cat | wc -c")
    assert result.stdout_path.read_text().strip() == "0"


async def test_program_sees_only_the_environment_it_was_given(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    command = Command(
        label="env",
        argv=("/usr/bin/env",),
        working_dir=bench.scratch_dir,
        writable=(bench.scratch_dir,),
        environment={"GIVEN": "yes", "PATH": "/extra"},
    )
    result = await run_command(command, Limits(wall_s=30), bench.output_dir)
    lines = dict(line.split("=", 1) for line in result.stdout_path.read_text().splitlines())
    assert lines.pop("HOME") == lines.pop("TMPDIR")
    lines.pop("PWD", None)
    assert lines == {"GIVEN": "yes", "PATH": "/extra:/usr/bin:/bin", "LANG": "C.UTF-8"}


async def test_program_has_only_three_open_files(bench: Bench, method: str) -> None:
    result = await bench.python("import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd')))")
    # The fourth is the listing's own.
    assert result.stdout_path.read_text().strip() == "[0, 1, 2, 3]"


async def test_home_and_temporary_folder_are_private_and_gone_afterwards(bench: Bench, method: str) -> None:
    result = await bench.shell(
        f'echo x > "$HOME/a" && echo x > "$TMPDIR/b" && echo "$HOME" > {bench.scratch_dir}/home'
    )
    home = Path((bench.scratch_dir / "home").read_text().strip())
    assert result.exit_code == 0
    assert not (home / "a").exists()
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("referee-run-*/a"))


async def test_what_was_written_belongs_to_us_afterwards(bench: Bench, method: str) -> None:
    (bench.scratch_dir / "ours").write_text("ours")
    await bench.shell(
        "mkdir -p deep/er; echo result > deep/er/file; echo theirs >> ours; chmod 600 deep/er/file"
    )
    written = bench.scratch_dir / "deep" / "er" / "file"
    assert written.read_text() == "result\n"
    assert written.stat().st_uid == os.geteuid()
    assert (bench.scratch_dir / "ours").read_text() == "ourstheirs\n"


async def test_read_only_files_below_closed_folders_can_be_read(bench: Bench, method: str) -> None:
    secret = bench.read_only_dir / "inner" / "file"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("shown")
    secret.chmod(0o600)
    bench.read_only_dir.chmod(0o700)
    bench.read_only_dir.parent.chmod(0o700)
    result = await bench.shell(f"cat {secret}; mkdir {bench.read_only_dir}/new")
    assert result.stdout_path.read_text() == "shown"


async def test_names_that_are_not_utf_8_and_hold_newlines_pass_unchanged(bench: Bench, method: str) -> None:
    name = os.fsdecode(b"-rf \xff\n'$(x)")
    folder = bench.scratch_dir / name
    folder.mkdir()
    command = Command(
        label="a/b c", argv=("/bin/ls", "-d", str(folder)), working_dir=folder, writable=(folder,)
    )
    result = await run_command(command, Limits(wall_s=30), bench.output_dir)
    assert result.stdout_path.read_bytes() == os.fsencode(folder) + b"\n"
    assert result.stdout_path.name == "a_b_c.stdout"


async def test_time_and_memory_are_measured(bench: Bench, method: str) -> None:
    result = await bench.python(
        "data = b'x' * 200_000_000\nimport time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    )
    assert 450 <= result.cpu_ms <= 5000
    assert result.peak_memory_bytes is not None
    assert 190_000_000 <= result.peak_memory_bytes <= 400_000_000


def list_children() -> list[int]:
    """Return the descendants of this process, without those of a database that other tests have started."""
    children = []
    for pid in list_descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
                children.append(pid)
    return children


async def test_many_commands_leave_no_files_processes_or_folders(bench: Bench, method: str) -> None:
    await bench.shell("true")
    files, children = list_open_files(), list_children()
    for _ in range(25):
        await bench.shell("true")
    assert len(list_open_files()) <= len(files)
    assert list_children() == children


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"argv": ()}, "sandbox.no_program"),
        ({"argv": ("true",)}, "sandbox.bad_path"),
        ({"argv": ("/bin/../bin/true",)}, "sandbox.bad_path"),
        ({"argv": ("/bin/no-such-program",)}, "sandbox.absent_path"),
        ({"argv": ("/etc/passwd",)}, "sandbox.not_a_program"),
        ({"argv": ("/bin/echo", "a\0b")}, "sandbox.bad_text"),
        ({"environment": {"A=B": "c"}}, "sandbox.bad_text"),
        ({"environment": {"A": "\0"}}, "sandbox.bad_text"),
        ({"working_dir": Path("scratch")}, "sandbox.bad_path"),
        ({"working_dir": Path("/etc")}, "sandbox.not_shown"),
        ({"writable": (Path("/no/such/folder"),)}, "sandbox.absent_path"),
        ({"writable": (Path("/usr/bin/env"),)}, "sandbox.not_a_folder"),
        ({"read_only": (Path("relative"),)}, "sandbox.bad_path"),
    ],
)
async def test_command_that_cannot_be_run_as_given_is_refused(
    bench: Bench, change: dict[str, object], code: str
) -> None:
    given: dict[str, object] = {
        "label": "bad",
        "argv": ("/bin/true",),
        "working_dir": bench.scratch_dir,
        "writable": (bench.scratch_dir,),
    }
    command = Command(**{**given, **change})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as caught:
        await run_command(command, Limits(wall_s=5), bench.output_dir)
    assert caught.value.code == code


async def test_writable_folder_inside_a_read_only_one_is_refused(bench: Bench) -> None:
    inner = bench.read_only_dir / "inner"
    inner.mkdir()
    command = Command(
        label="bad",
        argv=("/bin/true",),
        working_dir=inner,
        writable=(inner,),
        read_only=(bench.read_only_dir,),
    )
    with pytest.raises(InvalidInput, match="lies inside"):
        await run_command(command, Limits(wall_s=5), bench.output_dir)


async def test_limit_of_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="wall_s must be above zero"):
        await bench.shell("true", wall_s=0)


async def test_program_that_cannot_be_executed_is_not_started(bench: Bench, method: str) -> None:
    broken = bench.scratch_dir / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    command = Command(
        label="broken", argv=(str(broken),), working_dir=bench.scratch_dir, writable=(bench.scratch_dir,)
    )
    result = await run_command(command, Limits(wall_s=5), bench.output_dir)
    assert result.end in ("not_started", "exited")
    assert result.exit_code in (None, 127)
    assert "o such file" in result.reason + result.stderr_path.read_text()


def test_unknown_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFEREE_SANDBOX_METHOD", "magic")
    with pytest.raises(InvalidInput, match="not an isolation method"):
        detect_isolation()


def test_isolation_says_which_limits_bind_and_why(method: str) -> None:
    isolation = detect_isolation()
    assert {"wall", "cpu", "memory", "file_size", "open_files", "disk", "output"} <= set(isolation.limits)
    assert isolation.reason.endswith(".")
