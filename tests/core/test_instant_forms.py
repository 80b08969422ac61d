"""Every form in which old logs wrote an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.instants import UnreadableInstant, parse_instant, render_instant

AT = "2026-01-02T03:04:05.000000Z"
INSTANTS = st.datetimes(datetime.fromisoformat("2001-01-01"), datetime.fromisoformat("2099-12-31"))
AT_MS = "2026-01-02T03:04:05.678000Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-02T03:04:05", AT),
        ("2026-01-02 03:04:05", AT),
        (b"2026-01-02 03:04:05", AT),
        ("2026-01-02T03:04:05Z", AT),
        ("2026-01-02t03:04:05z", AT),
        (" 2026-01-02 03:04:05 UTC ", AT),
        ("2026-01-02 03:04:05 +00:00", AT),
        ("2026-01-02T03:04:05+00:00", AT),
        ("2026-01-02T08:34:05+05:30", AT),
        ("2026-01-01T22:04:05-0500", AT),
        ("20260102T030405Z", AT),
        ("2026-01-02T03:04:05.678", AT_MS),
        ("2026-01-02T03:04:05.678Z", AT_MS),
        ("2026-01-02T03:04:05.678000Z", AT_MS),
        ("2026-01-02 03:04:05.678000+00:00", AT_MS),
        ("2026-01-02T03:04:05.678000999Z", AT_MS),
        ("2026-01-02", "2026-01-02T00:00:00.000000Z"),
        (1767323045, AT),
        (1767323045.0, AT),
        (1767323045.678, AT_MS),
        ("1767323045.678", AT_MS),
        (1767323045678, AT_MS),
        ("1767323045678", AT_MS),
        (1767323045678000, AT_MS),
        (1767323045678000999, AT_MS),
        (datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1))), AT),
        (datetime(2026, 1, 2, 3, 4, 5), AT),  # noqa: DTZ001 - what a driver gives for a column without zone
    ],
)
def test_form_is_read_as_the_instant_it_names(value: object, expected: str) -> None:
    assert parse_instant(value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("yesterday", "timestamp_unreadable"),
        ("", "timestamp_unreadable"),
        ("2026-13-01T00:00:00Z", "timestamp_unreadable"),
        ("2026-01-02T03:04:61Z", "timestamp_unreadable"),
        ("２０２６-01-02", "timestamp_unreadable"),
        ("9" * 5_000, "timestamp_unreadable"),
        (True, "timestamp_unreadable"),
        (None, "timestamp_unreadable"),
        ({"at": 1}, "timestamp_unreadable"),
        ([], "timestamp_unreadable"),
        ("0001-01-01T00:00:00", "timestamp_absurd"),
        ("0001-01-01T00:00:00+14:00", "timestamp_absurd"),
        ("9999-12-31T23:59:59Z", "timestamp_absurd"),
        ("9999-12-31T23:59:59-14:00", "timestamp_absurd"),
        (0, "timestamp_absurd"),
        (-62135596800, "timestamp_absurd"),
        (1e300, "timestamp_absurd"),
        (float("nan"), "timestamp_absurd"),
        (float("inf"), "timestamp_absurd"),
        (10**30, "timestamp_absurd"),
    ],
)
def test_what_names_no_instant_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(UnreadableInstant) as refusal:
        parse_instant(value)
    assert refusal.value.reason == reason
    assert len(refusal.value.detail) <= 80


@given(
    INSTANTS,
    st.sampled_from(["T", " "]),
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from([None, "Z", 0, 330, -210, 845]),
)
def test_every_way_of_writing_an_instant_is_read_as_it(
    instant: datetime, separator: str, precision: str, zone: str | int | None
) -> None:
    exact = instant.replace(tzinfo=UTC)
    shown = exact if not isinstance(zone, int) else exact.astimezone(timezone(timedelta(minutes=zone)))
    text = shown.isoformat(sep=separator, timespec=precision)
    if not isinstance(zone, int):
        text = text.removesuffix("+00:00") + (zone or "")
    cut = datetime.fromisoformat(shown.isoformat(timespec=precision))
    assert parse_instant(text) == render_instant(cut)


@given(
    INSTANTS,
    INSTANTS,
)
def test_the_one_form_sorts_as_text_as_it_does_in_time(one: datetime, other: datetime) -> None:
    written = [parse_instant(one), parse_instant(other)]
    assert (written[0] < written[1]) == (one < other)
    assert [len(text) for text in written] == [27, 27]


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40), st.integers(), st.floats(), st.booleans()))
def test_anything_is_either_an_instant_or_refused(value: object) -> None:
    try:
        written = parse_instant(value)
    except UnreadableInstant:
        return
    assert render_instant(datetime.fromisoformat(written)) == written
