"""Where comparisons are computed: one at a time, and the last few are kept.

A comparison keeps a core busy for seconds. Many requests at once wait here without a thread, and choosing another
metric of the same cells computes nothing again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from referee.pipelines.comparing.cells import CellSet
    from referee.pipelines.comparing.views import ModelComparison

__all__ = ["ComparisonDesk"]

_KEPT_COUNT: Final = 8
"""Of forty models each takes some megabytes."""


class ComparisonDesk:
    """Computes comparisons of one process."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[Hashable, ModelComparison] = OrderedDict()

    async def compute(self, cells: CellSet, *, metric: str | None, baseline: str | None) -> ModelComparison:
        """Return the comparison of these cells, all pairs of one metric told.

        Raises:
            InvalidInput: Metric or model are not known.
        """
        # Loaded when somebody compares: this is part of the room, which every command opens.
        from referee.pipelines.comparing.computing import (  # noqa: PLC0415
            check_request,
            compute_comparison,
            tell_metric,
        )

        check_request(cells, metric=metric, baseline=baseline)
        key = await asyncio.to_thread(lambda: (_freeze(cells), baseline or cells.models[0]))
        async with self._turn:
            found = self._kept.get(key)
            if found is None:
                found = await asyncio.to_thread(compute_comparison, cells, baseline=baseline)
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT_COUNT:
                self._kept.popitem(last=False)
        return tell_metric(found, metric)


def _freeze(value: object) -> Hashable:
    """Return the same values in a form that is equal when they are, whatever order they were read in."""
    if is_dataclass(value):
        return tuple(_freeze(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return frozenset((key, _freeze(one)) for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_freeze(one) for one in value)
    assert isinstance(value, Hashable)  # noqa: S101 - words, numbers, ids and frozen sets
    return value
