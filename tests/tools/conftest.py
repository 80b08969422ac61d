"""Running a tool for real: a snapshot of a folder, its own environment, the sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from tests.tools.python_samples import PLANTED_DIR

from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.findings import ToolReport
from referee.core.sources import SourceSnapshot
from referee.foundation.sandbox import run_command
from referee.tools import Installation, RawOutput, RunKit, ToolInstaller, ToolPlan, get_tool

LIMITS = SourceLimits(files_count=20_000, total_bytes=500_000_000, file_bytes=10_000_000)


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One real run of a tool, with everything around it."""

    snapshot: SourceSnapshot
    installation: Installation
    plan: ToolPlan
    raw: RawOutput
    report: ToolReport
    scratch_dir: Path


RunTool = Callable[..., Awaitable[ToolRun]]
PlantedRun = Callable[[str], Awaitable[ToolRun]]
TakeSnapshot = Callable[[Path], SourceSnapshot]
WriteApp = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def installer(tools_dir: Path, tmp_path: Path) -> ToolInstaller:
    """An installer into the shared folder of tools."""
    return ToolInstaller(tools_dir, advisories_dir=tmp_path / "advisories")


@pytest.fixture
def write_app(tmp_path: Path) -> WriteApp:
    """Write files by path into a new folder and return it."""

    def write(files: Mapping[str, str]) -> Path:
        root = tmp_path / f"app-{uuid4().hex[:8]}"
        root.mkdir()
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return root

    return write


@pytest.fixture
def snapshot_of(tmp_path: Path) -> TakeSnapshot:
    """Take a snapshot of a folder, as an analysis does."""

    def take(source: Path) -> SourceSnapshot:
        return take_snapshot(source, tmp_path / "snapshots", LIMITS, name=source.name)

    return take


@pytest.fixture
def run_tool(tmp_path: Path, installer: ToolInstaller, snapshot_of: TakeSnapshot) -> RunTool:
    """Run a tool for real on a folder: plan, run in the sandbox, parse."""

    async def run(
        name: str,
        source: Path,
        parameters: Mapping[str, object] | None = None,
        *,
        preset: str | None = None,
        cores_count: int = 1,
    ) -> ToolRun:
        tool = get_tool(name)
        description = tool.describe()
        installation = await tool.ensure_installed(installer)
        snapshot = snapshot_of(source)
        plan = tool.plan(snapshot, description.resolve_parameters(parameters or {}, preset=preset))
        assert plan.not_applicable is None, plan.not_applicable
        scratch_dir = tmp_path / f"scratch-{uuid4().hex[:8]}"
        scratch_dir.mkdir(mode=0o700)
        kit = RunKit(
            snapshot=snapshot,
            installation=installation,
            install_kit=installer,
            scratch_dir=scratch_dir,
            limits=description.limits,
            cores_count=cores_count,
            run_command=run_command,
        )
        raw = await tool.run(kit, plan)
        return ToolRun(snapshot, installation, plan, raw, tool.parse(raw, plan), scratch_dir)

    return run


_PLANTED_RUNS: dict[str, ToolRun] = {}


@pytest.fixture
def planted_run(run_tool: RunTool) -> PlantedRun:
    """Return the run of a tool on the planted app; it is run once and never changed by a test."""

    async def run(name: str) -> ToolRun:
        if name not in _PLANTED_RUNS:
            _PLANTED_RUNS[name] = await run_tool(name, PLANTED_DIR)
        return _PLANTED_RUNS[name]

    return run
