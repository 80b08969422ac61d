"""Spans, sessions, what they add up to, and the requests they came in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_traces"
down_revision = "0010_presets_and_placeholders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spans",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("span_uid", sa.Uuid(), nullable=False),
        sa.Column("session_uid", sa.Uuid(), nullable=False),
        sa.Column("trace_id", sa.Uuid(), nullable=True),
        sa.Column("parent_uid", sa.Uuid(), nullable=True),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("total_tokens", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("batch_position", sa.Integer(), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("mapping_version", sa.SmallInteger(), nullable=False),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.Column("span_id", sa.LargeBinary(), nullable=True),
        sa.Column("parent_span_id", sa.LargeBinary(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("parent_event_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("inputs_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("outputs_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("config_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("feedback_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("user_properties_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("span_events_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("links_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("children_ids_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "event_type IN ('model', 'tool', 'chain', 'session')", name=op.f("ck_spans__event_type_known")
        ),
        sa.CheckConstraint("status BETWEEN 0 AND 2", name=op.f("ck_spans__status_known")),
        sa.PrimaryKeyConstraint("project_id", "span_uid", name=op.f("pk_spans")),
    )
    op.create_index(
        "ix_spans__errors",
        "spans",
        ["project_id", "start_ns"],
        unique=False,
        postgresql_where=sa.text("error IS NOT NULL"),
    )
    op.create_index(
        "ix_spans__event_id",
        "spans",
        ["project_id", "event_id"],
        unique=False,
        postgresql_where=sa.text("event_id IS NOT NULL"),
    )
    op.create_index(
        "ix_spans__project_id_session_uid", "spans", ["project_id", "session_uid", "start_ns"], unique=False
    )
    op.create_index("ix_spans__project_id_start_ns", "spans", ["project_id", "start_ns"], unique=False)
    op.create_index(
        "ix_spans__roots",
        "spans",
        ["project_id", "start_ns"],
        unique=False,
        postgresql_where=sa.text("parent_uid IS NULL AND event_type <> 'session'"),
    )
    op.create_index(
        "ix_spans__run_id",
        "spans",
        ["project_id", sa.literal_column("(metadata_json ->> 'run_id')")],
        unique=False,
        postgresql_where=sa.text("event_type = 'session'"),
    )
    op.create_index(
        "ix_spans__trace_id",
        "spans",
        ["trace_id"],
        unique=False,
        postgresql_where=sa.text("trace_id IS NOT NULL"),
    )
    op.create_index(
        "ix_spans__user_id",
        "spans",
        ["project_id", "user_id", "start_ns"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "sessions",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("session_uid", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("source", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("start_ns", sa.BigInteger(), nullable=True),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("events_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("model_events_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("errors_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("feedback_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_sessions__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "session_uid", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions__project_id_start_ns", "sessions", ["project_id", "start_ns"], unique=False)
    op.create_index(
        "ix_sessions__user_id",
        "sessions",
        ["project_id", "user_id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "span_hours",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("spans_count", sa.BigInteger(), nullable=False),
        sa.Column("traces_count", sa.BigInteger(), nullable=False),
        sa.Column("errors_count", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("durations_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "hour", "event_type", "event_name", "model", name=op.f("pk_span_hours")
        ),
    )
    op.create_table(
        "span_batches",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("spans_count", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_span_batches__project_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_span_batches")),
    )
    op.create_index(
        "ix_span_batches__project_id_received_at", "span_batches", ["project_id", "received_at"], unique=False
    )
    op.create_table(
        "span_resources",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("resource_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("scope_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource_id", name=op.f("pk_span_resources")),
    )
    op.create_table(
        "event_updates",
        sa.Column("update_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("span_uid", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("changes_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_event_updates__project_id")
        ),
        sa.PrimaryKeyConstraint("update_id", name=op.f("pk_event_updates")),
    )
    op.create_index(
        "ix_event_updates__project_id_span_uid", "event_updates", ["project_id", "span_uid"], unique=False
    )
    op.execute("ALTER TABLE span_batches ALTER COLUMN body SET STORAGE EXTERNAL")  # it is compressed already


def downgrade() -> None:
    op.drop_table("event_updates")
    op.drop_table("span_resources")
    op.drop_table("span_batches")
    op.drop_table("span_hours")
    op.drop_table("sessions")
    op.drop_table("spans")
