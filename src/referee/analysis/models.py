"""The JSON shapes of analyses and findings: what the API answers and the command line prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.analysis.views import (
    Analysis,
    Facet,
    Finding,
    FindingEvent,
    ManifestEntry,
    Measured,
    Occurrence,
    SeverityCounts,
    ToolRun,
)
from referee.core.findings import Rule
from referee.core.vocabulary import (
    AnalysisState,
    Confidence,
    ExitMeaning,
    FindingState,
    Outcome,
    ParseState,
    Service,
    Severity,
    SubjectKind,
)

__all__ = [
    "AnalysisDetailModel",
    "AnalysisModel",
    "AnalysisRequestModel",
    "DismissalModel",
    "FacetModel",
    "FindingDetailModel",
    "FindingModel",
    "LinkModel",
    "MeasurementModel",
    "OccurrenceModel",
    "ToolRunModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class AnalysisRequestModel(_Model):
    """What to analyse, and how."""

    path: str = Field(
        description="Folder of the app, on the server's machine.", min_length=1, max_length=4096
    )
    tools: list[str] = Field(
        default_factory=list, max_length=100, description="Names; empty: the profile's; all: every tool."
    )
    services: list[str] = Field(
        default_factory=list, max_length=10, description="Only tools of static, dynamic, performance or ai."
    )
    profile: str = Field(default="standard", description="quick, standard or deep.")
    load: str = Field(
        default="quick", description="Preset of the load tools: quick, standard, stress or production."
    )
    template: str | None = Field(
        default=None,
        max_length=200,
        description="What the app was asked to do: slug or id of a known template.",
    )
    parameters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Tool name → parameter name → value."
    )
    model: str | None = Field(default=None, description="Slug of the model that wrote the app.")
    number: int | None = Field(default=None, description="Number of the app, together with model.")
    is_cache_allowed: bool = Field(
        default=True, description="Whether unchanged tools may be answered from the cache."
    )


class DismissalModel(_Model):
    """Why a finding does not count."""

    reason: str = Field(min_length=1, max_length=1000)


class LinkModel(_Model):
    """Whether a finding may be linked with others that report the same problem."""

    is_linked: bool


class SubjectModel(_Model):
    """What an analysis judges."""

    subject_id: UUID
    kind: SubjectKind
    name: str
    path: str
    app_id: UUID | None
    model: str | None
    number: int | None


class SeverityCountsModel(_Model):
    """Occurrences by severity; those that the code suppresses are apart and not in total."""

    total: int
    critical: int
    high: int
    medium: int
    low: int
    info: int
    suppressed: int

    @classmethod
    def of(cls, counts: SeverityCounts) -> SeverityCountsModel:
        """Return the shape of counts."""
        return cls(
            total=counts.total,
            critical=counts.critical,
            high=counts.high,
            medium=counts.medium,
            low=counts.low,
            info=counts.info,
            suppressed=counts.suppressed,
        )


class AnalysisModel(_Model):
    """One execution that judges one subject."""

    analysis_id: UUID
    subject: SubjectModel
    state: AnalysisState
    reason: str
    profile: str
    template_id: UUID | None
    template: str | None = Field(description="Slug of what the app was asked to do.")
    source_digest: str
    files_count: int
    excluded_count: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    tools_count: int = Field(description="Planned tool runs.")
    ended_count: int = Field(description="Tool runs that have an outcome.")
    complete_count: int = Field(description="Tool runs that succeeded or were not applicable.")
    findings: SeverityCountsModel
    results_path: str | None = Field(
        description="Folder of the result files, relative to the results folder."
    )

    @classmethod
    def of(cls, analysis: Analysis) -> AnalysisModel:
        """Return the shape of an analysis."""
        return cls(**_analysis_fields(analysis))


class ToolRunModel(_Model):
    """One tool inside an analysis: the four facts, coverage and what was stored."""

    tool_run_id: UUID
    tool: str
    service: Service
    status: str = Field(description="The outcome, or queued or running while there is none.")
    outcome: Outcome | None
    reason: str
    did_run: bool | None
    exit_meaning: ExitMeaning | None
    exit_code: int | None
    parse_state: ParseState | None
    findings_count: int | None = Field(description="Null when it cannot be known; 0 only when it is known.")
    suppressed_count: int | None
    version: str | None
    is_from_cache: bool
    attempts_count: int
    parameters: dict[str, Any]
    command: list[str]
    isolation: dict[str, Any] | None
    coverage: dict[str, Any] | None
    notices: list[str]
    raw: dict[str, Any]
    app_run_id: UUID | None = Field(description="Run of the app that it judged; null when it judged source.")
    app_isolation: str | None = Field(description="What kept that app in.")
    stands_in_for: str | None = Field(description="Tool whose work it does where that one cannot be had.")
    sarif_sha256: str | None
    duration_ms: int | None
    cpu_ms: int | None
    peak_memory_bytes: int | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, run: ToolRun) -> ToolRunModel:
        """Return the shape of a tool run."""
        names = cls.model_fields.keys() - {"is_from_cache", "parameters", "command", "notices", "raw"}
        return cls(
            **{name: getattr(run, name) for name in names},
            is_from_cache=run.cached_from_tool_run_id is not None,
            parameters=dict(run.parameters),
            command=list(run.command),
            notices=list(run.notices),
            raw=dict(run.raw),
        )


class AnalysisDetailModel(AnalysisModel):
    """An analysis with its completeness ledger."""

    tool_runs: list[ToolRunModel]

    @classmethod
    def build(cls, analysis: Analysis, tool_runs: Sequence[ToolRun]) -> AnalysisDetailModel:
        """Return the shape of an analysis with its tool runs."""
        return cls(**_analysis_fields(analysis), tool_runs=[ToolRunModel.of(run) for run in tool_runs])


class OccurrenceModel(_Model):
    """Where one analysis saw a finding."""

    finding_id: UUID
    fingerprint: str
    tool: str
    rule_id: str
    severity: Severity
    tool_severity: str
    confidence: Confidence | None
    message: str
    path: str | None
    start_line: int | None
    start_column: int | None
    end_line: int | None
    end_column: int | None
    address: str | None = Field(description="Place of the running app, where it was seen there.")
    code_line: str
    suppression: str | None
    help_url: str | None
    cwe_ids: list[int]
    properties: dict[str, Any] = Field(description="What else the tool said, such as request and evidence.")
    state: FindingState

    @classmethod
    def of(cls, occurrence: Occurrence) -> OccurrenceModel:
        """Return the shape of an occurrence."""
        names = cls.model_fields.keys() - {"address", "properties"}
        return cls(
            **{name: getattr(occurrence, name) for name in names},
            address=None if occurrence.address is None else str(occurrence.address),
            properties=dict(occurrence.properties),
        )


class FindingModel(_Model):
    """A finding and its life on one subject."""

    finding_id: UUID
    subject_id: UUID
    subject_name: str
    fingerprint: str
    tool: str
    rule_id: str
    severity: Severity
    confidence: Confidence | None
    message: str
    path: str | None
    start_line: int | None
    address: str | None = Field(description="Place of the running app, where it was seen there.")
    cwe_ids: list[int]
    is_suppressed: bool
    state: FindingState
    state_reason: str
    cluster_id: UUID | None
    first_analysis_id: UUID
    last_analysis_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime

    @classmethod
    def of(cls, finding: Finding) -> FindingModel:
        """Return the shape of a finding."""
        return cls.model_validate(finding)


class FindingEventModel(_Model):
    """One change in a finding's life."""

    state: FindingState
    reason: str
    actor: str
    analysis_id: UUID | None
    at: datetime


