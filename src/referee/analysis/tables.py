"""Tables of the analysis room.

``tool_runs`` rows are made when an analysis is accepted, one for each
requested tool, so that planned × run × valid is one query: a row without an
outcome is a hole. ``findings`` live as long as their subject; ``occurrences``
say where one analysis saw them.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
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
from referee.foundation.store import Base

__all__ = [
    "AnalysisRow",
    "ClusterRow",
    "FindingEventRow",
    "FindingRow",
    "ManifestEntryRow",
    "ManifestRow",
    "MeasurementRow",
    "OccurrenceRow",
    "RuleRow",
    "ServiceBreakerRow",
    "ServiceFailureRow",
    "SubjectRow",
    "ToolRunAttemptRow",
    "ToolRunRow",
]


def _words(column: str, words: type[object], *, nullable: bool = False) -> CheckConstraint:
    """Return a check that ``column`` holds one of an enum's values."""
    values = ", ".join(f"'{word}'" for word in words)  # type: ignore[attr-defined]  # an enum class iterates
    condition = f"{column} IN ({values})"
    return CheckConstraint(
        f"{column} IS NULL OR {condition}" if nullable else condition, name=f"{column}_known"
    )


class SubjectRow(Base):
    """What analyses judge."""

    __tablename__ = "subjects"
    __table_args__ = (
        _words("kind", SubjectKind),
        Index("uq_subjects__app_id", "app_id", unique=True, postgresql_where=text("app_id IS NOT NULL")),
        Index(
            "uq_subjects__project_id_kind_path",
            "project_id",
            "kind",
            "path",
            unique=True,
            postgresql_where=text("app_id IS NULL"),
        ),
    )

    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    kind: Mapped[str]
    app_id: Mapped[UUID | None] = mapped_column(ForeignKey("apps.app_id"))
    name: Mapped[str]
    path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AnalysisRow(Base):
    """One execution that judges one subject with a requested set of tools."""

    __tablename__ = "analyses"
    __table_args__ = (
        _words("state", AnalysisState),
        UniqueConstraint("project_id", "idempotency_key"),
        UniqueConstraint("sequence"),
        Index("ix_analyses__project_id_sequence", "project_id", "sequence"),
        Index("ix_analyses__subject_id_sequence", "subject_id", "sequence"),
        Index("ix_analyses__state", "state", postgresql_where=text("state IN ('queued', 'running')")),
        Index(
            "ix_analyses__project_id_finished_at",
            "project_id",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index("ix_analyses__project_id_created_at", "project_id", "created_at"),
    )

    analysis_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of acceptance: clocks may jump, this does not."""
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.subject_id"))
    job_id: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(default=AnalysisState.queued.value)
    reason: Mapped[str] = mapped_column(default="")
    """One sentence: why it is in its state."""
    profile: Mapped[str]
    parameters_json: Mapped[dict[str, JsonValue]]
    """What the caller set, by tool."""
    is_cache_allowed: Mapped[bool]
    source_digest: Mapped[str]
    listing_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    files_count: Mapped[int]
    excluded_count: Mapped[int]
    code_lines_count: Mapped[int | None] = mapped_column(BigInteger)
    """Lines of code that are not blank; null where nobody counted them."""
    template_id: Mapped[UUID | None] = mapped_column(ForeignKey("templates.template_id"))
    """What the app was asked to do, in the version that this analysis judges by."""
    traceparent: Mapped[str | None]
    """W3C trace context that everything done for it belongs to."""
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str]
    results_path: Mapped[str | None]
    """Folder of the result files, relative to the results folder."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ToolRunRow(Base):
    """One tool inside an analysis: what was planned, and what became of it."""

    __tablename__ = "tool_runs"
    __table_args__ = (
        UniqueConstraint("analysis_id", "tool"),
        _words("service", Service),
        _words("outcome", Outcome, nullable=True),
        _words("exit_meaning", ExitMeaning, nullable=True),
        _words("parse_state", ParseState, nullable=True),
        CheckConstraint(
            "outcome IS NULL OR (did_run IS NOT NULL AND exit_meaning IS NOT NULL"
            " AND parse_state IS NOT NULL AND finished_at IS NOT NULL)",
            name="facts_complete",
        ),
        CheckConstraint("outcome <> 'succeeded' OR findings_count IS NOT NULL", name="success_counted"),
        Index(
            "ix_tool_runs__cache_key",
            "cache_key",
            postgresql_where=text("outcome = 'succeeded' AND cached_from_tool_run_id IS NULL"),
        ),
    )

    tool_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    position: Mapped[int]
    """Order of start, longest first. From 0."""
    tool: Mapped[str]
    service: Mapped[str]
    parameters_json: Mapped[dict[str, JsonValue]]
    parameters_digest: Mapped[str]
    attempts_count: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str | None]
    reason: Mapped[str] = mapped_column(default="")
    did_run: Mapped[bool | None]
    exit_meaning: Mapped[str | None]
    exit_code: Mapped[int | None]
    parse_state: Mapped[str | None]
    findings_count: Mapped[int | None]
    """Occurrences that the code does not suppress. Null when it cannot be known."""
    suppressed_count: Mapped[int | None]
    version: Mapped[str | None]
    adapter_version: Mapped[int | None]
    cache_key: Mapped[str | None]
    cached_from_tool_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("tool_runs.tool_run_id"))
    command_json: Mapped[list[JsonValue] | None]
    isolation_json: Mapped[dict[str, JsonValue] | None]
    coverage_json: Mapped[dict[str, JsonValue] | None]
    notices_json: Mapped[list[JsonValue] | None]
    raw_json: Mapped[dict[str, JsonValue] | None]
    """Stream name → {sha256, total_bytes, is_truncated}: the verbatim output, parsable again."""
    plan_json: Mapped[dict[str, JsonValue] | None]
    app_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("app_runs.app_run_id"))
    """The run of the app that it judged."""
    sarif_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    findings_digest: Mapped[str | None]
    """SHA-256 over the canonical form of its occurrences; `referee verify` computes it again."""
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    cpu_ms: Mapped[int | None] = mapped_column(BigInteger)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ToolRunAttemptRow(Base):
    """One try at a tool run; tries that a crash or a take-over ended stay on record."""

    __tablename__ = "tool_run_attempts"

    tool_run_id: Mapped[UUID] = mapped_column(ForeignKey("tool_runs.tool_run_id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    executor_id: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    is_accepted: Mapped[bool] = mapped_column(default=False)


class RuleRow(Base):
    """What a tool can find, as last described by the tool."""

    __tablename__ = "rules"
    __table_args__ = (_words("default_severity", Severity),)

    tool: Mapped[str] = mapped_column(primary_key=True)
    rule_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    summary: Mapped[str]
    default_severity: Mapped[str]
    help_url: Mapped[str | None]
    cwe_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))


