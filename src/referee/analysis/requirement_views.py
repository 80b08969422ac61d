"""Whether an app does what it was asked to do, as pages and answers show it: rows, counts and evidence by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from referee.analysis.reparsing import RereadRun
from referee.core.requirements import Evidence, RequirementVerdict, Verdict
from referee.core.vocabulary import Confidence

__all__ = [
    "CATEGORIES",
    "EVIDENCE_SOURCES",
    "RequirementRow",
    "VerdictCounts",
    "build_requirement_rows",
    "count_verdicts",
]

EvidenceSource: TypeAlias = Literal["static", "dynamic", "judge"]
EVIDENCE_SOURCES: Final[Mapping[EvidenceSource, str]] = {
    "static": "Source",
    "dynamic": "Running app",
    "judge": "Judge",
}
"""Source of evidence → what people call it."""
CATEGORIES: Final[Mapping[str, str]] = {
    "backend": "Backend",
    "frontend": "Frontend",
    "admin": "Administrators",
    "endpoint": "Endpoints",
    "admin_endpoint": "Endpoints of administrators",
}
"""Category → heading, in the order they are shown."""
MAX_ROWS_COUNT: Final = 1_000
"""Requirements × tools in an answer; a template has at most 700."""


@dataclass(frozen=True, slots=True)
class RequirementRow:
    """One requirement as one tool judged it."""

    tool: str
    judged: RequirementVerdict

    @property
    def row_id(self) -> str:
        """The same for the same analysis."""
        return f"{self.tool}-{self.judged.requirement_id}"

    @property
    def is_sure(self) -> bool:
        """Whether the verdict counts; one of low confidence counts as unknown, as in the measurements."""
        return self.judged.confidence is not Confidence.low

    @property
    def counted_verdict(self) -> Verdict:
        """What it counts as."""
        return self.judged.verdict if self.is_sure else Verdict.unknown

    @property
    def evidence_by_source(self) -> dict[str, tuple[Evidence, ...]]:
        """The evidence of each source, in the order they are shown; empty where a source says nothing."""
        return {
            source: tuple(one for one in self.judged.evidence if one.source == source)
            for source in EVIDENCE_SOURCES
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictCounts:
    """Requirements by verdict."""

    met: int = 0
    not_met: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All requirements."""
        return self.met + self.not_met + self.unknown

    @property
    def judged(self) -> int:
        """Those about which something is known."""
        return self.met + self.not_met

    @property
    def met_share(self) -> float | None:
        """Met ones among those about which something is known; None when nothing is."""
        return self.met / self.judged if self.judged else None

    def share_of(self, count: int) -> float:
        """Return a count as a share of all."""
        return count / self.total if self.total else 0.0


def build_requirement_rows(reread: Sequence[RereadRun]) -> tuple[RequirementRow, ...]:
    """Return the rows of all tools by category, each tool's in its own order. At most ``MAX_ROWS_COUNT``."""
    rows = [
        RequirementRow(one.run.tool, judged)
        for one in reread
        if one.report is not None
        for judged in one.report.verdicts
    ]
    order = list(CATEGORIES)
    rows.sort(key=lambda row: order.index(row.judged.category))
    return tuple(rows[:MAX_ROWS_COUNT])


def count_verdicts(rows: Sequence[RequirementRow]) -> VerdictCounts:
    """Return how many requirements are met, not met and unknown; verdicts of low confidence are unknown."""
    verdicts = [row.counted_verdict for row in rows]
    return VerdictCounts(
        met=verdicts.count(Verdict.met),
        not_met=verdicts.count(Verdict.not_met),
        unknown=verdicts.count(Verdict.unknown),
    )
