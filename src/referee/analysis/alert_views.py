"""What scanners of the running app report, the same rule at several addresses put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.finding_queries import OCCURRENCE_FIELDS, list_occurrences, list_rules
from referee.analysis.views import Occurrence
from referee.core.findings import Rule
from referee.core.pages import MAX_LIMIT
from referee.core.vocabulary import Service, Severity
from referee.foundation.web.filters import Filter

__all__ = ["Alert", "AlertList", "group_alerts", "list_alerts"]

_MAX_NAME_LENGTH: Final = 100
"""Characters of a summary that still is a name; some tools write a paragraph."""
DYNAMIC_FILTER: Final = Filter(fields=OCCURRENCE_FIELDS).add_word("service", Service.dynamic.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule of one tool, with everywhere it matched."""

    tool: str
    rule_id: str
    rule: Rule | None
    """What the tool says about the rule, where it said something."""
    severity: Severity
    """That of the worst place."""
    occurrences: tuple[Occurrence, ...]
    """At least one, worst first."""

    @property
    def alert_id(self) -> str:
        """The same for the same analysis."""
        return f"{self.tool}-{self.rule_id}"

    @property
    def name(self) -> str:
        """What people call the rule: what it says in one line, or its name."""
        if self.rule is None:
            return self.rule_id
        summary = self.rule.summary
        return summary if 0 < len(summary) <= _MAX_NAME_LENGTH else self.rule.name or self.rule_id

    @property
    def description(self) -> str:
        """What the tool says about the rule, where that is more than its name."""
        return "" if self.rule is None or self.rule.summary == self.name else self.rule.summary

    @property
    def solution(self) -> str:
        """What to do about it, in the tool's words; empty when it says nothing."""
        found = (str(one.properties.get("solution") or "") for one in self.occurrences)
        return next((text for text in found if text), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertList:
    """The alerts of one analysis."""

    alerts: tuple[Alert, ...]
    """Worst first, then those with most places."""
    occurrences_count: int
    """All places, also those beyond what is read at once."""
    read_count: int
    """Places that are in ``alerts``."""


async def list_alerts(session: AsyncSession, analysis_id: UUID) -> AlertList:
    """Return what the dynamic tools of an analysis found, by rule; at most ``MAX_LIMIT`` places, worst first."""
    page = await list_occurrences(session, analysis_id, where=DYNAMIC_FILTER, limit=MAX_LIMIT)
    rules = await list_rules(session, {(one.tool, one.rule_id) for one in page.items})
    return AlertList(
        alerts=group_alerts(page.items, rules),
        occurrences_count=page.total_count,
        read_count=len(page.items),
    )


def group_alerts(
    occurrences: Sequence[Occurrence], rules: Mapping[tuple[str, str], Rule]
) -> tuple[Alert, ...]:
    """Return the occurrences by tool and rule, worst first, then those with most places, then by name."""
    groups: dict[tuple[str, str], list[Occurrence]] = {}
    for occurrence in occurrences:
        groups.setdefault((occurrence.tool, occurrence.rule_id), []).append(occurrence)
    alerts = [
        Alert(
            tool=tool,
            rule_id=rule_id,
            rule=rules.get((tool, rule_id)),
            severity=max((one.severity for one in found), key=lambda severity: severity.rank),
            occurrences=tuple(
                sorted(found, key=lambda one: (-one.severity.rank, str(one.address or ""), one.ordinal))
            ),
        )
        for (tool, rule_id), found in groups.items()
    ]
    alerts.sort(key=lambda one: (-one.severity.rank, -len(one.occurrences), one.tool, one.rule_id))
    return tuple(alerts)
