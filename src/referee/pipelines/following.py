"""Following a pipeline on the command line."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.live import Live

from referee.foundation.store import Database
from referee.pipelines.printing import describe_progress, render_progress
from referee.pipelines.queries import get_pipeline
from referee.pipelines.states import PipelineState
from referee.pipelines.views import Pipeline

__all__ = ["follow_pipeline"]

_LOOK_S: Final = 0.5


async def follow_pipeline(
    database: Database, project_id: UUID, pipeline_id: UUID, console: Console
) -> Pipeline:
    """Show progress until the pipeline has ended or is paused; return it.

    On a terminal the bar is redrawn in place; elsewhere each change of the counts is one line.
    """
    told = ""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            async with database.reading() as session:
                pipeline = await get_pipeline(session, project_id, pipeline_id)
            if console.is_terminal:
                live.update(render_progress(pipeline), refresh=True)
            else:
                counts = pipeline.counts
                said = f"{counts.ended_count} of {counts.total_count}"
                if said != told:
                    console.print(describe_progress(pipeline))
                    told = said
            if pipeline.state.is_ended or pipeline.state is PipelineState.paused:
                return pipeline
            await asyncio.sleep(_LOOK_S)
