"""What the next generation is expected to need, from those that were: tokens, cost and time; unknown without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.tables import GenerationRow, ModelRow, TemplateRow

__all__ = ["GenerationCost", "TokenUse", "expect_cost", "read_token_uses"]

_GROUPS_COUNT: Final = 20_000
_MODELS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """What the generations of a model for a template took on average."""

    model: str
    template: str
    generations_count: int
    prompt_tokens: float
    completion_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCost:
    """What a number of generations is expected to cost."""

    cost_usd: float | None
    """None when it is not known; then ``reason`` says why."""
    reason: str
    generations_count: int
    """Earlier generations that it is taken from."""
    unpriced_models: tuple[str, ...] = ()
    """Models without prices."""
    unknown_models: tuple[str, ...] = ()
    """Models that are not in the catalogue: their apps would not be written."""


async def read_token_uses(session: AsyncSession, project_id: UUID) -> list[TokenUse]:
    """Return what generations that ended and asked a model took, by model and template."""
    rows = await session.execute(
        select(
            GenerationRow.model,
            TemplateRow.slug,
            func.count(),
            func.avg(GenerationRow.prompt_tokens),
            func.avg(GenerationRow.completion_tokens),
        )
        .join(TemplateRow, TemplateRow.template_id == GenerationRow.template_id)
        .where(
            GenerationRow.project_id == project_id,
            GenerationRow.state.in_(("succeeded", "failed")),
            GenerationRow.completion_tokens > 0,
        )
        .group_by(GenerationRow.model, TemplateRow.slug)
        .limit(_GROUPS_COUNT)
    )
    return [
        TokenUse(
            model=model,
            template=template,
            generations_count=count,
            prompt_tokens=float(prompt),
            completion_tokens=float(completion),
        )
        for model, template, count, prompt, completion in rows
    ]


async def expect_cost(
    session: AsyncSession, project_id: UUID, wanted: Mapping[tuple[str, str], int]
) -> GenerationCost:
    """Return what generations are expected to cost.

    The tokens of each are those that this model took for this template on average; else this model for
    any; else any model for this template; else all that are known.

    Args:
        session: Reads.
        project_id: Whose.
        wanted: (model, template) → how many. Not empty.
    """
    prices: dict[str, tuple[float, float] | None] = {}
    models = sorted({model for model, _ in wanted})
    for start in range(0, len(models), _MODELS_AT_ONCE):
        rows = await session.execute(
            select(ModelRow.slug, ModelRow.input_usd_per_mtok, ModelRow.output_usd_per_mtok).where(
                ModelRow.project_id == project_id, ModelRow.slug.in_(models[start : start + _MODELS_AT_ONCE])
            )
        )
        prices |= {
            slug: None if input_usd is None or output_usd is None else (input_usd, output_usd)
            for slug, input_usd, output_usd in rows
        }
    unknown = tuple(model for model in models if model not in prices)
    unpriced = tuple(model for model in models if prices.get(model) is None and model not in unknown)
    if unknown or unpriced:
        return GenerationCost(
            cost_usd=None,
            reason=_say_first(unknown, "is not in the catalogue of models, so its apps would not be written.")
            or _say_first(unpriced, "has no prices that are known."),
            generations_count=0,
            unpriced_models=unpriced,
            unknown_models=unknown,
        )
    known = {model: price for model, price in prices.items() if price is not None}
    if not any(sum(known[model]) for model in models):
        return GenerationCost(cost_usd=0.0, reason="These models cost nothing.", generations_count=0)
    uses = await read_token_uses(session, project_id)
    if not uses:
        return GenerationCost(
            cost_usd=None,
            reason="No app has been written yet, so how many tokens one takes is not known.",
            generations_count=0,
        )
    book = _Book(uses)
    cost_usd = 0.0
    for (model, template), count in wanted.items():
        prompt_tokens, completion_tokens = book.expect(model, template)
        input_usd, output_usd = known[model]
        cost_usd += count * (prompt_tokens * input_usd + completion_tokens * output_usd) / 1_000_000
    total_count = sum(use.generations_count for use in uses)
    return GenerationCost(
        cost_usd=cost_usd,
        reason=f"From the tokens that {total_count:,} earlier generation{'' if total_count == 1 else 's'} took.",
        generations_count=total_count,
    )


def _say_first(models: Sequence[str], what: str) -> str:
    if not models:
        return ""
    others = f" ({len(models) - 1:,} more)" if len(models) > 1 else ""
    return f"{models[0]}{others} {what}"


class _Book:
    """Finds the nearest earlier use."""

    def __init__(self, uses: Sequence[TokenUse]) -> None:
        self._exact = {(use.model, use.template): _mean([use]) for use in uses}
        self._models = _group(uses, "model")
        self._templates = _group(uses, "template")
        self._all = _mean(uses)

    def expect(self, model: str, template: str) -> tuple[float, float]:
        """Return the expected tokens of prompts and answers."""
        return (
            self._exact.get((model, template))
            or self._models.get(model)
            or self._templates.get(template)
            or self._all
        )


def _group(uses: Sequence[TokenUse], key: str) -> dict[str, tuple[float, float]]:
    groups: dict[str, list[TokenUse]] = {}
    for use in uses:
        groups.setdefault(str(getattr(use, key)), []).append(use)
    return {name: _mean(members) for name, members in groups.items()}


def _mean(uses: Sequence[TokenUse]) -> tuple[float, float]:
    count = sum(use.generations_count for use in uses)
    return (
        sum(use.prompt_tokens * use.generations_count for use in uses) / count,
        sum(use.completion_tokens * use.generations_count for use in uses) / count,
    )
