"""The load that is asked for: the reference's presets, times, and their limits."""

from __future__ import annotations

import pytest

from referee.core.errors import InvalidInput
from referee.tools import get_tool
from referee.tools.load_settings import Thresholds, compute_address_time_s, parse_run_time

TOOLS = ("ab", "aiohttp", "locust")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("2m", 120), ("1h", 3600), ("45", 45), (" 10s ", 10)],
)
def test_run_time_is_read_as_locust_writes_it(text: str, seconds: int) -> None:
    assert parse_run_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "s", "-5s", "1.5s", "2h", "10 s", "1d", "٣s", "99999s", "5s\n6s"])
def test_run_time_that_is_none_or_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="run_time"):
        parse_run_time(text)


@pytest.mark.parametrize(
    ("tool", "preset", "expected"),
    [
        ("ab", "quick", {"requests": 10, "concurrency": 2}),
        ("ab", "standard", {"requests": 20, "concurrency": 5}),
        ("ab", "stress", {"requests": 100, "concurrency": 20}),
        ("ab", "production", {"requests": 500, "concurrency": 50}),
        ("aiohttp", "quick", {"requests": 10, "concurrency": 2}),
        ("aiohttp", "standard", {"requests": 20, "concurrency": 3}),
        ("aiohttp", "stress", {"requests": 100, "concurrency": 10}),
        ("locust", "quick", {"users": 5, "run_time": "10s"}),
        ("locust", "standard", {"users": 10, "run_time": "15s"}),
        ("locust", "stress", {"users": 50, "run_time": "60s"}),
        ("locust", "production", {"users": 100, "run_time": "120s"}),
    ],
)
def test_presets_have_the_numbers_that_people_compare_with(
    tool: str, preset: str, expected: dict[str, object]
) -> None:
    values = get_tool(tool).describe().resolve_parameters({}, preset=preset)
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize("tool", TOOLS)
def test_defaults_are_those_of_the_preset_quick(tool: str) -> None:
    description = get_tool(tool).describe()
    assert description.resolve_parameters({}) == description.resolve_parameters({}, preset="quick")


@pytest.mark.parametrize("tool", TOOLS)
def test_every_preset_is_within_the_limits_of_its_parameters(tool: str) -> None:
    description = get_tool(tool).describe()
    for values in description.presets.values():
        assert description.resolve_parameters(dict(values)) == {
            **description.resolve_parameters({}),
            **values,
        }


@pytest.mark.parametrize(
    ("elapsed_s", "addresses_count", "expected_s"),
    [(0.0, 1, 10.0), (0.0, 7, 2.0), (7.0, 7, 1.0), (14.0, 3, 0.0), (20.0, 1, 0.0)],
)
def test_addresses_share_what_is_left_of_the_time(
    elapsed_s: float, addresses_count: int, expected_s: float
) -> None:
    parameters = get_tool("aiohttp").describe().resolve_parameters({"run_time": "10s", "time_budget_s": 14})
    assert (
        compute_address_time_s(parameters, elapsed_s=elapsed_s, addresses_count=addresses_count) == expected_s
    )


def test_thresholds_are_the_reference_s() -> None:
    assert Thresholds.of(get_tool("locust").describe().resolve_parameters({})) == Thresholds(
        p50_ms=500, p95_ms=2000, p99_ms=5000, failures_share=0.05, requests_per_s=10
    )
