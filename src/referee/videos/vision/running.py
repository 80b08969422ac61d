"""Running a job of the child process in the sandbox, and reading what it wrote.

The child sees the clip, its own environment and weights, what the job names, and one empty folder it may write; no
network. Its memory, processor time and wall time are bounded by the size of the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from referee.core.errors import NotFound
from referee.foundation.sandbox import Command, CommandResult, Limits, read_written_file, run_command
from referee.foundation.settings import Settings
from referee.videos.shapes import VideoRefused
from referee.videos.vision.installing import find_vision
from referee.videos.vision.limits import DEFAULT_LIMITS, VideoLimits

__all__ = ["ChildRun", "OnProgress", "running_child"]

OnProgress = Callable[[float], Awaitable[None]]

_CHILD_DIR = Path(__file__).parent / "child"
_POLL_S = 0.25
_RESULT_BYTES = 64 * 1024 * 1024
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONUTF8": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TZ": "UTC",
}


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What a job gave. ``out`` is gone when the ``async with`` ends: read or move files before."""

    out: Path
    values: dict[str, Any]
    versions: dict[str, str]
    cpu_s: float
    peak_memory_bytes: int | None

    def read(self, name: str, *, max_bytes: int = 1024 * 1024 * 1024) -> bytes:
        """Return a file the child wrote."""
        return read_written_file(self.out, name, max_bytes=max_bytes)[0]


@contextlib.asynccontextmanager
async def running_child(
    task: str,
    path: Path,
    job: Mapping[str, Any],
    *,
    work: Path | None,
    seconds: float,
    files: Mapping[str, bytes] | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    on_progress: OnProgress | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[ChildRun]:
    """Run a job and yield what it gave; nothing of it is left afterwards, whatever happens.

    Args:
        task: Name of the job, as in ``child/jobs.py``.
        path: The clip.
        job: Its further fields, JSON.
        work: Folder to make temporary folders in; the system's without it.
        seconds: Processor time it may take, and wall time on a quiet machine.
        files: Contents by name, shown to the child read-only; the job names them as ``{"file": name}``.
        limits: Of the clip and the child.
        on_progress: Told the share done, about four times a second at most.
        settings: Where the environment is; those of the environment without it.

    Raises:
        VideoRefused: The clip cannot be analysed, or the child broke a limit or crashed on it.
        Unavailable: Video analysis is not installed.
    """
    vision = await find_vision(settings)
    path = path.resolve()
    if not path.is_file():
        raise VideoRefused("empty", "The clip is not there any more. Upload it again.")
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="video-", dir=work)).resolve()
    try:
        out, given, output = (folder / name for name in ("out", "given", "output"))
        for one in (out, given, output):
            one.mkdir(mode=0o755 if one is given else 0o700)
        folder.chmod(0o711)
        for name, content in (files or {}).items():
            await asyncio.to_thread((given / name).write_bytes, content)
        described = {
            "task": task,
            "path": str(path),
            "out": str(out),
            "models_dir": str(vision.models_dir),
            "memory_bytes": limits.memory_bytes,
            **{name: _resolve(value, given) for name, value in job.items()},
        }
        command = Command(
            label="video",
            argv=(str(vision.python), "-I", str(_CHILD_DIR / "__main__.py")),
            working_dir=out,
            environment=_ENVIRONMENT,
            read_only=(path, given, _CHILD_DIR, *vision.read_only),
            writable=(out,),
            stdin=json.dumps(described).encode(),
            is_log_live=True,
        )
        bounds = Limits(
            wall_s=seconds,
            cpu_s=seconds,
            memory_bytes=limits.memory_bytes,
            processes_count=32,
            file_bytes=2048 * 1024 * 1024,
            output_bytes=4 * 1024 * 1024,
            disk_files_count=1000,
        )
        result = await _run(command, bounds, output, on_progress)
        values = await asyncio.to_thread(_read_result, out, result)
        yield ChildRun(out, values, vision.versions, result.cpu_ms / 1000, result.peak_memory_bytes)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _resolve(value: Any, given: Path) -> Any:
    if isinstance(value, dict) and set(value) == {"file"}:
        return str(given / value["file"])
    if isinstance(value, list):
        return [_resolve(one, given) for one in value]
    return value


async def _run(
    command: Command, bounds: Limits, output: Path, on_progress: OnProgress | None
) -> CommandResult:
    running = asyncio.create_task(run_command(command, bounds, output))
    shown = 0.0
    try:
        while on_progress is not None and not (await asyncio.wait([running], timeout=_POLL_S))[0]:
            share = await asyncio.to_thread(_read_share, output / f"{command.label}.stdout")
            if share > shown:
                shown = share
                await on_progress(share)
        return await running
    finally:
        if not running.done():
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def _read_share(path: Path) -> float:
    """Return the last share that the child printed."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0.0
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return min(1.0, max(0.0, float(json.loads(line)["share"])))
    return 0.0


def _read_result(out: Path, result: CommandResult) -> dict[str, Any]:
    if result.end in ("timed_out", "cpu_exceeded"):
        raise VideoRefused(
            "timeout",
            "Reading the clip took longer than it may. Export it again as H.264, or cut it shorter.",
        )
    if result.end == "memory_exceeded":
        raise VideoRefused(
            "out_of_memory",
            "The pictures need more memory than a pass may use. Export the clip at 4K or below.",
        )
    answer: Any = None
    if result.end == "exited" and result.exit_code == 0:
        with contextlib.suppress(NotFound, ValueError):
            answer = json.loads(read_written_file(out, "result.json", max_bytes=_RESULT_BYTES)[0])
    if not isinstance(answer, dict):
        raise VideoRefused("crashed", _explain_crash(result))
    if "refused" in answer:
        raise VideoRefused(str(answer["refused"]["code"]), str(answer["refused"]["reason"]))
    values: dict[str, Any] = answer["result"]
    return values


def _explain_crash(result: CommandResult) -> str:
    with result.stdout_path.open("rb") as file:
        file.seek(max(0, result.stdout_path.stat().st_size - 2000))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    said = f" ({lines[-1][:200]})" if lines and not lines[-1].startswith("{") else ""
    what = f"ended by signal {result.signal}" if result.signal else f"ended with {result.end}"
    return f"The decoder {what} on this clip{said}. Export the clip again as H.264 and upload that."
