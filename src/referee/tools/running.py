"""Running one command of a tool and collecting everything it wrote.

The tool gets the snapshot read-only and one empty writable folder; Referee's
own capture of stdout and stderr lies outside of what the tool can write. Report
files are read without following links, so a hostile one cannot make Referee
read anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from referee.core.errors import NotFound
from referee.foundation.sandbox import Command, CommandResult, Limits, read_written_file
from referee.tools.contract import Installation, RawOutput, RunKit

__all__ = ["RUNNERS_DIR", "merge_outputs", "probe_python_package", "run_tool_command", "work_dir"]

RUNNERS_DIR = Path(__file__).parent / "runners"
"""Small scripts of ours that a tool's own interpreter runs; shown to the sandbox read-only."""

_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONSAFEPATH": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "PYTHONWARNINGS": "ignore",
    "TZ": "UTC",
}
"""The same for every tool: no colours, no files beside sources, no code from the working folder."""


def work_dir(kit: RunKit) -> Path:
    """Return the folder that the tool may write, made when absent."""
    folder = kit.scratch_dir / "work"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


async def run_tool_command(
    kit: RunKit,
    label: str,
    argv: Sequence[str],
    *,
    report_files: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    working_dir: Path | None = None,
    read_only: Sequence[Path] = (),
    stdin: bytes = b"",
    limits: Limits | None = None,
) -> RawOutput:
    """Run a command of a tool in the sandbox and return its raw output.

    Args:
        kit: What the tool got to run.
        label: Short name for logs; unique among the commands of one run.
        argv: Program (absolute path) and arguments.
        report_files: Names of files directly in ``work_dir(kit)`` that the tool writes; each
            becomes a stream of that name, absent when the tool wrote none.
        environment: Variables besides those that every tool gets.
        working_dir: Where it runs; the snapshot's root by default.
        read_only: Folders to show besides the snapshot and the installation.
        stdin: What it reads.
        limits: Other limits than the run's.
    """
    bounds = limits or kit.limits
    work = work_dir(kit)
    output_dir = kit.scratch_dir / f"output-{label}"
    output_dir.mkdir(mode=0o700, exist_ok=True)
    command = Command(
        label=label,
        argv=tuple(argv),
        working_dir=working_dir or kit.snapshot.root,
        environment={**_ENVIRONMENT, "HOME": str(work), "TMPDIR": str(work), **(environment or {})},
        read_only=(kit.snapshot.root, *kit.installation.read_only, *read_only),
        writable=(work,),
        stdin=stdin,
        network=kit.app.network if kit.app is not None else None,
        has_network=kit.app is not None and kit.app.network is None,
    )
    result = await kit.run_command(command, bounds, output_dir)
    return await asyncio.to_thread(_collect, kit, command, result, tuple(report_files), bounds.output_bytes)


def _collect(
    kit: RunKit,
    command: Command,
    result: CommandResult,
    report_files: tuple[str, ...],
    cap_bytes: int,
) -> RawOutput:
    work = work_dir(kit)
    streams: dict[str, bytes] = {}
    totals: dict[str, int] = {}
    for name, path, total in (
        ("stdout", result.stdout_path, result.stdout_bytes),
        ("stderr", result.stderr_path, result.stderr_bytes),
    ):
        with path.open("rb") as file:
            streams[name] = file.read(cap_bytes)
        totals[name] = total
    for name in report_files:
        with contextlib.suppress(NotFound):
            streams[name], totals[name] = read_written_file(work, name, max_bytes=cap_bytes)
    return RawOutput(
        streams=streams,
        total_bytes=totals,
        end=result.end,
        exit_code=result.exit_code if result.signal is None else -result.signal,
        duration_ms=result.duration_ms,
        cpu_ms=result.cpu_ms,
        peak_memory_bytes=result.peak_memory_bytes,
        isolation=result.isolation,
        reason=result.reason,
        command=tuple(_hide_folders(argument, kit, work) for argument in command.argv),
    )


def _hide_folders(argument: str, kit: RunKit, work: Path) -> str:
    folders = {
        str(work): "$SCRATCH",
        str(kit.scratch_dir): "$SCRATCH",
        str(kit.snapshot.root): "$SUBJECT",
        str(kit.installation.root): "$TOOL",
        str(RUNNERS_DIR.parent): "$REFEREE",
    }
    for folder in sorted(folders, key=len, reverse=True):
        argument = argument.replace(folder, folders[folder])
    return argument


def merge_outputs(first: RawOutput, others: Mapping[str, RawOutput]) -> RawOutput:
    """Return one raw output of several commands of the same run.

    The streams of ``first`` keep their names; those of the others get their key as a prefix
    (``nosec.stdout``). Times add up; the end is the first that was not ``exited``.
    """
    streams, totals = dict(first.streams), dict(first.total_bytes)
    for prefix, other in others.items():
        streams |= {f"{prefix}.{name}": data for name, data in other.streams.items()}
        totals |= {f"{prefix}.{name}": total for name, total in other.total_bytes.items()}
    runs = (first, *others.values())
    stopped = next((run for run in runs if run.end != "exited"), first)
    peaks = [run.peak_memory_bytes for run in runs if run.peak_memory_bytes is not None]
    return replace(
        first,
        streams=streams,
        total_bytes=totals,
        end=stopped.end,
        exit_code=stopped.exit_code if stopped is first or stopped.end == "signaled" else None,
        reason=stopped.reason,
        duration_ms=sum(run.duration_ms for run in runs),
        cpu_ms=sum(run.cpu_ms for run in runs),
        peak_memory_bytes=max(peaks, default=None),
    )


async def probe_python_package(installation: Installation, package: str) -> str:
    """Return the version of a package in a tool's own Python environment, read from its metadata.

    Nothing of the tool runs. Empty when the package is not there.
    """
    wanted = package.replace("-", "_").lower()

    def find() -> str:
        for folder in sorted(installation.root.glob("lib/python*/site-packages/*.dist-info")):
            name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
            if name.lower() == wanted:
                return version
        return ""

    return await asyncio.to_thread(find)
