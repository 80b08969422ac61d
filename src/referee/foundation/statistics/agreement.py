"""How well yes-or-no answers agree with the truth, or two raters with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from referee.core.errors import InvalidInput
from referee.foundation.statistics.intervals import Interval, compute_normal_quantile, compute_share_interval

__all__ = ["BinaryAgreement", "Confusion", "compute_agreement", "compute_cohen_kappa"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Answers counted by what they should have been."""

    true_positives_count: int
    false_positives_count: int
    """Answered yes where no is true."""
    false_negatives_count: int
    """Answered no where yes is true."""
    true_negatives_count: int

    @property
    def total_count(self) -> int:
        """All answers."""
        return (
            self.true_positives_count
            + self.false_positives_count
            + self.false_negatives_count
            + self.true_negatives_count
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryAgreement:
    """The measures of a confusion table. None: no case that it is about."""

    precision: Interval | None
    """Share of right answers among those that say yes."""
    recall: Interval | None
    """Share of found cases among those where yes is true."""
    f1: Interval | None
    accuracy: Interval | None
    kappa: Interval | None
    """Cohen's kappa; None also when all answers, or all truths, are the same one."""


def compute_agreement(confusion: Confusion, *, level: float = 0.95) -> BinaryAgreement:
    """Return precision, recall, F1, accuracy and kappa, each with its interval.

    Precision, recall and accuracy are shares with Wilson intervals. F1 is
    ``2j / (1 + j)`` of the share ``j`` of true positives among all cases that are
    not true negatives, so the same function of that share's Wilson bounds is
    its interval; it needs no resampling and holds for few cases.

    Args:
        confusion: Counts, each at least 0.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Raises:
        InvalidInput: A count is negative or ``level`` is no share.

    Source:
        K. F. Y. Lam, V. Gopal, J. Qian (2023), arXiv:2309.14621, "Wilson indirect" for F1.
    """
    hits, wrong_yes = confusion.true_positives_count, confusion.false_positives_count
    wrong_no, right_no = confusion.false_negatives_count, confusion.true_negatives_count
    if min(hits, wrong_yes, wrong_no, right_no) < 0:
        raise InvalidInput("statistics.counts_invalid", "A confusion table has no negative counts.")
    shared = _share(hits, hits + wrong_yes + wrong_no, level)
    return BinaryAgreement(
        precision=_share(hits, hits + wrong_yes, level),
        recall=_share(hits, hits + wrong_no, level),
        f1=None if shared is None else _widen_to_f1(shared),
        accuracy=_share(hits + right_no, confusion.total_count, level),
        kappa=compute_cohen_kappa(((hits, wrong_yes), (wrong_no, right_no)), level=level),
    )


def compute_cohen_kappa(table: Sequence[Sequence[int]], *, level: float = 0.95) -> Interval | None:
    """Return Cohen's kappa of two raters with its large-sample interval.

    Kappa is the agreement beyond what the raters' own habits would give by
    chance: 1 is full agreement, 0 none beyond chance.

    Args:
        table: Square table of counts; row: category of the first rater, column: of the second.
        level: Two-sided confidence level, a share strictly between 0 and 1.

    Returns:
        The interval, cut to -1…1; of no width at full agreement, where the method sees no error. None when
        kappa says nothing: no case, or a rater who always gave the same answer, which makes it 0 (or
        undefined) whatever the other one said.

    Raises:
        InvalidInput: The table is not square, a count is negative, or ``level`` is no share.

    Source:
        J. L. Fleiss, J. Cohen, B. S. Everitt (1969), Psychological Bulletin 72(5), 323-327.
    """
    size = len(table)
    if size == 0 or any(len(row) != size or min(row) < 0 for row in table):
        raise InvalidInput(
            "statistics.counts_invalid", "Kappa needs a square table of counts that are not negative."
        )
    z = compute_normal_quantile(level)
    total = sum(map(sum, table))
    if total == 0:
        return None
    shares = [[count / total for count in row] for row in table]
    rows = [sum(row) for row in shares]
    columns = [sum(row[index] for row in shares) for index in range(size)]
    observed = sum(shares[index][index] for index in range(size))
    expected = sum(row * column for row, column in zip(rows, columns, strict=True))
    if total in (*map(sum, table), *(sum(row[index] for row in table) for index in range(size))):
        return None
    kappa = (observed - expected) / (1 - expected)
    if sum(table[index][index] for index in range(size)) == total:
        return Interval(1.0, 1.0, 1.0, level)  # its error is 0, which floats miss
    error = _compute_kappa_error(shares, rows, columns, observed, expected) / sqrt(total)
    return Interval(max(-1.0, kappa - z * error), kappa, min(1.0, kappa + z * error), level)


def _compute_kappa_error(
    shares: Sequence[Sequence[float]],
    rows: Sequence[float],
    columns: Sequence[float],
    observed: float,
    expected: float,
) -> float:
    """Return the standard error of kappa for one case (formula 13 of the source)."""
    size = len(rows)
    agreeing = sum(
        shares[index][index] * ((1 - expected) - (rows[index] + columns[index]) * (1 - observed)) ** 2
        for index in range(size)
    )
    differing = (1 - observed) ** 2 * sum(
        shares[row][column] * (columns[row] + rows[column]) ** 2
        for row in range(size)
        for column in range(size)
        if row != column
    )
    rest = (observed * expected - 2 * expected + observed) ** 2
    return sqrt(max(0.0, agreeing + differing - rest)) / (1 - expected) ** 2


def _share(hits_count: int, total_count: int, level: float) -> Interval | None:
    return compute_share_interval(hits_count, total_count, level=level) if total_count else None


def _widen_to_f1(shared: Interval) -> Interval:
    low, point, high = (2 * share / (1 + share) for share in (shared.low, shared.point, shared.high))
    return Interval(low, point, high, shared.level)
