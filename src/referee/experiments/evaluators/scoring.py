"""One metric over events, whatever its kind: code, a language model, or other metrics put together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from referee.experiments.evaluators.llm_scoring import score_by_model
from referee.experiments.evaluators.python_scoring import score_by_code
from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.verdicts import Verdict, check_value
from referee.experiments.runs.composites import compute_composite
from referee.experiments.runs.definitions import MetricDefinition, read_number

if TYPE_CHECKING:
    from referee.traces import Event

__all__ = ["has_ground_truth", "score_by_parts", "score_events"]


async def score_events(
    room: EvaluatorsRoom, project_id: UUID, definition: MetricDefinition, events: Sequence[Event]
) -> list[Verdict]:
    """Return what a metric says of events, one verdict each.

    Args:
        room: With limits and judges.
        project_id: Whose budget a language model is asked on.
        definition: Of the metric. What people score is never computed.
        events: In any order.
    """
    if definition.needs_ground_truth and not all(map(has_ground_truth, events)):
        known = [event for event in events if has_ground_truth(event)]
        scored = iter(await score_events(room, project_id, definition, known) if known else ())
        return [
            next(scored)
            if has_ground_truth(event)
            else Verdict.unscored("The metric needs a ground truth, and the event has none.")
            for event in events
        ]
    match definition.type:
        case "PYTHON":
            return await score_by_code(room.settings, definition, events)
        case "LLM":
            asked = [score_by_model(room, project_id, definition, event) for event in events]
            return list(await asyncio.gather(*asked))
        case "COMPOSITE":
            return [score_by_parts(definition, event) for event in events]
        case _:
            return [Verdict.unscored("People give this score; it is not computed.")] * len(events)


def score_by_parts(definition: MetricDefinition, event: Event) -> Verdict:
    """Return a composite metric of the scores that an event carries."""
    numbers: dict[str, list[float]] = {}
    for name, raw in event.metrics.items():
        number = float(raw) if isinstance(raw, bool) else read_number(raw)
        if number is not None:
            numbers[name] = [number]
    value, reason = compute_composite(definition, numbers)
    if value is None:
        return Verdict.unscored(reason)
    score, reason = check_value(definition, value)
    return Verdict.unscored(reason) if score is None else Verdict(score=score, explanation="")


def has_ground_truth(event: Event) -> bool:
    """Return whether an event says what would have been right."""
    return event.feedback.get("ground_truth") is not None
