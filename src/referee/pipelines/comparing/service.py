"""Verbs of comparing: read the cells, and tell everything of them.

Page, JSON and command call these, so the same words and numbers stand everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from referee.pipelines.comparing.collecting import collect_analyses, collect_pipeline
from referee.pipelines.comparing.views import ModelComparison
from referee.pipelines.room import PipelinesRoom

__all__ = ["compare_analyses", "compare_pipeline"]


async def compare_pipeline(
    room: PipelinesRoom,
    project_id: UUID,
    pipeline_id: UUID,
    *,
    metric: str | None = None,
    baseline: str | None = None,
) -> ModelComparison:
    """Compare the models of a pipeline.

    Args:
        room: The pipelines room.
        project_id: Whose pipeline.
        pipeline_id: Which one; it need not have ended.
        metric: The metric whose pairs are all told; None: the first that was measured.
        baseline: The model that others are compared with; None: the first.

    Raises:
        NotFound: The project has no such pipeline.
        InvalidInput: Metric or model are not known, or there is too much or nothing to compare.
    """
    async with room.database.reading() as session:
        cells = await collect_pipeline(session, project_id, pipeline_id)
    return await room.comparisons.compute(cells, metric=metric, baseline=baseline)


async def compare_analyses(
    room: PipelinesRoom,
    project_id: UUID,
    analysis_ids: Sequence[UUID],
    *,
    metric: str | None = None,
    baseline: str | None = None,
) -> ModelComparison:
    """Compare the models whose apps these analyses judged.

    Raises:
        NotFound: The project has no such analysis.
        InvalidInput: As ``compare_pipeline``, or one of them judged no app of a model.
    """
    async with room.database.reading() as session:
        cells = await collect_analyses(session, project_id, analysis_ids)
    return await room.comparisons.compute(cells, metric=metric, baseline=baseline)
