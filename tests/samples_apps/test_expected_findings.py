"""The tools as Referee runs them find what ``samples/expected.toml`` says they find."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest
from tests.samples_apps.expectations import TOOLS, Place, SampleApp, find_missing, load_sample_apps

from referee.core.findings import ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.tools import get_tool

pytestmark = pytest.mark.slow

APPS = load_sample_apps()
APPLICABLE = [(app, tool) for app in APPS for tool in TOOLS if app.outcomes[tool] == "succeeded"]
NOT_APPLICABLE = [(app, tool) for app in APPS for tool in TOOLS if app.outcomes[tool] == "not_applicable"]


class FinishedRun(Protocol):
    """What these tests read of a tool run."""

    @property
    def report(self) -> ToolReport:
        """What the tool said."""


def name_pair(value: object) -> str:
    """Return what a pair of app and tool is called in a test's name."""
    return value.app_id if isinstance(value, SampleApp) else str(value)


def to_place(finding: ToolFinding) -> Place:
    """Return what of a finding decides whether it was expected."""
    location = finding.location
    return Place(
        rule_id=finding.rule_id,
        path=location.path if location else "",
        start_line=location.start_line if location else None,
        is_suppressed=finding.suppression is not None,
        text=" ".join((finding.message, *finding.identity)),
    )


@pytest.mark.parametrize(("app", "tool"), APPLICABLE, ids=name_pair)
async def test_tool_finds_every_mistake_it_is_named_for(
    app: SampleApp, tool: str, run_tool: Callable[[str, Path], Awaitable[FinishedRun]]
) -> None:
    report = (await run_tool(tool, app.path)).report

    assert report.failure is None
    assert report.coverage.examined_count > 0
    assert find_missing(app, tool, [to_place(finding) for finding in report.findings]) == []


@pytest.mark.parametrize(("app", "tool"), NOT_APPLICABLE, ids=name_pair)
def test_tool_says_itself_that_it_does_not_apply(
    app: SampleApp, tool: str, snapshot_of: Callable[[Path], SourceSnapshot]
) -> None:
    description = get_tool(tool).describe()

    plan = get_tool(tool).plan(snapshot_of(app.path), description.resolve_parameters({}))

    assert plan.not_applicable
