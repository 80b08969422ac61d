"""Tables of the traces room.

A span and an event are one row: the columns that lists sort and filter by, and
the seven buckets as JSON. What a client sent is kept verbatim beside them, one
compressed body for each request, so that a newer mapping can be run over it.

Ids: ``span_uid`` is the row's own id. It is made of trace and span id, or of the
event id when the event came without a span, so that the same thing sent twice
meets itself. Text ids that are UUIDs are not stored a second time as text.

Spans have no foreign key to their project: looking it up for each would cost as
much as writing the row. Each has a session, whose row has one, so a project that
holds spans cannot be deleted.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from referee.core.findings import JsonValue
from referee.foundation.store import Base

__all__ = [
    "EVENT_TYPES",
    "EventUpdateRow",
    "OwnWorkExportRow",
    "OwnWorkRow",
    "ResourceRow",
    "RetentionRow",
    "SessionRow",
    "SpanBatchRow",
    "SpanHourRow",
    "SpanRow",
]

EVENT_TYPES = ("model", "tool", "chain", "session")


class SpanRow(Base):
    """One span or event."""

    __tablename__ = "spans"
    __table_args__ = (
        Index("ix_spans__project_id_start_ns", "project_id", "start_ns"),
        Index("ix_spans__project_id_session_uid", "project_id", "session_uid", "start_ns"),
        Index("ix_spans__trace_id", "trace_id", postgresql_where=text("trace_id IS NOT NULL")),
        # What lists of traces filter and count by stands in the index itself: a root in ten spans is a page each.
        Index(
            "ix_spans__roots",
            "project_id",
            "start_ns",
            "span_uid",
            postgresql_include=["trace_id", "event_type"],
            postgresql_where=text("parent_uid IS NULL AND event_type <> 'session'"),
        ),
        Index(
            "ix_spans__errors",
            "project_id",
            "start_ns",
            postgresql_include=["span_uid", "trace_id"],
            postgresql_where=text("error IS NOT NULL"),
        ),
        # Filters look for whole words without regard to case.
        Index(
            "ix_spans__user_id",
            "project_id",
            text("lower(user_id)"),
            "start_ns",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index(
            "ix_spans__model",
            "project_id",
            text("lower(model)"),
            postgresql_include=["span_uid", "trace_id"],
            postgresql_where=text("model IS NOT NULL"),
        ),
        Index("ix_spans__event_id", "project_id", "event_id", postgresql_where=text("event_id IS NOT NULL")),
        Index(
            "ix_spans__run_id",
            "project_id",
            text("(metadata_json ->> 'run_id')"),
            postgresql_where=text("event_type = 'session'"),
        ),
        CheckConstraint("event_type IN ('model', 'tool', 'chain', 'session')", name="event_type_known"),
        CheckConstraint("status BETWEEN 0 AND 2", name="status_known"),
    )

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    span_uid: Mapped[UUID] = mapped_column(primary_key=True)
    session_uid: Mapped[UUID]
    trace_id: Mapped[UUID | None]
    """The W3C trace id, which has as many bits as a UUID."""
    parent_uid: Mapped[UUID | None]
    start_ns: Mapped[int] = mapped_column(BigInteger)
    """Nanoseconds since 1970, as the client's clock had them."""
    end_ns: Mapped[int | None] = mapped_column(BigInteger)
    total_tokens: Mapped[int | None] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost_usd: Mapped[float | None] = mapped_column(Double)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    batch_id: Mapped[UUID | None]
    """The request it came with; null for an event of the API, whose columns are all there is."""
    resource_id: Mapped[UUID | None]
    batch_position: Mapped[int | None]
    """Which span of that request, from 0."""
    status: Mapped[int] = mapped_column(SmallInteger)
    """OpenTelemetry's: 0 unset, 1 ok, 2 error."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    """OpenTelemetry's, 0 to 5."""
    mapping_version: Mapped[int] = mapped_column(SmallInteger)
    is_counted: Mapped[bool]
    """Whether its tokens and cost count in sums: those of a span below it do not count twice."""
    span_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    parent_span_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    event_type: Mapped[str]
    event_name: Mapped[str]
    source: Mapped[str]
    event_id: Mapped[str | None]
    """Null when it is the text of span_uid."""
    parent_event_id: Mapped[str | None]
    """The parent's id as it was given; null when it is the text of parent_uid or follows from the span."""
    error: Mapped[str | None]
    model: Mapped[str | None]
    provider: Mapped[str | None]
    user_id: Mapped[str | None]
    inputs_json: Mapped[dict[str, JsonValue]]
    outputs_json: Mapped[dict[str, JsonValue]]
    config_json: Mapped[dict[str, JsonValue]]
    metadata_json: Mapped[dict[str, JsonValue]]
    metrics_json: Mapped[dict[str, JsonValue]]
    feedback_json: Mapped[dict[str, JsonValue]]
    user_properties_json: Mapped[dict[str, JsonValue]]
    span_events_json: Mapped[list[JsonValue] | None]
    links_json: Mapped[list[JsonValue] | None]
    children_ids_json: Mapped[list[str] | None]
    """Children that the client named."""


