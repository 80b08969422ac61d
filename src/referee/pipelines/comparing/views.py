"""A comparison as values: page, answer and command show these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from referee.foundation.statistics import Interval, RankAgreement
from referee.pipelines.comparing.metrics import Scale

__all__ = [
    "CaptureView",
    "DetectableView",
    "Difference",
    "FlipView",
    "FrontPoint",
    "MetricView",
    "MissingView",
    "ModelComparison",
    "ModelCounts",
    "ModelValue",
    "OpinionRow",
    "OverlapView",
    "PassRate",
    "ScreenItem",
    "UnmeasuredView",
    "Verdict",
    "WeightingRow",
    "WeightingView",
]

Verdict: TypeAlias = Literal["better", "worse", "not_shown", "unknown"]
"""Of the candidate against the baseline, after everything that was looked at. ``not_shown`` is not ``equal``;
``unknown``: too little is shared for a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """Cells of one model."""

    model: str
    cells_count: int
    valid_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelValue:
    """One model on one metric."""

    model: str
    value: float | None
    """Mean over units, repeats averaged first; None without any."""
    interval: Interval | None
    """None with fewer than two units."""
    units_count: int
    planned_units_count: int
    cells_count: int
    planned_cells_count: int
    lowest: float | None
    """Mean of all planned cells if each missing one had the least possible value; None where nothing bounds it."""
    highest: float | None
    is_among_best: bool | None
    """Whether it cannot be told from the best; None when too few units have all models."""
    best_p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Candidate less baseline on one metric, over the units that both have."""

    baseline: str
    candidate: str
    value: float | None
    """Mean difference; None without a shared unit."""
    interval: Interval | None
    method: str
    shared_count: int
    planned_count: int
    p_value: float | None
    p_method: str | None
    """``exact`` or ``monte_carlo``."""
    adjusted_p_value: float | None
    verdict: Verdict
    delta: Interval | None
    """Cliff's δ of the candidate against the baseline; None with fewer than three shared units."""
    shift: Interval | None
    """Hodges–Lehmann."""
    higher_count: int
    """Units on which the candidate has the higher value."""
    lower_count: int
    lowest: float | None
    """Difference of all planned cells at one extreme of the missing ones; None where nothing bounds it."""
    highest: float | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableView:
    """The least true difference that the design finds with a given chance."""

    difference: float
    units_count: int
    repeats_count: int
    power: float
    comparisons_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingView:
    """Cells without a number for the same reason."""

    reason: str
    cells_count: int
    cells: tuple[str, ...]
    """The first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricView:
    """One metric over all models."""

    key: str
    title: str
    unit: str
    scale: Scale
    direction: str
    higher_is_better: bool
    lowest_possible: float | None
    highest_possible: float | None
    meaning: str
    models: tuple[ModelValue, ...]
    differences: tuple[Difference, ...]
    """Of each other model against the baseline; of every pair for the metric that was asked for."""
    best: tuple[str, ...] | None
    complete_units_count: int
    """Units that every model has: ``best`` rests on these."""
    detectable: DetectableView | None
    cells_count: int
    planned_cells_count: int
    missing: tuple[MissingView, ...]

    def find_model(self, model: str) -> ModelValue:
        """Return the value of a model."""
        return next(one for one in self.models if one.model == model)

    def find_difference(self, candidate: str, baseline: str) -> Difference | None:
        """Return the difference of two models; None where it was not computed."""
        return next(
            (one for one in self.differences if (one.candidate, one.baseline) == (candidate, baseline)), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmeasuredView:
    """A metric that no cell has."""

    key: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenItem:
    """One tool, rule or CWE, findings per app: a candidate against the baseline."""

    kind: Literal["tool", "rule", "cwe"]
    key: str
    candidate: str
    baseline_mean: float | None
    candidate_mean: float | None
    difference: float | None
    shared_count: int
    planned_count: int
    p_value: float | None
    adjusted_p_value: float | None
    """Benjamini–Hochberg over all items and candidates."""
    verdict: Verdict
    total_count: int
    """Findings of it over all models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightingRow:
    """One model's density under every weighting."""

    model: str
    densities: dict[str, Interval]
    """Weighting → findings by weight per 1,000 lines over all apps together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightingView:
    """How much the weights of severities decide."""

    weightings: dict[str, dict[str, float]]
    default: str
    rows: tuple[WeightingRow, ...]
    agreements: tuple[RankAgreement, ...]
    does_order_hold: bool | None
    """Whether all weightings rank the models alike; None where one ranks all alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """One model in cost and density."""

    model: str
    cost_usd: float
    weighted_findings_per_kloc: float
    is_on_front: bool
    membership_share: float
    """Share of the resamples of units in which it is on the front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """Chance that one (``any``) or all (``all``) of k apps of a model for one unit succeed."""

    model: str
    kind: Literal["any", "all"]
    k: int
    rate: Interval
    units_count: int
    planned_units_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapView:
    """Things that exactly these tools found."""

    tools: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureView:
    """What all tools missed of one CWE, by one estimate."""

    cwe: int
    tools: tuple[str, ...]
    method: str
    seen_count: int
    missed: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipView:
    """How unsteady a tool is on code that does not change."""

    tool: str
    sources_count: int
    runs_count: int
    """Of each source."""
    seen_count: int
    unsteady_count: int
    rate: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionRow:
    """One number out of many, by weights that somebody chose."""

    model: str
    topsis: float | None
    weighted_sum: float | None
    severity_score_mean: float | None
    """Per valid app: critical × 100 + high × 10 + medium × 3 + low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparison:
    """Models compared over the same units."""

    source_kind: Literal["pipeline", "analyses"]
    source_name: str
    pipeline_id: UUID | None
    definition_sha256: str | None
    models: tuple[ModelCounts, ...]
    baseline: str
    metric: str | None
    """The metric whose pairs are all told; None when nothing was measured."""
    unit_word: str
    """What pairs two models: a template, or the number of the app where there is none."""
    units: tuple[str, ...]
    cells_count: int
    valid_count: int
    metrics: tuple[MetricView, ...]
    unmeasured: tuple[UnmeasuredView, ...]
    claims_looks_count: int
    """Pairs × metrics that Holm's adjustment counts."""
    screens: tuple[ScreenItem, ...]
    screens_looks_count: int
    screens_left_out: dict[str, int]
    """Kind → items with fewer findings that were not looked at."""
    weighting: WeightingView | None
    front: tuple[FrontPoint, ...]
    front_reason: str
    """Why there is no front; empty when there is."""
    passes: tuple[PassRate, ...]
    passes_reason: str
    overlaps: tuple[OverlapView, ...]
    overlaps_left_out_count: int
    captures: tuple[CaptureView, ...]
    captures_reason: str
    flips: tuple[FlipView, ...]
    flips_reason: str
    opinions: tuple[OpinionRow, ...]
    opinions_metrics: tuple[str, ...]
    """Metrics that the opinions weigh, all the same."""
    tools: tuple[str, ...]
    """Tools that count."""
    tools_left_out: dict[str, str]
    level: float
    resamples_count: int
    seed: int
    notes: tuple[str, ...]

    def find_metric(self, key: str | None) -> MetricView | None:
        """Return a metric that was measured; None for another."""
        return next((one for one in self.metrics if one.key == key), None)

    @property
    def candidates(self) -> tuple[str, ...]:
        """All models but the baseline."""
        return tuple(one.model for one in self.models if one.model != self.baseline)
