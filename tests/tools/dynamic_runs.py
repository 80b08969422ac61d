"""Running a dynamic tool for real on targets, and its real outputs kept in ``tests/samples``.

``python -m tests.tools.dynamic_samples`` records them again; see there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from tests.programs import skip_for_system
from tests.tools.python_samples import summarise

from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.errors import Unavailable
from referee.core.findings import ToolReport
from referee.core.targets import Target
from referee.foundation.sandbox import run_command
from referee.tools import Installation, InstallKit, OutputUnreadable, RawOutput, RunKit, ToolPlan
from referee.tools.contract import RunningApp, Tool

LIMITS = SourceLimits(files_count=1_000, total_bytes=10**8, file_bytes=10**7)


@dataclass(frozen=True, slots=True)
class DynamicRun:
    """One real run."""

    plan: ToolPlan
    raw: RawOutput
    report: ToolReport

    @property
    def identities(self) -> set[tuple[str, str, tuple[str, ...]]]:
        """Rule, address and identity of each finding."""
        return {(one.rule_id, str(one.address), one.identity) for one in self.report.findings}

    @property
    def rule_ids(self) -> set[str]:
        """The rules that findings name."""
        return {one.rule_id for one in self.report.findings}


async def install_or_skip(tool: Tool, installer: InstallKit) -> Installation:
    """Return the tool's installation; skip the test where the machine lacks its program."""
    try:
        return await tool.ensure_installed(installer)
    except Unavailable as error:
        if error.code != "tools.program_absent":
            raise
        skip_for_system(error.message)


async def run_on_targets(
    tool: Tool,
    installer: InstallKit,
    folder: Path,
    targets: Sequence[Target],
    *,
    files: Mapping[str, str] | None = None,
    parameters: Mapping[str, object] | None = None,
    preset: str | None = None,
) -> DynamicRun:
    """Plan, run in the sandbox and parse, with an app of these files that answers at these targets."""
    installation = await install_or_skip(tool, installer)
    source = folder / f"source-{uuid4().hex[:8]}"
    source.mkdir()
    for path, text in (files or {"README.md": "An app.\n"}).items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8")
    scratch = folder / f"scratch-{uuid4().hex[:8]}"
    scratch.mkdir(mode=0o700)
    description = tool.describe()
    snapshot = take_snapshot(source, folder / "snapshots", LIMITS, name="app")
    plan = tool.plan(snapshot, description.resolve_parameters(parameters or {}, preset=preset))
    kit = RunKit(
        snapshot=snapshot,
        installation=installation,
        install_kit=installer,
        scratch_dir=scratch,
        limits=description.limits,
        cores_count=1,
        run_command=run_command,
        app=RunningApp(targets=tuple(targets), network=None, app_run_id="test"),
    )
    raw = await tool.run(kit, plan)
    return DynamicRun(plan, raw, tool.parse(raw, plan))


def list_silent_cuts(
    tool: Tool,
    raw: RawOutput,
    plan: ToolPlan,
    stream: str,
    *,
    step: int = 1,
    needed: int | None = None,
    is_counted: bool = True,
) -> list[int]:
    """Return the lengths to which a stream can be cut so that the report is another and claims to be whole.

    Args:
        tool: The tool.
        raw: A whole output.
        plan: Its plan.
        stream: The stream to cut.
        step: Bytes from one length to the next.
        needed: Bytes that matter; what follows them may be missing. All but white space at the end by default.
        is_counted: Whether the output says how many bytes there were.
    """
    data = raw.streams[stream]
    whole = summarise(tool.parse(raw, plan))
    end = len(data.rstrip()) if needed is None else needed
    silent = []
    for length in range(0, end, step):
        totals = {**raw.total_bytes, stream: len(data) if is_counted else length}
        cut = replace(raw, streams={**raw.streams, stream: data[:length]}, total_bytes=totals)
        try:
            report = tool.parse(cut, plan)
        except OutputUnreadable:
            continue
        if not report.is_partial and report.failure is None and summarise(report) != whole:
            silent.append(length)
    return silent


__all__ = ["DynamicRun", "install_or_skip", "list_silent_cuts", "run_on_targets"]
