"""Ids sort by age, are unique, and are read in both forms."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.core.ids import format_id, new_id, parse_id


def test_ten_thousand_ids_are_unique_and_in_order() -> None:
    made = [new_id() for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert made == sorted(made)


def test_ids_made_by_many_threads_are_unique() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_id(), range(8_000)))
    assert len(set(made)) == 8_000


def test_id_is_a_uuid_of_version_seven() -> None:
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)


def test_text_forms_sort_like_the_ids() -> None:
    made = [new_id() for _ in range(100)]
    assert sorted(str(one) for one in made) == [str(one) for one in made]


@given(st.uuids())
def test_every_form_reads_back(value: UUID) -> None:
    assert parse_id(format_id("analysis", value), "analysis") == value
    assert parse_id(str(value), "analysis") == value
    assert parse_id(value.hex.upper(), "analysis") == value
    assert parse_id(f"  {value} ", "analysis") == value


def test_id_is_shown_with_its_noun() -> None:
    assert format_id("job", UUID(int=255)) == "job_000000000000000000000000000000ff"


@pytest.mark.parametrize(
    "text",
    ["", "analysis_", "analysis_12", "finding_000000000000000000000000000000ff", "no id", "_", "é" * 32],
)
def test_what_is_no_id_is_refused_with_the_noun(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_id(text, "analysis")
    assert refusal.value.code == "analysis.id_invalid"
    assert refusal.value.hint == "Give an id that begins with analysis_ or a plain UUID."


@given(st.text())
def test_any_text_is_an_id_or_is_refused(text: str) -> None:
    try:
        assert isinstance(parse_id(text, "app"), UUID)
    except InvalidInput as refusal:
        assert refusal.code == "app.id_invalid"