class SessionRow(Base):
    """A session with what its spans add up to. There is one as soon as any span names it."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions__project_id_start_ns", "project_id", "start_ns", "session_uid"),
        Index("ix_sessions__project_id_last_seen_at", "project_id", "last_seen_at"),
        Index(
            "ix_sessions__user_id",
            "project_id",
            text("lower(user_id)"),
            "start_ns",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    session_uid: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[str | None]
    """Null when it is the text of session_uid."""
    name: Mapped[str] = mapped_column(server_default=text("''"))
    source: Mapped[str] = mapped_column(server_default=text("''"))
    user_id: Mapped[str | None]
    start_ns: Mapped[int | None] = mapped_column(BigInteger)
    end_ns: Mapped[int | None] = mapped_column(BigInteger)
    events_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Without the session's own event."""
    model_events_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    errors_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    feedback_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Events that carry feedback."""
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    completion_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    total_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cost_usd: Mapped[float] = mapped_column(Double, server_default=text("0"))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SpanHourRow(Base):
    """What the spans of one hour, type, name and model add up to."""

    __tablename__ = "span_hours"

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Hours since 1970 of the span's start."""
    event_type: Mapped[str] = mapped_column(primary_key=True)
    event_name: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    """Empty for spans without one."""
    spans_count: Mapped[int] = mapped_column(BigInteger)
    traces_count: Mapped[int] = mapped_column(BigInteger)
    """Spans that are the root of a trace."""
    errors_count: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    total_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_usd: Mapped[float] = mapped_column(Double)
    duration_ns: Mapped[int] = mapped_column(BigInteger)
    """Sum."""
    durations_json: Mapped[dict[str, JsonValue]]
    """Count by logarithmic bucket of the duration (``sketches``)."""


class SpanBatchRow(Base):
    """The body of one request, as it came."""

    __tablename__ = "span_batches"
    __table_args__ = (Index("ix_span_batches__project_id_received_at", "project_id", "received_at"),)

    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    schema: Mapped[str]
    """``otlp.traces.protobuf`` or ``otlp.traces.json``."""
    schema_version: Mapped[int]
    spans_count: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """Before compression."""
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """Zstandard."""


class ResourceRow(Base):
    """What spans of one process and one instrumentation have in common."""

    __tablename__ = "span_resources"

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    resource_id: Mapped[UUID] = mapped_column(primary_key=True)
    """Made of its content."""
    resource_json: Mapped[dict[str, JsonValue]]
    """attributes, schema_url, dropped_attributes_count."""
    scope_json: Mapped[dict[str, JsonValue]]
    """name, version, attributes, schema_url, dropped_attributes_count."""


class EventUpdateRow(Base):
    """A change to an event that has not arrived yet; applied in the transaction that stores it."""

    __tablename__ = "event_updates"
    __table_args__ = (Index("ix_event_updates__project_id_span_uid", "project_id", "span_uid"),)

    update_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    span_uid: Mapped[UUID]
    event_id: Mapped[str]
    changes_json: Mapped[dict[str, JsonValue]]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RetentionRow(Base):
    """How long a project keeps its sessions. Without a row: for ever."""

    __tablename__ = "trace_retentions"
    __table_args__ = (CheckConstraint("keep_days BETWEEN 1 AND 36500", name="keep_days_range"),)

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("projects.project_id", ondelete="CASCADE"), primary_key=True
    )
    keep_days: Mapped[int | None]
    """After the last span of a session; null: for ever."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OwnWorkRow(Base):
    """Up to where Referee's own work of one kind has been kept as traces."""

    __tablename__ = "own_work_places"

    kind: Mapped[str] = mapped_column(primary_key=True)
    """Such as ``analysis``."""
    finished_at: Mapped[datetime]
    """The latest end that was seen."""


class OwnWorkExportRow(Base):
    """Up to where Referee's own work of one kind has been sent to another collector."""

    __tablename__ = "own_work_exports"

    kind: Mapped[str] = mapped_column(primary_key=True)
    """Such as ``analysis``."""
    finished_at: Mapped[datetime]
    """The latest end that was sent."""
    sent_json: Mapped[dict[str, JsonValue]]
    """Id → end of what was sent of the last minutes, which are looked at again."""
