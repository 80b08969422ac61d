"""Running the code of PYTHON metrics in the sandbox: no network, no files, bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from referee.core.findings import JsonValue
from referee.experiments.evaluators.verdicts import (
    MAX_EXPLANATION_CHARACTERS,
    Verdict,
    check_value,
    clean_text,
)
from referee.experiments.runs.definitions import MetricDefinition
from referee.foundation.sandbox import Command, CommandResult, Limits, run_command
from referee.traces import render_event

if TYPE_CHECKING:
    from referee.foundation.settings import Settings
    from referee.traces import Event

__all__ = ["score_by_code"]

MAX_CODE_CHARACTERS: Final = 200_000
_RUNNER: Final = Path(__file__).parent / "runner" / "run_metric.py"
_START_S: Final = 10.0
"""What starting an interpreter may take on a busy machine."""
_OUTPUT_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one process came to."""

    records: list[dict[str, JsonValue]]
    """One for each event that it got through."""
    reason: str
    """Why it came no further; empty when it ended by itself."""


async def score_by_code(
    settings: Settings, definition: MetricDefinition, events: Sequence[Event]
) -> list[Verdict]:
    """Return what the code of a metric says of events, one verdict each.

    All events go through one process. When one of them ends it (it took too long, or too much
    memory), that event is unscored and the rest goes through another process.

    Args:
        settings: Limits of time and memory.
        definition: Of a PYTHON metric; its criteria are the code.
        events: In any order.
    """
    if len(definition.criteria) > MAX_CODE_CHARACTERS:
        return [Verdict.unscored(f"The code has more than {MAX_CODE_CHARACTERS:,} characters.")] * len(events)
    verdicts: list[Verdict] = []
    while len(verdicts) < len(events):
        attempt = await _run(settings, definition.criteria, events[len(verdicts) :])
        verdicts += [_judge(definition, record) for record in attempt.records]
        if len(verdicts) < len(events):
            verdicts.append(Verdict.unscored(attempt.reason))
    return verdicts


async def _run(settings: Settings, code: str, events: Sequence[Event]) -> _Attempt:
    request = {
        "code": code,
        "events": [render_event(event) for event in events],
        "timeout_s": settings.evaluator_python_timeout_s,
    }
    base = Path(sys.base_prefix).resolve()
    with tempfile.TemporaryDirectory(prefix="referee-metric-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        working_dir, output_dir = folder / "work", folder / "output"
        working_dir.mkdir(mode=0o755)
        output_dir.mkdir(mode=0o700)
        result = await run_command(
            Command(
                label="metric",
                argv=(os.path.realpath(sys.executable), "-I", "-S", str(_RUNNER)),
                working_dir=working_dir,
                read_only=(
                    working_dir,
                    _RUNNER.parent,
                    *(() if base in (Path("/usr"), Path("/")) else (base,)),
                ),
                stdin=json.dumps(request).encode(),
            ),
            _make_limits(settings, len(events)),
            output_dir,
        )
        return await asyncio.to_thread(_read, result, len(events), settings.evaluator_python_timeout_s)


def _make_limits(settings: Settings, events_count: int) -> Limits:
    busy_s = settings.evaluator_python_timeout_s * events_count + _START_S
    return Limits(
        wall_s=busy_s,
        cpu_s=busy_s,
        memory_bytes=settings.evaluator_python_memory_bytes,
        processes_count=16,
        open_files_count=64,
        file_bytes=16 << 20,
        output_bytes=_OUTPUT_BYTES,
        disk_bytes=32 << 20,
        disk_files_count=1_000,
    )


def _read(result: CommandResult, events_count: int, timeout_s: float) -> _Attempt:
    records: list[dict[str, JsonValue]] = []
    with result.stdout_path.open("rb") as file:
        for line in file.read(_OUTPUT_BYTES).split(b"\n"):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and len(records) < events_count:
                records.append(record)
    return _Attempt(records, _explain(result, timeout_s))


def _explain(result: CommandResult, timeout_s: float) -> str:
    if result.end == "signaled" and result.signal == 14:  # SIGALRM: the runner's own timer
        return f"The code took longer than {timeout_s:g} s."
    if result.end == "memory_exceeded":
        return "The code took more memory than it may."
    if result.end in ("timed_out", "cpu_exceeded"):
        return f"The code took longer than {timeout_s:g} s."
    if result.end == "exited":
        return f"The code ended its process with the exit code {result.exit_code}."
    return f"The code did not come to its end: {result.reason or result.end}."


def _judge(definition: MetricDefinition, record: dict[str, JsonValue]) -> Verdict:
    error = record.get("error")
    if error is not None:
        return Verdict.unscored(f"The code failed: {error}")
    value = record.get("value")
    if value is None:
        return Verdict.unscored("The code gave no score.")
    score, reason = check_value(definition, value)
    if score is None:
        return Verdict.unscored(reason)
    explanation = record.get("explanation")
    return Verdict(score=score, explanation=clean_text(str(explanation or ""), MAX_EXPLANATION_CHARACTERS))
