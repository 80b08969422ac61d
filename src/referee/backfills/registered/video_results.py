"""Findings and reports of video analyses, out of the blobs of whole results into columns of their own.

Older jobs keep both passes in ``results`` as ``{quick, deep}``; newer ones have a blob for each pass. A pass
that has no result yet has nothing to fill; one with a result and no findings is a dead letter, never an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson

from referee.backfills.contract import Backfill, Cell, Poison, Values

__all__ = ["VideoResults"]

_PASSES: Final = ("quick", "deep")
_KINDS: Final[Mapping[str, type]] = {"findings": list, "report": dict}
_PARTS: Final = tuple((one, part) for part in _KINDS for one in _PASSES)


class VideoResults(Backfill):
    """Lift findings and report of both passes out of the results of ``video_analysis_jobs``."""

    name = "video-results"
    title = "Findings and reports of video analyses"
    summary = "Fills findings and report of the quick and the deep pass from the blobs of their results."
    version = 1
    table = "video_analysis_jobs"
    key = "id"
    columns = tuple(f"{one}_{part}" for one, part in _PARTS)
    inputs = ("quick_results", "deep_results", "results")
    where = "quick_results IS NOT NULL OR deep_results IS NOT NULL OR results IS NOT NULL"
    rules = (
        *(f"{one}_results.{part}" for one, part in _PARTS),
        *(f"results.{one}.{part}" for one, part in _PARTS),
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "results_not_json": "A blob of results is not JSON.",
        "results_not_object": "A blob of results is JSON, but not an object.",
        "findings_missing": "A result has no findings.",
        "findings_unexpected": "The findings of a result are not a list.",
        "report_missing": "A result has no report.",
        "report_unexpected": "The report of a result is not an object.",
    }
    is_value_kept = False
    column_types = ("json", "text", "character varying", "varchar", "clob")

    def compute(self, values: Values) -> tuple[Cell, ...]:
        """Return findings of both passes, then reports of both."""
        blobs = dict(zip(("quick", "deep", "legacy"), map(_parse, values), strict=True))
        return tuple(self._find(blobs, one, part) for one, part in _PARTS)

    def _find(self, blobs: Mapping[str, Any], one: str, part: str) -> Cell:
        result, rule = blobs[one], f"{one}_results.{part}"
        if result is None:
            legacy = blobs["legacy"]
            if isinstance(legacy, Poison):
                return legacy
            result = None if legacy is None else legacy.get(one)
            rule = f"results.{one}.{part}"
            if result is not None and not isinstance(result, dict):
                return Poison("results_not_object", f"results.{one}")
        if result is None or isinstance(result, Poison):
            return result
        value = result.get(part)
        if value is None:
            return Poison(f"{part}_missing", rule)
        if not isinstance(value, _KINDS[part]):
            return Poison(f"{part}_unexpected", rule)
        return orjson.dumps(value).decode(), rule


def _parse(blob: object) -> dict[str, Any] | Poison | None:
    if blob is None:
        return None
    try:
        parsed = orjson.loads(blob)  # type: ignore[arg-type]  # text or bytes, whatever the database gave
    except (ValueError, TypeError) as error:
        return Poison("results_not_json", str(error)[:120])
    if parsed is None:
        return None
    return parsed if isinstance(parsed, dict) else Poison("results_not_object", type(parsed).__name__)
