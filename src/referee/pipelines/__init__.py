"""Pipelines: models × templates, each cell written, run and analysed exactly once. This is the door.

Names are loaded when first asked for: the command line mounts this room's commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.pipelines.definition import PipelineDefinition, parse_definition
    from referee.pipelines.queries import count_cells, get_pipeline, list_cells, list_pipelines
    from referee.pipelines.room import PipelinesRoom
    from referee.pipelines.service import (
        PipelineRequest,
        cancel_pipeline,
        create_pipeline,
        extend_pipeline,
        pause_pipeline,
        resume_pipeline,
        retry_cells,
    )
    from referee.pipelines.states import CellState, PipelineState
    from referee.pipelines.views import Cell, CellCounts, Pipeline
    from referee.pipelines.workflows import register_pipeline_workflows, sweep_pipelines

__all__ = [
    "Cell",
    "CellCounts",
    "CellState",
    "Pipeline",
    "PipelineDefinition",
    "PipelineRequest",
    "PipelineState",
    "PipelinesRoom",
    "cancel_pipeline",
    "count_cells",
    "create_pipeline",
    "extend_pipeline",
    "get_pipeline",
    "list_cells",
    "list_pipelines",
    "parse_definition",
    "pause_pipeline",
    "register_pipeline_workflows",
    "resume_pipeline",
    "retry_cells",
    "sweep_pipelines",
]

__getattr__ = open_door(
    __name__,
    {
        "definition": ("PipelineDefinition", "parse_definition"),
        "queries": ("count_cells", "get_pipeline", "list_cells", "list_pipelines"),
        "room": ("PipelinesRoom",),
        "service": (
            "PipelineRequest",
            "cancel_pipeline",
            "create_pipeline",
            "extend_pipeline",
            "pause_pipeline",
            "resume_pipeline",
            "retry_cells",
        ),
        "states": ("CellState", "PipelineState"),
        "views": ("Cell", "CellCounts", "Pipeline"),
        "workflows": ("register_pipeline_workflows", "sweep_pipelines"),
    },
)
