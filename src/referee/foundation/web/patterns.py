"""``/-/patterns``: every component in both themes, from made-up data.

The page is where a component is looked at before a room uses it, and what the
browser tests photograph.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from referee.core.ids import parse_id
from referee.core.vocabulary import AnalysisState, FindingState, Outcome, Severity
from referee.foundation.web.charts import Bar, Bin, Estimate, Line, Segment, Span
from referee.foundation.web.filters import FilterField
from referee.foundation.web.formats import format_milliseconds
from referee.foundation.web.lists import Card, Column, EmptyState, ListView, Row, build_facet, read_list_query
from referee.foundation.web.problems import Problem
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.shell import get_shell

__all__ = ["router"]

router = APIRouter()

FIELDS = {
    "severity": FilterField(
        "ordered",
        "How bad it is.",
        tuple(str(word) for word in sorted(Severity, key=lambda word: word.rank)),
        is_sortable=True,
        example="severity:>=high",
    ),
    "state": FilterField.of_enum(FindingState, "Where it stands in its life."),
    "path": FilterField("text", "The file.", is_searched=True, is_sortable=True, example="path:core/*"),
    "tool": FilterField("keyword", "Who found it.", is_sortable=True),
    "seen": FilterField("time", "When it was first seen.", is_sortable=True, example="seen:>=-7d"),
    "cost": FilterField("number", "Seconds it took.", is_sortable=True, example="cost:>1"),
}
COLUMNS = (
    Column("message", "Finding", is_title=True),
    Column("severity", "Severity", "severity", is_sortable=True),
    Column("state", "State", "state"),
    Column("tool", "Tool", is_sortable=True, is_optional=True),
    Column("path", "Place", "mono", is_sortable=True, is_optional=True),
    Column("seen", "Seen", "time", is_sortable=True),
    Column("cost", "Took", "duration", is_sortable=True),
)
SWATCHES = (
    *("text", "text-second", "text-third", "line", "border", "sunken", "surface", "bg"),
    *("accent", "ok", "warn", "bad", "critical", "high", "medium", "low", "info"),
    *(f"series-{number}" for number in range(1, 9)),
)
CODE = '''def find_user(name: str) -> User | None:
    """Return the user called ``name``."""
    query = f"SELECT * FROM users WHERE name = '{name}'"  # built from input
    row = database.execute(query).fetchone()
    return User(*row) if row else None
'''


@router.get("/-/patterns")
async def show_patterns(request: Request) -> Response:
    """Show every component in both themes."""
    context = {"views": _build_views(request), **_build_samples(request)}
    crumbs = (Crumb("Patterns", "/-/patterns"),)
    return await render_page(request, "patterns.html", context, title="Every component", breadcrumb=crumbs)


def _build_views(request: Request) -> dict[str, ListView]:
    query = read_list_query(request, FIELDS)
    now = get_shell(request).clock.now()
    rows = [_build_row(index, now) for index in range(5)]
    shared: dict[str, Any] = {
        "noun": "findings",
        "query": query,
        "columns": COLUMNS,
        "empty": EmptyState(
            "No findings yet",
            "A finding is one place where a rule matched. Analyse an app or a folder to get some.",
            "referee analyze ./my-app",
        ),
        "default_sort": "-severity",
        "fields": FIELDS,
    }
    facets = (
        build_facet(query, "severity", "Severity", {"critical": 3, "high": 41, "medium": 212, "low": 948}),
        build_facet(query, "state", "State", {"open": 1031, "fixed": 164, "dismissed": 9}),
    )
    return {
        "full": ListView(
            title="Findings",
            state_line="1,204 findings in 14 analyses, 3 of them critical.",
            rows=rows,
            total_count=1_204,
            limit=5,
            next_cursor="example",
            cards=(
                Card("Open", "1,031", "86 % of all"),
                Card("Critical", "3", "in 2 apps", "critical"),
                Card("Fixed this week", "48", "12 more than the week before", "ok"),
                Card("Oldest open", "21 d", "subprocess call with shell"),
            ),
            facets=facets,
            twin_url="/v1/openapi.json",
            export_url="/v1/openapi.json",
            **shared,
        ),
        "empty": ListView(title="Findings", rows=(), total_count=0, **shared),
    }


def _build_row(index: int, now: datetime) -> Row:
    messages = (
        "Possible SQL injection through string-based query construction.",
        "Use of weak MD5 hash for security.",
        "Unused import 'os'.",
        "Name \u202ereversed\u202c and \x1b[31mred\x1b[0m are shown as they are.",
        "<script>alert(1)</script> stays text.",
    )
    severities = tuple(Severity)
    states = (
        FindingState.open,
        FindingState.open,
        FindingState.fixed,
        FindingState.dismissed,
        FindingState.open,
    )
    return Row(
        row_id=f"example-{index}",
        url="/-/patterns",
        cells={
            "message": messages[index],
            "severity": severities[index],
            "state": states[index],
            "tool": ("bandit", "semgrep", "pylint", "eslint", "jshint")[index],
            "path": f"app/backend/queries_{index}.py:{index * 17 + 4}",
            "seen": now - timedelta(minutes=7) * (6**index),
            "cost": (0.0004, 0.34, 12.34, 125, None)[index],
        },
    )


def _build_samples(request: Request) -> dict[str, Any]:
    word_counts = {"bandit": (3, 14, 8), "semgrep": (1, 22, 41), "eslint": (0, 4, 96), "mypy": (0, 0, 31)}
    return {
        "severities": tuple(Severity),
        "states": (*AnalysisState, *Outcome, *FindingState),
        "severity_totals": {Severity.critical: 3, Severity.high: 41, Severity.medium: 212, Severity.low: 948},
        "example_id": parse_id("0199a1b2c3d47e5f8a9b0c1d2e3f4a5b", "analysis"),
        "code": CODE,
        "tab_items": [
            SimpleNamespace(label="Tools", url="/-/patterns", is_current=True, count=8),
            SimpleNamespace(label="Findings", url="/-/patterns?tab=findings", is_current=False, count=1204),
            SimpleNamespace(label="Artifacts", url="/-/patterns?tab=artifacts", is_current=False, count=None),
        ],
        "bars": [
            Bar(
                name,
                (
                    Segment("critical", counts[0], "critical"),
                    Segment("high", counts[1], "high"),
                    Segment("medium", counts[2], "medium"),
                ),
            )
            for name, counts in word_counts.items()
        ],
        "bins": [
            Bin(2 * 1.25**step, 2 * 1.25 ** (step + 1), count)
            for step, count in enumerate((3, 14, 61, 120, 164, 141, 98, 74, 32, 20, 9, 0, 2, 5, 1))
        ],
        "estimates": [
            Estimate("beryl-mini", -3.1, -5.2, -1.0, "ok", "30 of 30"),
            Estimate("cinnabar", 0.4, -1.9, 2.7, "idle", "29 of 30"),
            Estimate("dolomite-xl", 4.2, 1.1, 7.3, "bad", "30 of 30"),
            Estimate("emerald", None, detail="0 of 30"),
        ],
        "format_milliseconds": format_milliseconds,
        "days": [f"Mar {day}" for day in range(1, 11)],
        "lines": [
            Line("opened", (12, 18, 9, 22, 31, 26, 14, 8, 19, 24), "series-1"),
            Line("fixed", (4, 9, 12, 18, None, 29, 22, 11, 15, 21), "series-3"),
        ],
        "spans": [
            Span("semgrep", 0.0, 34.2, "series-1", "succeeded"),
            Span("mypy", 0.0, 21.7, "series-1", "succeeded"),
            Span("pylint", 21.7, 18.1, "series-1", "timed out", is_failed=True),
            Span("safety", 34.2, 0.004, "series-1", "succeeded"),
        ],
        "problem": Problem(
            type="/problems/store.unavailable",
            title="Unavailable",
            status=503,
            detail="The database does not answer.",
            hint="It restarts by itself; try again in a few seconds.",
            code="store.unavailable",
            instance=request.url.path,
            request_id="5f0c9a",
        ),
        "swatches": SWATCHES,
    }
