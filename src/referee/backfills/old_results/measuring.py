"""Numbers of old load tests, under the names and units that this server's own load tools use."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, Literal

from referee.core.addresses import Address
from referee.core.findings import Measurement

__all__ = ["read_measurements"]

_Kind = tuple[str, str, Literal["higher", "lower", "neither"], float]
_KINDS: Final[Mapping[_Kind, str]] = {
    ("requests_per_s", "1/s", "higher", 1.0): "requests_per_second rps requests_per_sec throughput total_rps",
    ("latency_mean_ms", "ms", "lower", 1.0): "mean_response_ms avg_response_time avg_response_time_ms "
    "average_response_time mean_ms avg_ms mean_time_per_request avg_response_ms",
    ("latency_p50_ms", "ms", "lower", 1.0): "median_ms median_response_time p50 p50_ms median",
    ("latency_p95_ms", "ms", "lower", 1.0): "p95 p95_ms p95_response_time",
    ("latency_p99_ms", "ms", "lower", 1.0): "p99 p99_ms p99_response_time",
    ("latency_max_ms", "ms", "lower", 1.0): "max_ms max_response_time",
    ("latency_min_ms", "ms", "lower", 1.0): "min_ms min_response_time",
    ("failures_count", "requests", "lower", 1.0): "failed_requests failures num_failures",
    (
        "requests_count",
        "requests",
        "neither",
        1.0,
    ): "total_requests completed_requests requests_count num_requests",
    ("error_rate_share", "share", "lower", 0.01): "error_rate failure_rate error_rate_percent",
    ("success_rate_share", "share", "higher", 0.01): "success_rate success_rate_percent",
    ("compliance_share", "share", "higher", 0.01): "compliance_percentage compliance",
    ("weighted_compliance_share", "share", "higher", 0.01): "weighted_compliance",
    ("functional_compliance_share", "share", "higher", 0.01): "functional_compliance",
    (
        "quality_score_mean",
        "points of 100",
        "higher",
        1.0,
    ): "aggregate_score quality_score overall_score weighted_score",
}
"""Name here, unit, which way is better, factor → the names of old results."""
_NAMES: Final = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_MAX_DEPTH: Final = 6
_MAX_COUNT: Final = 500


def read_measurements(value: Any, *, target: str = "") -> list[Measurement]:
    """Return the numbers of a load test or a score, wherever in a result they stand; each name once for a place.

    Args:
        value: Parsed JSON.
        target: Address that was measured, where it is known.
    """
    found: dict[tuple[str, str], Measurement] = {}
    _walk(value, target, found, 0)
    return list(found.values())


def _walk(value: Any, target: str, found: dict[tuple[str, str], Measurement], depth: int) -> None:
    if depth > _MAX_DEPTH or len(found) >= _MAX_COUNT:
        return
    if isinstance(value, list):
        for one in value[:_MAX_COUNT]:
            _walk(one, target, found, depth + 1)
        return
    if not isinstance(value, Mapping):
        return
    named = value.get("url", value.get("target", value.get("target_url")))
    target = named if isinstance(named, str) else target
    for name, number in value.items():
        kind = _NAMES.get(str(name).lower().replace(" ", "_").replace("-", "_"))
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if kind is not None and is_number and isfinite(number):
            # A rate above 1 is a percentage; one up to 1 is taken for the share that it then is.
            factor = 1.0 if kind[3] != 1.0 and abs(number) <= 1 else kind[3]
            place = _make_address(target)
            found.setdefault(
                (kind[0], str(place or "")),
                Measurement(kind[0], round(float(number) * factor, 6), kind[1], kind[2], address=place),
            )
        elif isinstance(number, (Mapping, list)):
            next_target = str(name) if "://" in str(name) else target
            _walk(number, next_target, found, depth + 1)


def _make_address(url: str) -> Address | None:
    if "://" not in url:
        return None
    path = "/" + url.split("://", 1)[1].partition("/")[2].partition("?")[0]
    return Address(target="app", path="".join(sign for sign in path if sign.isprintable())[:300])
