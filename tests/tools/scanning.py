"""A run of requirements-scanner or of the exercise alone, on an app that a test wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.findings import JsonValue, ToolReport
from referee.core.templates import parse_template
from referee.foundation.sandbox import run_command
from referee.tools.contract import InstallKit, RawOutput, RunKit, RunningApp, ToolPlan
from referee.tools.requirements_scanner import create_tool

LIMITS = SourceLimits(files_count=20_000, total_bytes=500_000_000, file_bytes=10_000_000)

MakeKit = Callable[..., "RunKit"]


async def make_kit(
    folder: Path, source: Path, installer: InstallKit, *, app: RunningApp | None, template: JsonValue
) -> RunKit:
    """Return what a tool gets to run; ``template`` None: nobody knows what the app was asked to do."""
    tool = create_tool()
    scratch_dir = folder / f"scratch-{uuid4().hex[:8]}"
    scratch_dir.mkdir(mode=0o700)
    return RunKit(
        snapshot=take_snapshot(source, folder / "snapshots", LIMITS, name=source.name),
        installation=await tool.ensure_installed(installer),
        install_kit=installer,
        scratch_dir=scratch_dir,
        limits=tool.describe().limits,
        cores_count=1,
        run_command=run_command,
        app=app,
        template=parse_template(template) if template is not None else None,
    )


async def scan(kit: RunKit, **parameters: object) -> tuple[RawOutput, ToolPlan, ToolReport]:
    """Plan, run and parse."""
    tool = create_tool()
    plan = tool.plan(kit.snapshot, tool.describe().resolve_parameters(parameters))
    raw = await tool.run(kit, plan)
    return raw, plan, tool.parse(raw, plan)
