"""Asking a language model for a score, within the budget of the project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from referee.experiments.evaluators.judges import NoJudgeError
from referee.experiments.evaluators.prompts import (
    PromptGapError,
    build_instruction,
    read_score,
    render_prompt,
)
from referee.experiments.evaluators.queries import sum_tokens
from referee.experiments.evaluators.room import EvaluatorsRoom
from referee.experiments.evaluators.verdicts import MAX_EXPLANATION_CHARACTERS, Verdict, clean_text
from referee.experiments.runs.definitions import MetricDefinition
from referee.foundation.llm import ChatMessage, LlmError

if TYPE_CHECKING:
    from referee.traces import Event

__all__ = ["ANSWER_TOKENS_COUNT", "BUDGET_SPAN", "score_by_model"]

ANSWER_TOKENS_COUNT: Final = 1_024
"""A few sentences and a score."""
BUDGET_SPAN: Final = timedelta(hours=24)
_BYTES_FOR_A_TOKEN: Final = 3
"""As the client estimates, rather too many tokens than too few."""
_OVERHEAD_TOKENS_COUNT: Final = 200


async def score_by_model(
    room: EvaluatorsRoom, project_id: UUID, definition: MetricDefinition, event: Event
) -> Verdict:
    """Return the score that a language model gives an event; without one, why."""
    try:
        prompt = render_prompt(definition.criteria, event)
    except PromptGapError as gap:
        return Verdict.unscored(str(gap))
    messages = (ChatMessage("system", build_instruction(definition)), ChatMessage("user", prompt))
    size = sum(len(message.text.encode()) for message in messages)
    needed_count = size // _BYTES_FOR_A_TOKEN + ANSWER_TOKENS_COUNT + _OVERHEAD_TOKENS_COUNT
    free_count = await _count_free(room, project_id)
    if needed_count > free_count:
        return Verdict.unscored(
            f"The project's budget of {room.settings.evaluator_max_tokens_count:,} tokens in 24 hours has "
            f"{max(0, free_count):,} left, and the question may need {needed_count:,}."
        )
    try:
        judge = room.judges.open_judge(definition.model_provider, definition.model_name, free_count)
    except NoJudgeError as missing:
        return Verdict.unscored(str(missing))
    with room.judges.hold(project_id, needed_count):
        try:
            reply = await judge.complete_text(messages, max_tokens=ANSWER_TOKENS_COUNT)
        except LlmError as error:
            return Verdict.unscored(error.message, prompt_tokens=judge.purse.spent_tokens_count)
    score, reason = read_score(reply.text, definition)
    if score is None:
        cut = " It was cut." if reply.finish_reason == "length" else ""
        said = f"{reason}{cut} The answer was: {reply.text}"
        return Verdict.unscored(
            said, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
        )
    return Verdict(
        score=score,
        explanation=clean_text(reply.text, MAX_EXPLANATION_CHARACTERS),
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
    )


async def _count_free(room: EvaluatorsRoom, project_id: UUID) -> int:
    async with room.database.reading() as session:
        spent_count = await sum_tokens(session, project_id, since=datetime.now(UTC) - BUDGET_SPAN)
    return room.settings.evaluator_max_tokens_count - spent_count - room.judges.count_held(project_id)
