"""What a manifest promises about rows, so that `referee verify` can tell when one was altered later.

At the end of an analysis nothing of it changes any more, save the life of its
findings. Digests over its row, its ledger and its measurements go into the
manifest, whose own digest the database keeps.

The columns are named here one by one: a later column must not make an old
manifest look wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from referee.analysis.results import digest_json
from referee.analysis.views import Measured, ToolRun
from referee.core.findings import JsonValue

__all__ = ["ANALYSIS_COLUMNS", "MEASUREMENTS_MAX_COUNT", "seal_analysis", "seal_tool_runs"]

MEASUREMENTS_MAX_COUNT = 100_000
"""Measurements of one analysis that are written to its files and sealed."""

ANALYSIS_COLUMNS = (
    "subject_id", "state", "reason", "profile", "is_cache_allowed", "source_digest", "files_count",
    "excluded_count", "results_path", "created_at", "started_at", "finished_at",
)  # fmt: skip
_TOOL_RUN_COLUMNS = (
    "position", "service", "parameters", "attempts_count", "outcome", "reason", "did_run", "exit_meaning",
    "exit_code", "parse_state", "findings_count", "suppressed_count", "version", "cached_from_tool_run_id",
    "command", "isolation", "coverage", "notices", "raw", "sarif_sha256", "findings_digest", "duration_ms",
    "cpu_ms", "peak_memory_bytes", "started_at", "finished_at",
)  # fmt: skip
_MEASUREMENT_COLUMNS = ("name", "value", "unit", "better", "path", "start_line")


def seal_analysis(values: Mapping[str, object]) -> str:
    """Return the digest over an ended analysis' own row.

    Args:
        values: At least ``ANALYSIS_COLUMNS``.
    """
    return digest_json({name: _plain(values[name]) for name in ANALYSIS_COLUMNS})


def seal_tool_runs(
    tool_runs: Sequence[ToolRun], measurements: Iterable[Measured]
) -> dict[str, dict[str, JsonValue]]:
    """Return what the manifest says of each tool run, by tool: the facts people ask for, and digests of the rest."""
    measured: dict[str, list[list[object]]] = {run.tool: [] for run in tool_runs}
    for measurement in measurements:
        measured[measurement.tool].append([getattr(measurement, name) for name in _MEASUREMENT_COLUMNS])
    return {
        run.tool: {
            "tool_run_id": str(run.tool_run_id),
            "outcome": run.status,
            "findings_count": run.findings_count,
            "suppressed_count": run.suppressed_count,
            "findings_digest": run.findings_digest,
            "measurements_digest": digest_json(measured[run.tool]),
            "row_digest": digest_json({name: _plain(getattr(run, name)) for name in _TOOL_RUN_COLUMNS}),
        }
        for run in tool_runs
    }


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value
