"""Each error has one status and one exit code, wherever it shows."""

from __future__ import annotations

import pytest

from referee.core import errors
from referee.core.errors import RefereeError

EXPECTED = {
    "RefereeError": (500, 1),
    "InvalidInput": (422, 2),
    "PayloadTooLarge": (413, 2),
    "UnsupportedMediaType": (415, 2),
    "DamagedInput": (422, 2),
    "Unauthorized": (401, 3),
    "Forbidden": (403, 3),
    "NotFound": (404, 4),
    "Conflict": (409, 5),
    "Unavailable": (503, 6),
    "StorageFull": (507, 6),
    "TooManyRequests": (429, 6),
    "IntegrityError": (500, 7),
}


def test_every_class_has_the_status_and_exit_code_of_the_table() -> None:
    found = {name: (getattr(errors, name).status, getattr(errors, name).exit_code) for name in errors.__all__}
    assert found == EXPECTED


@pytest.mark.parametrize("name", errors.__all__)
def test_every_class_says_when_it_is_raised_and_has_a_title(name: str) -> None:
    kind: type[RefereeError] = getattr(errors, name)
    assert issubclass(kind, RefereeError)
    assert kind.__doc__
    assert kind.title


def test_error_is_its_sentence_and_what_to_do() -> None:
    error = errors.NotFound("app.not_found", "There is no such app.", "List the apps.", app="a")
    assert str(error) == "There is no such app. List the apps."
    assert (error.code, error.message, error.hint) == (
        "app.not_found",
        "There is no such app.",
        "List the apps.",
    )
    assert error.context == {"app": "a"}


def test_error_without_a_hint_ends_with_its_sentence() -> None:
    assert str(errors.Conflict("a.b", "It is taken.")) == "It is taken."


def test_full_disk_is_caught_as_unavailable_and_too_large_as_invalid() -> None:
    assert issubclass(errors.StorageFull, errors.Unavailable)
    assert issubclass(errors.PayloadTooLarge, errors.InvalidInput)
