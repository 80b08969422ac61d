"""What findings may say of a place."""

from __future__ import annotations

import pytest

from referee.core.findings import Location


@pytest.mark.parametrize("number", [0, -1])
def test_number_below_1_is_none(number: int) -> None:
    assert Location("a.py", number, number, number, number) == Location("a.py")


def test_numbers_from_1_on_are_kept() -> None:
    place = Location("a.py", 1, 2, 3, 4)
    assert (place.start_line, place.start_column, place.end_line, place.end_column) == (1, 2, 3, 4)
