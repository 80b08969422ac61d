"""What every method asks of its input: finite numbers, of one length, enough of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from referee.core.errors import InvalidInput

__all__ = ["Floats", "check_share", "read_columns", "read_pairs", "read_values"]


Floats = NDArray[np.float64]
"""An array of numbers, each of which is finite."""


def read_values(values: Sequence[float] | Floats, *, least_count: int = 1) -> Floats:
    """Return the values as a one-dimensional array.

    Raises:
        InvalidInput: Fewer than ``least_count``, or one of them is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < least_count or not np.isfinite(array).all():
        raise InvalidInput(
            "statistics.values_invalid",
            "The method needs a row of finite numbers, and enough of them.",
            count=int(array.size),
            least_count=least_count,
        )
    return array


def read_columns(columns: Sequence[Sequence[float]] | Floats, *, least_count: int = 1) -> Floats:
    """Return a table, one row per unit and one column per series, as a two-dimensional array.

    Raises:
        InvalidInput: Rows of several lengths, fewer than ``least_count`` of them, no column, or a number
            that is not finite.
    """
    try:
        array = np.asarray(columns, dtype=np.float64)
    except ValueError as error:
        raise InvalidInput("statistics.values_invalid", "The rows of the table differ in length.") from error
    if array.ndim != 2 or array.shape[0] < least_count or not array.size or not np.isfinite(array).all():
        raise InvalidInput(
            "statistics.values_invalid",
            "The method needs a table of finite numbers with enough rows and at least one column.",
            shape=list(array.shape),
            least_count=least_count,
        )
    return array


def read_pairs(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, *, least_count: int = 1
) -> tuple[Floats, Floats]:
    """Return two rows of values that belong together one by one.

    Raises:
        InvalidInput: The rows differ in length, or one is not what ``read_values`` takes.
    """
    one, other = read_values(first, least_count=least_count), read_values(second, least_count=least_count)
    if one.size != other.size:
        raise InvalidInput(
            "statistics.values_invalid",
            "Paired values need two rows of the same length.",
            first_count=int(one.size),
            second_count=int(other.size),
        )
    return one, other


def check_share(value: float, name: str) -> float:
    """Return ``value`` when it lies strictly between 0 and 1.

    Raises:
        InvalidInput: It does not.
    """
    if not 0 < value < 1:
        raise InvalidInput(
            "statistics.level_invalid",
            "A confidence level, a power or an error rate is a share between 0 and 1.",
            name=name,
            value=value,
        )
    return value
