"""What models are compared by: each metric with its unit, its direction and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from referee.core.errors import InvalidInput
from referee.foundation.web.formats import format_number, format_share

__all__ = ["METRICS", "Metric", "Scale", "format_difference", "format_value", "get_metric"]

Scale: TypeAlias = Literal["number", "share", "ms", "per_s", "usd"]
"""How a value is written."""

UNIT_RANGE: Final = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that models are compared by."""

    key: str
    title: str
    unit: str
    scale: Scale = "number"
    higher_is_better: bool = False
    score_range: tuple[float, float] | None = None
    """Least and highest possible value; None where nothing bounds it."""
    meaning: str
    """One sentence: what is counted, and when a cell has it."""

    @property
    def direction(self) -> str:
        """``higher is better`` or ``lower is better``."""
        return "higher is better" if self.higher_is_better else "lower is better"


METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        key="weighted_findings_per_kloc",
        title="Weighted findings per 1,000 lines",
        unit="weighted findings per 1,000 lines",
        meaning="Findings of the static tools, weighted by severity, by the app's lines of code that are not blank.",
    ),
    Metric(
        key="findings_count",
        title="Findings per app",
        unit="findings",
        meaning="Findings of all tools as they report them; what two tools find counts twice.",
    ),
    Metric(
        key="dynamic_findings_count",
        title="Alerts on the running app",
        unit="findings",
        meaning="Findings of the tools that judge the app while it runs.",
    ),
    Metric(
        key="latency_p95_ms",
        title="Latency under load, 95th percentile",
        unit="ms",
        scale="ms",
        meaning="Median over the app's addresses, mean over the load tools.",
    ),
    Metric(
        key="requests_per_s",
        title="Throughput under load",
        unit="requests per second",
        scale="per_s",
        higher_is_better=True,
        meaning="Median over the app's addresses, mean over the load tools.",
    ),
    Metric(
        key="requirements_met_share",
        title="Requirements met",
        unit="share",
        scale="share",
        higher_is_better=True,
        score_range=UNIT_RANGE,
        meaning="Requirements and endpoints that are shown to be met, of all; one of which nothing is known is not.",
    ),
    Metric(
        key="start_share",
        title="Apps that start",
        unit="share",
        scale="share",
        higher_is_better=True,
        score_range=UNIT_RANGE,
        meaning="1 when every part of the app answered, 0 when the app's own fault kept it from that.",
    ),
    Metric(
        key="success_share",
        title="Apps that succeed",
        unit="share",
        scale="share",
        higher_is_better=True,
        score_range=UNIT_RANGE,
        meaning="1 when the app was written, starts, and no requirement that could be checked is unmet; 0 when the "
        "model or its app fails in one of these.",
    ),
    Metric(
        key="generation_cost_usd",
        title="Cost of writing the app",
        unit="USD",
        scale="usd",
        meaning="Of all generations of the app, failed ones too; known where the model has prices.",
    ),
    Metric(
        key="generation_attempts_count",
        title="Generations of the app",
        unit="generations",
        meaning="Times the writing of the app was begun.",
    ),
)
"""In the order they are shown. They are claims: Holm's adjustment counts every pair of models times each of these."""

_BY_KEY: Final = {metric.key: metric for metric in METRICS}


def get_metric(key: str) -> Metric:
    """Return a metric by its key.

    Raises:
        InvalidInput: There is none.
    """
    if key not in _BY_KEY:
        raise InvalidInput(
            "comparison.metric_unknown",
            f"There is no metric {key[:80]!r}.",
            f"Use one of: {', '.join(_BY_KEY)}.",
        )
    return _BY_KEY[key]


def format_value(scale: Scale, value: float | None) -> str:
    """Return a value as people read it, without the unit where a column's head says it."""
    if value is None:
        return "unknown"
    if scale == "share":
        return format_share(value)
    if scale == "usd":
        return format_number(value, 4)
    return format_number(value, 1 if abs(value) >= 100 else 2)


def format_difference(scale: Scale, value: float | None) -> str:
    """Return a difference with its sign; of shares in percentage points."""
    if value is None:
        return "unknown"
    is_share = scale == "share"
    text = f"{format_number(abs(value) * 100, 1)} pp" if is_share else format_value(scale, abs(value))
    if value == 0 or not any(digit in text for digit in "123456789"):
        return f"±{text}" if value else text
    return f"{'+' if value > 0 else '−'}{text}"
