"""How addresses answered under load, over all load tools of an analysis: rows, numbers and drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Final

from referee.analysis.reparsing import RereadRun
from referee.core.load import LoadProfile
from referee.foundation.web.charts import Bar, Bin, Line, Segment

__all__ = [
    "LoadRow",
    "build_bins",
    "build_error_bars",
    "build_latency_bars",
    "build_load_rows",
    "build_rate_lines",
    "build_status_bars",
]

MAX_ROWS_COUNT: Final = 100
"""Addresses × tools on a page or in an answer."""
_CHART_ROWS_COUNT: Final = 20
_BIN_RATIO: Final = 10 ** (1 / 16)
"""Upper to lower edge of a bin, where a single one does not tell."""
_CHART_POINTS_COUNT: Final = 60
"""Points of a line over time; more seconds are put together."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One address under the load of one tool."""

    row_id: str
    """The same for the same analysis, so that it may stand in an address."""
    tool: str
    profile: LoadProfile

    @property
    def is_rough(self) -> bool:
        """Whether its 99th percentile is only its slowest answer."""
        return 0 < self.profile.requests_count < 100

    @property
    def error_share(self) -> float:
        """Requests that failed, as a share of all; 0 where none was sent."""
        return (
            self.profile.failures_count / self.profile.requests_count if self.profile.requests_count else 0.0
        )


def build_load_rows(reread: Sequence[RereadRun]) -> tuple[LoadRow, ...]:
    """Return the rows of all tools, those of one address together. At most ``MAX_ROWS_COUNT``."""
    rows = [
        LoadRow(f"{one.run.tool}-{index}", one.run.tool, profile)
        for one in reread
        if one.report is not None
        for index, profile in enumerate(one.report.loads)
    ]
    places = {
        address: place for place, address in enumerate(dict.fromkeys(str(r.profile.address) for r in rows))
    }
    rows.sort(key=lambda row: (places[str(row.profile.address)], row.tool))
    return tuple(rows[:MAX_ROWS_COUNT])


def build_latency_bars(rows: Sequence[LoadRow]) -> list[Bar]:
    """Return the 95th percentile of each address by each tool, slowest first."""
    known = [row for row in rows if "p95" in row.profile.latency_ms]
    known.sort(key=lambda row: -row.profile.latency_ms["p95"])
    return [
        Bar(
            _short_name(row),
            (
                Segment(
                    row.tool,
                    row.profile.latency_ms["p95"],
                    "idle" if row.profile.is_saturated else "series-1",
                ),
            ),
        )
        for row in known[:_CHART_ROWS_COUNT]
    ]


def build_bins(profile: LoadProfile) -> list[Bin]:
    """Return the histogram from its first to its last bin that has requests, each with its lower edge."""
    known = [(edge, count) for edge, count in profile.histogram if edge > 0 and isfinite(edge)]
    edges = [edge for edge, _ in known]
    if not edges:
        return []
    # The lower edge of the first bin is not told; bins are as far apart as the first two.
    ratio = edges[1] / edges[0] if len(edges) > 1 and edges[1] > edges[0] else _BIN_RATIO
    lows = [edges[0] / ratio, *edges]
    counts = [count for _, count in known]
    bins = [
        Bin(low, high, count) for low, high, count in zip(lows, edges, counts, strict=False) if high > low
    ]
    filled = [index for index, one in enumerate(bins) if one.count]
    return bins[filled[0] : filled[-1] + 1] if filled else []


def build_rate_lines(profile: LoadProfile) -> tuple[list[str], list[Line], int]:
    """Return labels, requests and failures per second over time, and how many seconds one point stands for."""
    seconds = {int(second): (ended, failed) for second, ended, failed in profile.per_second}
    if not seconds:
        return [], [], 1
    length = max(seconds) + 1
    step = ceil(length / _CHART_POINTS_COUNT)
    starts = range(0, length, step)
    sums = [
        [seconds.get(second, (0, 0)) for second in range(start, min(start + step, length))]
        for start in starts
    ]
    return (
        [f"{start} s" for start in starts],
        [
            Line("requests ended", tuple(sum(e for e, _ in part) / len(part) for part in sums), "series-1"),
            Line("of them failed", tuple(sum(f for _, f in part) / len(part) for part in sums), "bad"),
        ],
        step,
    )


def build_status_bars(profile: LoadProfile) -> list[Bar]:
    """Return the answers by status code."""
    return [
        Bar(
            status,
            (Segment(status, count, "bad" if status[:1] == "5" else "warn" if status[:1] == "4" else "ok"),),
        )
        for status, count in sorted(profile.statuses.items())[:_CHART_ROWS_COUNT]
    ]


def build_error_bars(profile: LoadProfile) -> list[Bar]:
    """Return the requests without an answer by kind, most first."""
    found = sorted(profile.errors.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        Bar(kind.replace("_", " "), (Segment(kind, count, "bad"),))
        for kind, count in found[:_CHART_ROWS_COUNT]
    ]


def _short_name(row: LoadRow) -> str:
    """Return what fits before a bar: the tool and the end of the path."""
    return f"{row.tool} {row.profile.address.path or row.profile.address}"
