"""A pipeline before it is started: its cells, what they cost, how long they take, what they can show.

Nothing is kept of a preview: apps of a folder that it looks into do not become known by it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import plan_runs
from referee.apps import App, AppFolder
from referee.apps.generation.expectations import GenerationCost, expect_cost
from referee.apps.roots import check_roots
from referee.pipelines.definition import PipelineDefinition, parse_definition
from referee.pipelines.planning import (
    CellPlan,
    find_existing_apps,
    plan_existing,
    plan_generated,
    read_existing_folder,
)
from referee.pipelines.planning_design import DesignEstimate, estimate_design
from referee.pipelines.planning_estimates import TimeEstimate, expect_time, read_pilot
from referee.pipelines.room import PipelinesRoom

__all__ = ["PipelinePreview", "PlaceholderApp", "preview_pipeline"]

_PLACEHOLDERS_COUNT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderApp:
    """An app that is none yet: its cell will be skipped."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePreview:
    """What a pipeline file stands for."""

    name: str
    mode: str
    cells_count: int
    models_count: int
    templates_count: int
    """Without those of apps that have none."""
    repeats_count: int
    """The most apps of one model for one template."""
    tools: tuple[str, ...]
    """Each app is judged by."""
    placeholders: tuple[PlaceholderApp, ...]
    placeholders_count: int
    left_out: tuple[str, ...]
    """What of the folder is no app, and why: the first of it."""
    left_out_count: int
    cost: GenerationCost
    budget_usd: float | None
    time: TimeEstimate
    design: DesignEstimate

    @property
    def is_over_budget(self) -> bool:
        """Whether the expected cost is above the budget: cells at the end would be skipped."""
        return (
            self.budget_usd is not None
            and self.cost.cost_usd is not None
            and self.cost.cost_usd > self.budget_usd
        )


async def preview_pipeline(room: PipelinesRoom, project_id: UUID, definition_text: str) -> PipelinePreview:
    """Return what a pipeline file stands for, without starting anything.

    Raises:
        InvalidInput: The file cannot be read or says what cannot be done.
        Forbidden: It names apps that exist, others reach this server, and no folders are allowed.
    """
    definition = parse_definition(definition_text)
    if definition.existing is not None:
        check_roots(room.settings)
    folder = await read_existing_folder(definition, allowed_roots=room.settings.source_roots)
    async with room.database.transaction() as session:
        undone = await session.begin_nested()
        left_out: list[str] = []
        plans, apps = await _plan(session, project_id, definition, folder, left_out)
        await undone.rollback()
        cost = await _expect_cost(session, project_id, definition, plans)
        time = await expect_time(session, project_id, definition, len(plans))
        pilot = await read_pilot(session, project_id, definition)
    unwritten = {app.app_id for app in apps if app.placeholder is not None}
    models_count, templates_count, repeats_count, unit_word = _measure_design(
        [plan for plan in plans if plan.app_id is None or plan.app_id not in unwritten]
    )
    design = await asyncio.to_thread(
        lambda: estimate_design(
            models_count=models_count,
            templates_count=templates_count,
            repeats_count=repeats_count,
            unit_word=unit_word,
            pilot=pilot,
        )
    )
    placeholders = [
        PlaceholderApp(name=f"{app.model}/app{app.number}", reason=app.placeholder_reason)
        for app in apps
        if app.placeholder is not None
    ]
    return PipelinePreview(
        name=definition.name,
        mode=definition.mode,
        cells_count=len(plans),
        models_count=len({plan.model for plan in plans}),
        templates_count=len({plan.template for plan in plans if plan.template}),
        repeats_count=max(
            Counter((plan.model, plan.template) for plan in plans if plan.template).values(), default=1
        ),
        tools=tuple(run.tool for run in plan_runs(definition.analysis.build_request("."))),
        placeholders=tuple(placeholders[:_PLACEHOLDERS_COUNT]),
        placeholders_count=len(placeholders),
        left_out=tuple(left_out[:_PLACEHOLDERS_COUNT]),
        left_out_count=len(left_out),
        cost=cost,
        budget_usd=definition.budget_usd,
        time=time,
        design=design,
    )


async def _plan(
    session: AsyncSession,
    project_id: UUID,
    definition: PipelineDefinition,
    folder: AppFolder | None,
    left_out: list[str],
) -> tuple[list[CellPlan], Sequence[App]]:
    if definition.generate is not None:
        return await plan_generated(session, project_id, definition.generate), ()
    existing = definition.existing
    assert existing is not None  # noqa: S101 - a definition has one of the two
    apps = await find_existing_apps(session, project_id, existing, folder, left_out=left_out)
    return plan_existing(apps, existing), apps


async def _expect_cost(
    session: AsyncSession, project_id: UUID, definition: PipelineDefinition, plans: Sequence[CellPlan]
) -> GenerationCost:
    if definition.generate is None:
        return GenerationCost(cost_usd=0.0, reason="No app is written.", generations_count=0)
    return await expect_cost(session, project_id, Counter((plan.model, plan.template) for plan in plans))


def _measure_design(plans: Sequence[CellPlan]) -> tuple[int, int, int, str]:
    """Return models, what pairs them, the fewest repeats of a pair, and the word for what pairs them."""
    has_templates = all(plan.template for plan in plans)
    counts = Counter((plan.model, plan.template if has_templates else str(plan.number)) for plan in plans)
    models = {model for model, _ in counts}
    units = {unit for _, unit in counts}
    shared = [unit for unit in units if all(counts[model, unit] for model in models)]
    repeats_count = min((counts[model, unit] for model in models for unit in shared), default=1)
    return len(models), len(shared), repeats_count, "template" if has_templates else "app number"
