"""Agreement measures, against published examples and statsmodels."""

from __future__ import annotations

import pytest

from referee.core.errors import InvalidInput
from referee.foundation.statistics import Confusion, Interval, compute_agreement, compute_cohen_kappa


def confusion(hits: int, wrong_yes: int, wrong_no: int, right_no: int) -> Confusion:
    return Confusion(
        true_positives_count=hits,
        false_positives_count=wrong_yes,
        false_negatives_count=wrong_no,
        true_negatives_count=right_no,
    )


def rounded(interval: Interval | None, digits: int = 4) -> tuple[float, float, float] | None:
    if interval is None:
        return None
    return round(interval.low, digits), round(interval.point, digits), round(interval.high, digits)


def test_kappa_is_that_of_two_dermatologists_in_the_sas_manual() -> None:
    """SAS/STAT User's Guide, FREQ procedure, "Agreement study": 0.3449 (0.2030, 0.4868)."""
    table = ((10, 4, 1, 0), (5, 10, 12, 2), (2, 4, 12, 5), (0, 2, 6, 13))
    assert rounded(compute_cohen_kappa(table)) == (0.2030, 0.3449, 0.4868)


def test_kappa_is_that_of_statsmodels() -> None:
    """statsmodels.stats.inter_rater.cohens_kappa on Fleiss's 100 diagnoses by two raters."""
    kappa = compute_cohen_kappa(((75, 1, 4), (5, 4, 1), (0, 0, 10)))
    assert kappa is not None
    assert (kappa.low, kappa.point, kappa.high) == pytest.approx(
        (0.5045759580860855, 0.676470588235294, 0.8483652183845026), abs=1e-12
    )


def test_full_agreement_is_one_and_an_interval_never_leaves_its_range() -> None:
    assert rounded(compute_cohen_kappa(((5, 0), (0, 7)))) == (1.0, 1.0, 1.0)
    opposite = compute_cohen_kappa(((0, 4), (6, 0)))
    assert opposite is not None
    assert (opposite.low, round(opposite.point, 6)) == (-1.0, -0.923077)


@pytest.mark.parametrize("table", [((0, 0), (0, 0)), ((9, 0), (0, 0)), ((5, 4), (0, 0)), ((5, 0), (4, 0))])
def test_kappa_says_nothing_without_cases_or_about_a_rater_with_one_answer(
    table: tuple[tuple[int, int], ...],
) -> None:
    assert compute_cohen_kappa(table) is None


@pytest.mark.parametrize("table", [(), ((1, 2),), ((1, -1), (2, 3)), ((1, 2, 3), (4, 5, 6))])
def test_a_table_that_is_not_square_or_has_negative_counts_is_refused(
    table: tuple[tuple[int, ...], ...],
) -> None:
    with pytest.raises(InvalidInput):
        compute_cohen_kappa(table)


def test_measures_of_a_table_with_60_hand_verdicts() -> None:
    """Shares by statsmodels' Wilson intervals; F1's bounds are 2j/(1+j) of those of 38 in 43."""
    measures = compute_agreement(confusion(38, 3, 2, 17))
    assert rounded(measures.precision) == (0.8057, 0.9268, 0.9748)
    assert rounded(measures.recall) == (0.8350, 0.9500, 0.9862)
    assert rounded(measures.f1) == (0.8605, 0.9383, 0.9740)
    assert rounded(measures.accuracy) == (0.8193, 0.9167, 0.9639)
    assert rounded(measures.kappa) == (0.6513, 0.8101, 0.9690)


def test_a_measure_without_a_case_is_none_and_not_zero() -> None:
    nothing_said = compute_agreement(confusion(0, 0, 3, 4))
    assert nothing_said.precision is None
    assert rounded(nothing_said.recall) == (0.0, 0.0, 0.5615)
    empty = compute_agreement(confusion(0, 0, 0, 0))
    assert (empty.precision, empty.recall, empty.f1, empty.accuracy, empty.kappa) == (None,) * 5


def test_negative_counts_are_refused() -> None:
    with pytest.raises(InvalidInput):
        compute_agreement(confusion(1, 1, -1, 1))
