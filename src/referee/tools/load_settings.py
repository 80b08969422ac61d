"""How much load, for how long, and what counts as too slow: the parameters that all load tools share.

Each address gets at most ``run_time``, and never more than its part of what is left
of ``time_budget_s``, so a run of many addresses ends about when a run of few does.
A request under way at the end of that time is waited for, up to ``timeout``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from referee.core.errors import InvalidInput
from referee.tools.contract import Parameter, ParameterValue

__all__ = [
    "LOAD_PARAMETERS",
    "MAX_SAMPLES_COUNT",
    "Thresholds",
    "build_presets",
    "compute_address_time_s",
    "get_float",
    "get_int",
    "parse_run_time",
]

MAX_SAMPLES_COUNT: Final = 50_000
"""Requests kept of one address. Percentiles of more say the same, and 20 such addresses still fit into
the output that is kept of a run."""

_BUDGETS: Final[dict[str, dict[str, ParameterValue]]] = {
    "quick": {"run_time": "10s", "time_budget_s": 14, "timeout": 6},
    "standard": {"run_time": "15s", "time_budget_s": 120, "timeout": 30},
    "stress": {"run_time": "60s", "time_budget_s": 600, "timeout": 30},
    "production": {"run_time": "120s", "time_budget_s": 1800, "timeout": 30},
}

LOAD_PARAMETERS: Final = (
    Parameter(
        name="run_time",
        type="string",
        default=_BUDGETS["quick"]["run_time"],
        help="Longest time for one address, such as 30s or 1m30s; no request is sent after it.",
    ),
    Parameter(
        name="time_budget_s",
        type="integer",
        default=_BUDGETS["quick"]["time_budget_s"],
        minimum=1,
        maximum=3_000,
        help="Seconds for all addresses together, in equal parts; none is begun after it.",
    ),
    Parameter(
        name="timeout",
        type="integer",
        default=_BUDGETS["quick"]["timeout"],
        minimum=1,
        maximum=300,
        help="Seconds to wait for an answer; a request that gets none by then has failed.",
    ),
    Parameter(
        name="warmup_requests",
        type="integer",
        default=5,
        minimum=0,
        maximum=100,
        help="Requests sent one by one to each address before the load; they are in none of the numbers.",
    ),
    Parameter(
        name="max_urls",
        type="integer",
        default=20,
        minimum=1,
        maximum=100,
        help="Addresses to load at most; the others are named as skipped.",
    ),
    Parameter(
        name="p50_limit_ms",
        type="number",
        default=500.0,
        minimum=0,
        help="An address whose median answer takes longer is a finding.",
    ),
    Parameter(
        name="p95_limit_ms",
        type="number",
        default=2_000.0,
        minimum=0,
        help="An address whose 95th percentile is longer is a finding.",
    ),
    Parameter(
        name="p99_limit_ms",
        type="number",
        default=5_000.0,
        minimum=0,
        help="An address whose 99th percentile is longer is a finding.",
    ),
    Parameter(
        name="failure_threshold",
        type="number",
        default=5.0,
        minimum=0,
        maximum=100,
        help="An address at which more requests fail is a finding, in percent.",
    ),
    Parameter(
        name="min_requests_per_s",
        type="number",
        default=10.0,
        minimum=0,
        help="An address that gives fewer answers per second is a finding.",
    ),
)
"""Parameters of every load tool, with the numbers of the preset ``quick`` as defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Beyond what an address is a finding."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures_share: float
    requests_per_s: float

    @classmethod
    def of(cls, parameters: Mapping[str, ParameterValue]) -> Thresholds:
        """Return those that the parameters say."""
        return cls(
            p50_ms=get_float(parameters, "p50_limit_ms"),
            p95_ms=get_float(parameters, "p95_limit_ms"),
            p99_ms=get_float(parameters, "p99_limit_ms"),
            failures_share=get_float(parameters, "failure_threshold") / 100,
            requests_per_s=get_float(parameters, "min_requests_per_s"),
        )


def build_presets(own: Mapping[str, Mapping[str, ParameterValue]]) -> dict[str, dict[str, ParameterValue]]:
    """Return a tool's presets: its own numbers with the times that all tools share.

    ``deep`` is ``standard``: heavier loads are asked for by name, as they take many minutes.
    """
    presets = {name: {**own[name], **_BUDGETS[name]} for name in _BUDGETS}
    return {**presets, "deep": presets["standard"]}


def parse_run_time(text: str) -> float:
    """Return the seconds of ``30s``, ``1m30s``, ``1h`` or a bare number of seconds.

    Raises:
        InvalidInput: It is none of these, or not between 1 second and 1 hour.
    """
    found = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,4})s?)?", text.strip(), re.ASCII)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 1 <= total <= 3600:
        raise InvalidInput(
            "tools.invalid_parameter",
            f"The parameter 'run_time' cannot be {text[:40]!r}.",
            "Give a time between 1 second and 1 hour, such as 30s or 1m30s.",
            parameter="run_time",
        )
    return float(total)


def compute_address_time_s(
    parameters: Mapping[str, ParameterValue], *, elapsed_s: float, addresses_count: int
) -> float:
    """Return how long the next of so many addresses is loaded, in seconds; 0 when the budget is used up."""
    share_s = (get_float(parameters, "time_budget_s") - elapsed_s) / addresses_count
    return max(0.0, min(parse_run_time(str(parameters["run_time"])), share_s))


def get_int(parameters: Mapping[str, ParameterValue], name: str) -> int:
    """Return a whole number parameter."""
    value = parameters[name]
    if not isinstance(value, int):
        raise TypeError(f"the parameter {name} is not a whole number")
    return value


def get_float(parameters: Mapping[str, ParameterValue], name: str) -> float:
    """Return a number parameter."""
    value = parameters[name]
    if not isinstance(value, int | float):
        raise TypeError(f"the parameter {name} is not a number")
    return float(value)
