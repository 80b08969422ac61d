from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.foundation.web import formats

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (11_520, "3 h 12 min"),
        (187_200, "2 d 4 h"),
        (-2, "−2.0 s"),
        (None, "unknown"),
        (timedelta(minutes=3), "3 min 00 s"),
    ],
)
def test_durations_carry_their_unit(seconds: float | timedelta | None, text: str) -> None:
    assert formats.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (32 << 20, "32 MiB"),
        (5 << 40, "5 TiB"),
    ],
)
def test_sizes_are_in_binary_units(size: int, text: str) -> None:
    assert formats.format_bytes(size) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (0.5, "50.0 %"),
        (1, "100.0 %"),
        (0.9999, "99.9 %"),
        (0.0001, "<0.1 %"),
        (None, "unknown"),
    ],
)
def test_a_share_below_one_is_never_shown_as_all(share: float | None, text: str) -> None:
    assert formats.format_share(share) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=42), "42 s ago"),
        (timedelta(minutes=5, seconds=59), "5 min ago"),
        (timedelta(hours=-2), "in 2 h"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=31), "2026-01-29"),
    ],
)
def test_times_are_relative_until_a_month_has_passed(before: timedelta, text: str) -> None:
    assert formats.format_relative(NOW - before, NOW) == text


def test_escape_sequences_and_direction_overrides_are_made_visible() -> None:
    assert formats.show_text("a\x1b[31m\u202eb\u200b\ud800\n\tc") == (
        "a⟨U+001B⟩[31m⟨U+202E⟩b⟨U+200B⟩⟨U+D800⟩\n\tc"
    )


@given(st.text())
def test_shown_text_can_always_be_sent(text: str) -> None:
    formats.show_text(text).encode()


def test_joined_emoji_stay_whole() -> None:
    assert formats.show_text("👩\u200d💻") == "👩\u200d💻"


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert formats.truncate_text("abcdef", 4) == "abc…"


def test_counts_have_separators() -> None:
    assert [formats.format_count(1_204_007), formats.format_number(1234.5), formats.format_number(2.0)] == [
        "1,204,007",
        "1,234.5",
        "2",
    ]


def test_ids_are_told_apart_by_their_last_digits() -> None:
    assert formats.shorten_id("analysis_0199a1b2c3d47e5f8a9b0c1d2e3f4a5b") == "2e3f4a5b"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500 ms"), (90, "1 min 30 s"), (120, "2 min"), (1_800, "30 min"), (7_200, "2 h"), (86_400, "1 d")],
)
def test_period_has_no_rest_of_nothing(seconds: float, text: str) -> None:
    assert formats.format_period(seconds) == text


def test_words_keep_abbreviations_and_headings_change_only_their_first_letter() -> None:
    assert [formats.format_words(word) for word in ("ai", "not_applicable", "")] == [
        "AI",
        "not applicable",
        "",
    ]
    assert [formats.format_heading(word) for word in ("AI tools", "static tools", "")] == [
        "AI tools",
        "Static tools",
        "",
    ]
