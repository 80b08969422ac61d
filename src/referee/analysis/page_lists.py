"""The lists of analyses and findings as list pages show them: columns, rows, facets, cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from referee.analysis.finding_queries import FINDING_FIELDS, OCCURRENCE_FIELDS
from referee.analysis.overview import OPEN_FILTER
from referee.analysis.queries import ANALYSIS_FIELDS
from referee.analysis.views import Analysis, Facet, Finding, Occurrence
from referee.core.pages import Page
from referee.core.vocabulary import AnalysisState, FindingState, Severity
from referee.foundation.web.lists import (
    Card,
    Column,
    EmptyState,
    ListQuery,
    ListView,
    Row,
    build_facet,
)
from referee.foundation.web.lists import (
    Facet as FacetChips,
)
from referee.foundation.web.templating import with_query

__all__ = [
    "NOTHING_YET",
    "RECENT_COLUMNS",
    "build_analysis_list",
    "build_analysis_rows",
    "build_finding_list",
    "build_occurrence_list",
    "first_line",
    "place_of",
]

_FACET_LABELS = {
    "severity": "Severity",
    "state": "State",
    "tool": "Tool",
    "subject": "Subject",
    "suppressed": "Suppressed",
}
_ALWAYS_SHOWN = frozenset({"severity", "tool"})
"""The other facets are left out where they have a single value, which tells nothing."""
_FACET_WORDS = {"suppressed": {"yes": "in the code", "no": "not"}}

NOTHING_YET = EmptyState(
    "No analyses yet",
    "An analysis judges one app or folder with the tools you choose and keeps every result.",
    "referee analyze ./my-app",
)

RECENT_COLUMNS = (
    Column("subject", "Subject", is_title=True),
    Column("state", "State", "state"),
    Column("tools", "Tools", "custom"),
    Column("severities", "Findings", "custom"),
    Column("took", "Took", "custom", is_optional=True),
    Column("created", "Accepted", "time"),
)
_ANALYSIS_COLUMNS = (*RECENT_COLUMNS[:-1], Column("profile", "Profile", is_optional=True), RECENT_COLUMNS[-1])

_FINDING_COLUMNS = (
    Column("severity", "Severity", "severity"),
    Column("message", "Finding", is_title=True),
    Column("rule", "Rule and place", "custom"),
    Column("state", "State", "custom"),
    Column("subject", "Subject", is_optional=True),
)
_OCCURRENCE_COLUMNS = tuple(column for column in _FINDING_COLUMNS if column.key != "subject")


def build_analysis_rows(analyses: Sequence[Analysis]) -> list[Row]:
    """Return a table row for each analysis."""
    return [
        Row(
            row_id=analysis.analysis_id.hex,
            url=f"/ui/analyses/{analysis.analysis_id}",
            cells={
                "subject": analysis.subject.name,
                "state": analysis.state.value,
                "tools": analysis,
                "severities": analysis,
                "took": analysis,
                "profile": analysis.profile,
                "created": analysis.created_at,
            },
        )
        for analysis in analyses
    ]


def build_analysis_list(
    query: ListQuery, page: Page[Analysis], states: Mapping[AnalysisState, int], *, live_topic: str
) -> ListView:
    """Return the list page of analyses."""
    counts = {state.value: count for state, count in states.items() if count}
    active = states[AnalysisState.running] + states[AnalysisState.queued]
    return ListView(
        title="Analyses",
        noun="analyses",
        query=query,
        columns=_ANALYSIS_COLUMNS,
        rows=build_analysis_rows(page.items),
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=NOTHING_YET,
        state_line=f"{active} under way." if active else "",
        facets=(build_facet(query, "state", "State", counts),) if counts else (),
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        live_topic=live_topic,
        fields=ANALYSIS_FIELDS,
        caption="Analyses, newest first",
    )


def build_finding_list(
    query: ListQuery,
    page: Page[Finding],
    states: Mapping[FindingState, int],
    facets: Mapping[str, Sequence[Facet]],
    *,
    suppressed_count: int,
) -> ListView:
    """Return the list page of findings."""
    return ListView(
        title="Findings",
        noun="findings",
        query=query,
        columns=_FINDING_COLUMNS,
        rows=[
            Row(
                row_id=finding.finding_id.hex,
                url=with_query(f"/ui/findings/{finding.finding_id}", filter=query.text),
                cells={
                    "severity": finding.severity,
                    "message": first_line(finding.message),
                    "rule": finding,
                    "state": finding,
                    "subject": finding.subject_name,
                },
            )
            for finding in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=EmptyState(
            "No findings yet",
            "A finding is one place where a tool's rule matched. Analyse an app or a folder to get some.",
            "referee analyze ./my-app",
        ),
        cards=_finding_cards(states, suppressed_count),
        facets=_finding_facets(query, facets),
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=FINDING_FIELDS,
        live_topic="findings",
        caption="Findings, worst first",
    )


def build_occurrence_list(
    query: ListQuery,
    page: Page[Occurrence],
    facets: Mapping[str, Sequence[Facet]],
    *,
    analysis: Analysis,
    twin_url: str,
    live_topic: str,
) -> ListView:
    """Return the findings of one analysis as a list."""
    return ListView(
        title="Findings of this analysis",
        noun="findings",
        query=query,
        columns=_OCCURRENCE_COLUMNS,
        rows=[
            Row(
                row_id=f"{occurrence.tool_run_id.hex}-{occurrence.ordinal}",
                url=f"/ui/findings/{occurrence.finding_id}",
                cells={
                    "severity": occurrence.severity,
                    "message": first_line(occurrence.message),
                    "rule": occurrence,
                    "state": occurrence,
                },
            )
            for occurrence in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_nothing_found(analysis),
        facets=_finding_facets(query, facets),
        twin_url=twin_url,
        fields=OCCURRENCE_FIELDS,
        live_topic=live_topic,
        caption="Findings of this analysis, worst first",
    )


def _nothing_found(analysis: Analysis) -> EmptyState:
    """Return why an analysis has no findings: that nothing was found is said only when tools looked."""
    if not analysis.state.is_final:
        return EmptyState("Nothing found yet", "Findings appear here as soon as their tool ends.")
    if analysis.complete_count == 0:
        return EmptyState("Findings are not known", "No tool came to a result. The ledger says why.")
    return EmptyState(
        "Nothing found",
        "No tool that came to a result reports anything. The ledger says what each of them examined.",
    )


def first_line(message: str) -> str:
    """Return the first line of a message, bounded."""
    line = message.strip().split("\n", 1)[0]
    return line if len(line) <= 240 else f"{line[:239]}…"


def place_of(path: str | None, line: int | None, address: object = None) -> str:
    """Return where a finding stands, as ``path:line``, or where in the running app it was seen."""
    if path is None:
        return str(address or "whole subject")
    return path if line is None else f"{path}:{line}"


def _finding_cards(states: Mapping[FindingState, int], suppressed_count: int) -> tuple[Card, ...]:
    return (
        Card("Open", f"{states[FindingState.open]:,}", url=_filtered(OPEN_FILTER)),
        Card("Fixed", f"{states[FindingState.fixed]:,}", url=_filtered("is:fixed suppressed:no")),
        Card("Dismissed", f"{states[FindingState.dismissed]:,}", url=_filtered("is:dismissed suppressed:no")),
        Card("Suppressed in the code", f"{suppressed_count:,}", url=_filtered("is:suppressed")),
    )


def _filtered(filter: str) -> str:
    return with_query("/ui/findings", filter=filter)


def _finding_facets(query: ListQuery, facets: Mapping[str, Sequence[Facet]]) -> tuple[FacetChips, ...]:
    built = []
    for key, label in _FACET_LABELS.items():
        counts = {facet.value: facet.count for facet in facets.get(key, ())}
        if key == "severity":
            counts = {word.value: counts[word.value] for word in Severity if word.value in counts}
        if counts and (
            len(counts) > 1
            or key in _ALWAYS_SHOWN
            or any(query.filter.has_word(key, word) for word in counts)
        ):
            built.append(build_facet(query, key, label, counts, words=_FACET_WORDS.get(key)))
    return tuple(built)
