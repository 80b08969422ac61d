"""Starting our own runner scripts and reading their JSON lines.

A runner reads one JSON object on stdin and prints one JSON object per line,
each with a ``kind``; the last is ``{"kind": "end"}``. Without it the output was
cut, whatever the exit code, and the report is partial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from referee.core.findings import JsonValue
from referee.tools.contract import RawOutput, RunKit
from referee.tools.reading import (
    OutputUnreadable,
    as_object,
    describe_end,
    get_text,
    normalise_path,
    read_json_lines,
)
from referee.tools.running import RUNNERS_DIR, run_tool_command

__all__ = ["RunnerOutput", "read_runner_output", "run_runner"]


@dataclass(frozen=True, slots=True)
class RunnerOutput:
    """What a runner printed."""

    records: tuple[dict[str, JsonValue], ...]
    """Everything but the end."""
    unreadable: dict[str, str]
    """Reason by path for files that could not be read."""
    skipped: dict[str, str]
    """Reason by path for files that the tool leaves out."""
    failure: str | None
    """One sentence when the end is missing."""


async def run_runner(kit: RunKit, label: str, script: str, job: Mapping[str, JsonValue]) -> RawOutput:
    """Run ``runners/<script>`` with the tool's interpreter and ``job`` on its stdin."""
    return await run_tool_command(
        kit,
        label,
        [str(kit.installation.program), str(RUNNERS_DIR / script)],
        read_only=(RUNNERS_DIR,),
        stdin=json.dumps(job).encode("ascii"),
    )


def read_runner_output(raw: RawOutput) -> RunnerOutput:
    """Return a runner's records, with those about unread files apart.

    Raises:
        OutputUnreadable: There is no output, or a line that no runner writes.
    """
    lines = read_json_lines(raw, "stdout")
    records = [as_object(value, "a line") for value in lines.values]
    if lines.other_lines and not lines.is_cut:
        raise OutputUnreadable(f"A line of the output is not JSON: {lines.other_lines[0]!r}.")
    if not records:
        raise OutputUnreadable(f"There is no output. {describe_end(raw)}", _last_words(raw))
    is_whole = not lines.is_cut and records[-1].get("kind") == "end"
    kept = [record for record in records if record.get("kind") != "end"]
    gaps: dict[str, dict[str, str]] = {"unreadable": {}, "skipped": {}}
    for record in kept:
        kind = record.get("kind")
        if kind in ("unreadable", "skipped"):
            path = normalise_path(get_text(record, "path"))
            if path is not None:
                gaps[str(kind)][path] = get_text(record, "reason", default="")
    return RunnerOutput(
        records=tuple(record for record in kept if record.get("kind") not in ("unreadable", "skipped")),
        unreadable=gaps["unreadable"],
        skipped=gaps["skipped"],
        failure=None if is_whole else f"The output ends before its end. {describe_end(raw)}",
    )


def _last_words(raw: RawOutput) -> str:
    lines = raw.streams.get("stderr", b"").decode("utf-8", errors="replace").strip().splitlines()
    return f"Its last words were: {lines[-1][:300]}" if lines else ""
