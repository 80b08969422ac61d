"""Timestamps as logs wrote them: every form is the same instant, and what is none says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.instants import UnreadableInstant, parse_instant, read_instant, render_instant

INSTANT = "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00",
        "2026-01-02T05:04:05+02:00", "2026-01-02 03:04:05 UTC", "2026-01-02t03:04:05z", " 2026-01-02T03:04:05 Z ",
        "20260102T030405Z", "2026-01-02T03:04:05.000", "2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.000Z",
        1767323045, 1767323045.0, 1767323045000, 1767323045000000, 1767323045000000000, "1767323045",
        "1767323045000", "1767323045.0", b"2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - no zone is the case
    ],
)  # fmt: skip
def test_every_form_is_the_same_instant(value: object) -> None:
    assert parse_instant(value) == INSTANT
    assert read_instant(value) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "timestamp_unreadable"), ("yesterday", "timestamp_unreadable"), (True, "timestamp_unreadable"),
        (None, "timestamp_unreadable"), ({"at": 1}, "timestamp_unreadable"), ("2026-13-01", "timestamp_unreadable"),
        ("9" * 65, "timestamp_unreadable"), ("٢٠٢٦-01-02T03:04:05", "timestamp_unreadable"),
        ("0001-01-01T00:00:00", "timestamp_absurd"), ("9999-12-31T23:59:59Z", "timestamp_absurd"),
        (0, "timestamp_absurd"), (1e300, "timestamp_absurd"), (float("nan"), "timestamp_absurd"),
        (float("inf"), "timestamp_absurd"), (-62135596800, "timestamp_absurd"),
        ("0001-01-01T00:00:00+14:00", "timestamp_absurd"),
    ],
)  # fmt: skip
def test_what_is_no_instant_says_why(value: object, reason: str) -> None:
    with pytest.raises(UnreadableInstant) as caught:
        parse_instant(value)

    assert caught.value.reason == reason
    assert len(caught.value.detail) <= 80


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2100, 12, 30)),  # noqa: DTZ001 - zones are drawn apart
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from("T "),
)
def test_what_is_rendered_is_read_back_and_sorts_as_time(
    at: datetime, offset_min: int, separator: str
) -> None:
    instant = at.replace(tzinfo=timezone(timedelta(minutes=offset_min)))

    text = parse_instant(instant.isoformat(separator))

    assert text == render_instant(instant)
    assert read_instant(text) == instant
    assert (text < INSTANT) == (instant < read_instant(INSTANT))


@given(st.one_of(st.text(), st.binary(), st.floats(), st.integers()))
def test_anything_is_an_instant_or_says_why(value: object) -> None:
    try:
        assert len(parse_instant(value)) == 27
    except UnreadableInstant as error:
        assert error.reason in ("timestamp_unreadable", "timestamp_absurd")
