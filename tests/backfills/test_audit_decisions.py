"""What the audit backfill computes of a row: the known cases of the agent system, and what it stumbled over."""

from __future__ import annotations

import json

import pytest
from tests.backfills.conftest import DECISIONS

from referee.backfills.contract import Cell, Poison
from referee.backfills.registry import create_backfill
from referee.core.errors import InvalidInput

CREATED = "2026-01-02 03:04:05"
FALLBACK = "2026-01-02T03:04:05.000000Z"
EARLY, LATE = "2025-06-01T00:00:00.000000Z", "2025-06-01T00:00:02.000000Z"


def compute(payload: object, created_at: str | None = CREATED) -> tuple[Cell, ...]:
    text = payload if isinstance(payload, str | bytes | None) else json.dumps(payload)
    return DECISIONS.compute((text, created_at))


@pytest.mark.parametrize("key", ["source_event_ts", "source_ts", "event_timestamp", "task_created_at"])
def test_source_is_taken_from_each_key(key: str) -> None:
    assert compute({key: EARLY})[0] == (EARLY, f"payload.{key}")


@pytest.mark.parametrize("key", ["supervisor_processed_at", "processed_at", "timestamp"])
def test_processed_is_taken_from_each_key(key: str) -> None:
    assert compute({key: LATE})[1] == (LATE, f"payload.{key}")


def test_earlier_keys_go_before_later_ones_and_empty_ones_are_passed_over() -> None:
    payload = {"source_event_ts": None, "source_ts": "", "event_timestamp": EARLY, "task_created_at": LATE}
    assert compute(payload)[0] == (EARLY, "payload.event_timestamp")


def test_created_at_stands_in_and_the_rule_says_so() -> None:
    assert compute({"decision_id": "d"}) == ((FALLBACK, "created_at"), (FALLBACK, "created_at"))


def test_null_payload_is_a_fallback_of_its_own() -> None:
    assert compute(None) == ((FALLBACK, "created_at.payload_null"),) * 2


@pytest.mark.parametrize("payload", ['{"a":', "", "{'a': 1}", b"\xff\xfe{}", "NaN"])
def test_bad_json_is_poison(payload: str | bytes) -> None:
    assert [cell.reason for cell in compute(payload) if isinstance(cell, Poison)] == ["payload_not_json"] * 2


@pytest.mark.parametrize("payload", ["[1]", '"allow"', "17", "null", "true"])
def test_json_that_is_no_object_is_poison_and_no_crash(payload: str) -> None:
    assert [cell.reason for cell in compute(payload) if isinstance(cell, Poison)] == [
        "payload_not_object"
    ] * 2


def test_unreadable_timestamp_is_poison_for_its_column_alone() -> None:
    source, processed = compute({"source_event_ts": "yesterday", "timestamp": LATE})
    assert source == Poison("timestamp_unreadable", "payload.source_event_ts is 'yesterday'")
    assert processed == (LATE, "payload.timestamp")


def test_absurd_year_is_poison_and_not_replaced_by_a_guess() -> None:
    source, _ = compute({"source_event_ts": "0001-01-01T00:00:00", "source_ts": EARLY})
    assert isinstance(source, Poison) and source.reason == "timestamp_absurd"


def test_missing_created_at_is_told() -> None:
    assert compute({}, None) == (Poison("created_at_missing"),) * 2


def test_snapshots_are_read_when_that_is_asked_for() -> None:
    payload = json.dumps({"decision_snapshot": {"event": {"ts": EARLY}}})
    asked = create_backfill("audit-decisions", {"read_snapshots": 1})
    assert asked.compute((payload, CREATED))[0] == (EARLY, "payload.decision_snapshot.event.ts")
    assert DECISIONS.compute((payload, CREATED))[0] == (FALLBACK, "created_at")


@pytest.mark.parametrize("given", [{"min_year": 0}, {"nonsense": 1}])
def test_parameter_out_of_range_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        create_backfill("audit-decisions", given)