class RuleModel(_Model):
    """What a tool can find."""

    rule_id: str
    name: str
    summary: str
    default_severity: Severity
    help_url: str | None
    cwe_ids: list[int]


class FindingDetailModel(FindingModel):
    """A finding with its rule, history and neighbours."""

    rule: RuleModel | None
    events: list[FindingEventModel]
    occurrences: list[OccurrenceModel]
    linked: list[FindingModel] = Field(description="Findings of other tools that report the same problem.")

    @classmethod
    def build(
        cls,
        finding: Finding,
        *,
        rule: Rule | None,
        events: Sequence[FindingEvent],
        occurrences: Sequence[Occurrence],
        linked: Sequence[Finding],
    ) -> FindingDetailModel:
        """Return the shape of a finding's page."""
        return cls(
            **FindingModel.of(finding).model_dump(),
            rule=None if rule is None else RuleModel.model_validate(rule),
            events=[FindingEventModel.model_validate(event) for event in events],
            occurrences=[OccurrenceModel.of(occurrence) for occurrence in occurrences],
            linked=[FindingModel.of(other) for other in linked],
        )


class MeasurementModel(_Model):
    """A named number of one tool run."""

    tool: str
    name: str
    value: float
    unit: str
    better: str
    path: str | None
    start_line: int | None
    address: str | None = Field(description="Place of the running app that was measured.")

    @classmethod
    def of(cls, measured: Measured) -> MeasurementModel:
        """Return the shape of a measurement."""
        return cls.model_validate(measured)


class FacetModel(_Model):
    """A value of a field and how many rows have it."""

    field: str
    value: str
    count: int

    @classmethod
    def of(cls, facet: Facet) -> FacetModel:
        """Return the shape of a facet."""
        return cls.model_validate(facet)


class ManifestEntryModel(_Model):
    """One artifact of an analysis."""

    name: str
    sha256: str
    size_bytes: int
    media_type: str

    @classmethod
    def of(cls, entry: ManifestEntry) -> ManifestEntryModel:
        """Return the shape of a manifest entry."""
        return cls.model_validate(entry)


def _analysis_fields(analysis: Analysis) -> dict[str, Any]:
    return {
        "analysis_id": analysis.analysis_id,
        "subject": SubjectModel.model_validate(analysis.subject),
        "state": analysis.state,
        "reason": analysis.reason,
        "profile": analysis.profile,
        "template_id": analysis.template_id,
        "template": analysis.template,
        "source_digest": analysis.source_digest,
        "files_count": analysis.files_count,
        "excluded_count": analysis.excluded_count,
        "created_at": analysis.created_at,
        "started_at": analysis.started_at,
        "finished_at": analysis.finished_at,
        "duration_ms": analysis.duration_ms,
        "tools_count": analysis.tools_count,
        "ended_count": analysis.ended_count,
        "complete_count": analysis.complete_count,
        "findings": SeverityCountsModel.of(analysis.severities),
        "results_path": analysis.results_path,
    }
