"""Generation: having a language model write an app for a template, and keeping all that was said. This is the door.

Names are loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.apps.generation.contract import Generation, GenerationFailure, GenerationState
    from referee.apps.generation.creating import create_generation
    from referee.apps.generation.queries import get_generation, list_generations
    from referee.apps.generation.records import list_record_artifacts
    from referee.apps.generation.running import run_generation
    from referee.apps.generation.workflows import register_generation

__all__ = [
    "Generation",
    "GenerationFailure",
    "GenerationState",
    "create_generation",
    "get_generation",
    "list_generations",
    "list_record_artifacts",
    "register_generation",
    "run_generation",
]

__getattr__ = open_door(
    __name__,
    {
        "contract": ("Generation", "GenerationFailure", "GenerationState"),
        "creating": ("create_generation",),
        "queries": ("get_generation", "list_generations"),
        "records": ("list_record_artifacts",),
        "running": ("run_generation",),
        "workflows": ("register_generation",),
    },
)
