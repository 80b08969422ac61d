"""Metrics that this server computes: code, language models, and others put together. This is the door.

Names are loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.experiments.evaluators.judges import JudgeBook
    from referee.experiments.evaluators.room import EvaluatorsRoom
    from referee.experiments.evaluators.selecting import select_evaluations
    from referee.experiments.evaluators.service import enqueue_evaluations, run_metric
    from referee.experiments.evaluators.verdicts import Verdict
    from referee.experiments.evaluators.workflows import register_evaluator_workflows

__all__ = [
    "EvaluatorsRoom",
    "JudgeBook",
    "Verdict",
    "enqueue_evaluations",
    "register_evaluator_workflows",
    "run_metric",
    "select_evaluations",
]

__getattr__ = open_door(
    __name__,
    {
        "judges": ("JudgeBook",),
        "room": ("EvaluatorsRoom",),
        "selecting": ("select_evaluations",),
        "service": ("enqueue_evaluations", "run_metric"),
        "verdicts": ("Verdict",),
        "workflows": ("register_evaluator_workflows",),
    },
)
