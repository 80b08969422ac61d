"""The JSON shapes of what tools that look at a running app find, and of services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.analysis.alert_views import Alert, AlertList
from referee.analysis.breakers import BreakerState
from referee.analysis.load_views import LoadRow
from referee.analysis.models import OccurrenceModel
from referee.analysis.reparsing import RereadRun
from referee.analysis.requirement_views import RequirementRow, VerdictCounts, count_verdicts
from referee.analysis.services import ServiceStatus
from referee.core.addresses import Address
from referee.core.requirements import Evidence, Verdict
from referee.core.vocabulary import Confidence, Service, Severity

__all__ = [
    "AlertsModel",
    "PerformanceModel",
    "RequirementsModel",
    "ServiceModel",
    "SourceModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class AddressModel(_Model):
    """A place of a running app."""

    target: str
    method: str
    path: str
    parameter: str


class UnreadRunModel(_Model):
    """A tool run of which nothing can be told, and why."""

    tool: str
    reason: str

    @classmethod
    def list_of(cls, reread: Sequence[RereadRun]) -> list[UnreadRunModel]:
        """Return those that could not be read."""
        return [cls(tool=one.run.tool, reason=one.problem) for one in reread if one.report is None]


class LoadModel(_Model):
    """How one address answered under the load of one tool, warm-up left out."""

    tool: str
    address: AddressModel
    requests_count: int
    failures_count: int
    error_share: float
    duration_s: float
    requests_per_s: float
    concurrency_count: int
    latency_ms: dict[str, float] = Field(description="min, mean, p50, p75, p90, p95, p99 and max.")
    histogram: list[tuple[float, int]] = Field(description="Upper edge in milliseconds, requests in the bin.")
    per_second: list[tuple[float, int, int]] = Field(
        description="Seconds since the start, requests ended, failures."
    )
    statuses: dict[str, int]
    errors: dict[str, int]
    generator_cpu_share: float | None
    is_saturated: bool = Field(description="Whether the generator was the limit, not the app.")

    @classmethod
    def of(cls, row: LoadRow) -> LoadModel:
        """Return the shape of a row."""
        names = cls.model_fields.keys() - {"tool", "address", "error_share", "histogram", "per_second"}
        profile = row.profile
        return cls(
            **{name: getattr(profile, name) for name in names},
            tool=row.tool,
            address=_address(profile.address),
            error_share=row.error_share,
            histogram=list(profile.histogram),
            per_second=list(profile.per_second),
        )


class PerformanceModel(_Model):
    """How the addresses of an analysis answered under load."""

    analysis_id: UUID
    profiles: list[LoadModel]
    unread: list[UnreadRunModel] = Field(description="Load tools that came to no readable result.")

    @classmethod
    def build(
        cls, analysis_id: UUID, rows: Sequence[LoadRow], reread: Sequence[RereadRun]
    ) -> PerformanceModel:
        """Return the shape of all rows."""
        return cls(
            analysis_id=analysis_id,
            profiles=[LoadModel.of(row) for row in rows],
            unread=UnreadRunModel.list_of(reread),
        )


class VerdictCountsModel(_Model):
    """Requirements by verdict, those of low confidence as unknown; the share is of those that are known."""

    total: int
    met: int
    not_met: int
    unknown: int
    met_share: float | None

    @classmethod
    def of(cls, counts: VerdictCounts) -> VerdictCountsModel:
        """Return the shape of counts."""
        return cls.model_validate(counts)


class EvidenceModel(_Model):
    """One reason for a verdict."""

    source: Literal["static", "dynamic", "judge"]
    verdict: Verdict
    confidence: Confidence
    text: str
    path: str | None
    start_line: int | None
    end_line: int | None
    quote: str
    exchange: str

    @classmethod
    def of(cls, evidence: Evidence) -> EvidenceModel:
        """Return the shape of a piece of evidence."""
        location = evidence.location
        return cls(
            source=evidence.source,
            verdict=evidence.verdict,
            confidence=evidence.confidence,
            text=evidence.text,
            path=None if location is None else location.path,
            start_line=None if location is None else location.start_line,
            end_line=None if location is None else location.end_line,
            quote=evidence.quote,
            exchange=evidence.exchange,
        )


class RequirementModel(_Model):
    """One requirement as one tool judged it."""

    tool: str
    requirement_id: str
    category: str
    text: str
    verdict: Verdict
    confidence: Confidence
    counted_verdict: Verdict = Field(description="What it counts as: unknown when the confidence is low.")
    evidence: list[EvidenceModel]
    unscored_reason: str

    @classmethod
    def of(cls, row: RequirementRow) -> RequirementModel:
        """Return the shape of a row."""
        judged = row.judged
        return cls(
            tool=row.tool,
            requirement_id=judged.requirement_id,
            category=judged.category,
            text=judged.text,
            verdict=judged.verdict,
            confidence=judged.confidence,
            counted_verdict=row.counted_verdict,
            evidence=[EvidenceModel.of(one) for one in judged.evidence],
            unscored_reason=judged.unscored_reason,
        )


class RequirementsModel(_Model):
    """Whether the app of an analysis does what it was asked to do."""

    analysis_id: UUID
    template: str | None
    counts: VerdictCountsModel
    requirements: list[RequirementModel]
    unread: list[UnreadRunModel] = Field(
        description="Tools of the AI service that came to no readable result."
    )

    @classmethod
    def build(
        cls,
        analysis_id: UUID,
        template: str | None,
        rows: Sequence[RequirementRow],
        reread: Sequence[RereadRun],
    ) -> RequirementsModel:
        """Return the shape of all rows."""
        return cls(
            analysis_id=analysis_id,
            template=template,
            counts=VerdictCountsModel.of(count_verdicts(rows)),
            requirements=[RequirementModel.of(row) for row in rows],
            unread=UnreadRunModel.list_of(reread),
        )


class AlertModel(_Model):
    """One rule of a scanner with everywhere it matched."""

    tool: str
    rule_id: str
    name: str
    description: str = Field(
        description="What the tool says about the rule, where that is more than its name."
    )
    severity: Severity
    cwe_ids: list[int]
    solution: str
    help_url: str | None
    occurrences: list[OccurrenceModel]

    @classmethod
    def of(cls, alert: Alert) -> AlertModel:
        """Return the shape of an alert."""
        return cls(
            tool=alert.tool,
            rule_id=alert.rule_id,
            name=alert.name,
            description=alert.description,
            severity=alert.severity,
            cwe_ids=list(alert.rule.cwe_ids if alert.rule else alert.occurrences[0].cwe_ids),
            solution=alert.solution,
            help_url=alert.rule.help_url if alert.rule else None,
            occurrences=[OccurrenceModel.of(one) for one in alert.occurrences],
        )


class AlertsModel(_Model):
    """What scanners of the running app report, by rule."""

    analysis_id: UUID
    alerts: list[AlertModel]
    occurrences_count: int = Field(description="Places in all; the worst 1,000 are in the alerts.")

    @classmethod
    def build(cls, analysis_id: UUID, found: AlertList) -> AlertsModel:
        """Return the shape of the alerts of an analysis."""
        return cls(
            analysis_id=analysis_id,
            alerts=[AlertModel.of(one) for one in found.alerts],
            occurrences_count=found.occurrences_count,
        )


class SourceModel(_Model):
    """A part of a file as it was analysed, or the files whose text is kept."""

    analysis_id: UUID
    path: str | None
    first_line: int | None
    lines: list[str]
    paths: list[str] = Field(description="Files whose text is kept: those that findings stand in.")


class ServiceModel(_Model):
    """Where a service stands."""

    service: Service
    state: BreakerState = Field(description="closed: it gets work; open: none; half_open: it is being tried.")
    reason: str
    changed_at: datetime | None
    failures_count: int = Field(description="Failures of the service itself within its window.")
    is_able: bool = Field(description="Whether it could work on this machine now.")
    trouble: str = Field(description="Why it could not.")
    tools: list[str]

    @classmethod
    def of(cls, status: ServiceStatus) -> ServiceModel:
        """Return the shape of a service."""
        breaker = status.breaker
        return cls(
            service=breaker.service,
            state=breaker.state,
            reason=breaker.reason,
            changed_at=breaker.changed_at,
            failures_count=breaker.failures_count,
            is_able=not status.trouble,
            trouble=status.trouble,
            tools=list(status.tools),
        )


def _address(address: Address) -> AddressModel:
    return AddressModel.model_validate(address)