class ClusterRow(Base):
    """The same problem as several tools report it."""

    __tablename__ = "clusters"
    __table_args__ = (UniqueConstraint("subject_id", "cluster_key"),)

    cluster_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.subject_id"))
    cluster_key: Mapped[str]


class FindingRow(Base):
    """A finding and its life on one subject."""

    __tablename__ = "findings"
    __table_args__ = (
        UniqueConstraint("subject_id", "fingerprint"),
        _words("state", FindingState),
        _words("severity", Severity),
        _words("confidence", Confidence, nullable=True),
        CheckConstraint("state <> 'dismissed' OR state_reason <> ''", name="dismissal_explained"),
        Index(
            "ix_findings__project_id_severity_rank", "project_id", text("severity_rank DESC"), "finding_id"
        ),
        Index("ix_findings__project_id_state_is_suppressed", "project_id", "state", "is_suppressed"),
        Index("ix_findings__cluster_id", "cluster_id", postgresql_where=text("cluster_id IS NOT NULL")),
    )

    finding_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.subject_id"))
    fingerprint: Mapped[str]
    tool: Mapped[str]
    rule_id: Mapped[str]
    severity: Mapped[str]
    severity_rank: Mapped[int]
    confidence: Mapped[str | None]
    message: Mapped[str]
    path: Mapped[str | None]
    start_line: Mapped[int | None]
    address: Mapped[str | None]
    """Place of the running app, such as ``backend GET /api/tasks (q)``."""
    cwe_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    is_suppressed: Mapped[bool]
    """Whether the code asks not to be told; kept and shown, not counted as open."""
    state: Mapped[str]
    state_reason: Mapped[str] = mapped_column(default="")
    cluster_id: Mapped[UUID | None] = mapped_column(ForeignKey("clusters.cluster_id"))
    is_link_refused: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """A person took it out of its cluster; no later analysis puts it back."""
    parameters_digest: Mapped[str]
    """Of the tool run that saw it last: only a run with the same parameters can say that it is gone."""
    first_analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    last_analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class FindingEventRow(Base):
    """One change in a finding's life."""

    __tablename__ = "finding_events"
    __table_args__ = (Index("ix_finding_events__finding_id", "finding_id", "sequence"),)

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    finding_id: Mapped[UUID] = mapped_column(ForeignKey("findings.finding_id"))
    state: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    """Who: ``analysis`` or the name of the key or of the local user."""
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("analyses.analysis_id"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class OccurrenceRow(Base):
    """Where one tool run saw a finding."""

    __tablename__ = "occurrences"
    __table_args__ = (
        Index(
            "ix_occurrences__analysis_id_rank",
            "analysis_id",
            text("severity_rank DESC"),
            "tool_run_id",
            "ordinal",
        ),
        Index("ix_occurrences__finding_id", "finding_id"),
    )

    tool_run_id: Mapped[UUID] = mapped_column(ForeignKey("tool_runs.tool_run_id"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    """Position in the tool's report, from 0."""
    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    finding_id: Mapped[UUID] = mapped_column(ForeignKey("findings.finding_id"))
    rule_id: Mapped[str]
    severity: Mapped[str]
    severity_rank: Mapped[int]
    tool_severity: Mapped[str]
    confidence: Mapped[str | None]
    message: Mapped[str]
    path: Mapped[str | None]
    start_line: Mapped[int | None]
    start_column: Mapped[int | None]
    end_line: Mapped[int | None]
    end_column: Mapped[int | None]
    address_json: Mapped[dict[str, JsonValue] | None]
    code_line: Mapped[str]
    source_sha256: Mapped[str | None]
    """Artifact of the file it stands in."""
    suppression: Mapped[str | None]
    help_url: Mapped[str | None]
    identity_json: Mapped[list[JsonValue]]
    related_json: Mapped[list[JsonValue]]
    properties_json: Mapped[dict[str, JsonValue]]
    cwe_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))


class MeasurementRow(Base):
    """A named number of one tool run."""

    __tablename__ = "measurements"

    tool_run_id: Mapped[UUID] = mapped_column(ForeignKey("tool_runs.tool_run_id"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"))
    name: Mapped[str]
    value: Mapped[float]
    unit: Mapped[str]
    better: Mapped[str]
    path: Mapped[str | None]
    start_line: Mapped[int | None]
    address: Mapped[str | None]


class ServiceFailureRow(Base):
    """One failure of a service itself, not of the app it judged: what its breaker counts."""

    __tablename__ = "service_failures"
    __table_args__ = (_words("service", Service), Index("ix_service_failures__service_at", "service", "at"))

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    service: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ServiceBreakerRow(Base):
    """Where the breaker of a service stands. No row: closed."""

    __tablename__ = "service_breakers"
    __table_args__ = (
        _words("service", Service),
        CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state_known"),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    reason: Mapped[str]
    changed_at: Mapped[datetime]
    probing_until: Mapped[datetime | None]
    """While half open: until then one analysis tries the service out, and others are still refused."""


class ManifestRow(Base):
    """The list of an analysis' artifacts with digests and outcomes, verified before it counts."""

    __tablename__ = "manifests"

    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.analysis_id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    """Artifact that holds the manifest itself."""
    entries_count: Mapped[int]
    verified_at: Mapped[datetime]


class ManifestEntryRow(Base):
    """One artifact of an analysis."""

    __tablename__ = "manifest_entries"
    __table_args__ = (Index("ix_manifest_entries__sha256", "sha256"),)

    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("manifests.analysis_id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """Path-like name, such as ``raw/bandit/stdout`` or ``files/sarif/static_bandit.sarif.json``."""
    sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
