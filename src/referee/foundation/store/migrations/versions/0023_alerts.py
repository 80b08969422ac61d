"""Alert rules, their log, notifications, channels, deliveries, and samples of Referee's own metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023_alerts"
down_revision = "0022_kept_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric_samples",
        sa.Column("sample_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("weight", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("sample_id", name=op.f("pk_metric_samples")),
    )
    op.create_index("ix_metric_samples__at", "metric_samples", ["at"], unique=False)
    op.create_index("ix_metric_samples__name_at", "metric_samples", ["name", "at"], unique=False)
    op.create_table(
        "alert_channels",
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("address_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("failures_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("busy_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('email', 'slack', 'webhook')", name=op.f("ck_alert_channels__kind_known")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=op.f("ck_alert_channels__name_length")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_channels__project_id")
        ),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_alert_channels")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_alert_channels__project_id_name")),
    )
    op.create_table(
        "alert_defaults",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("default_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_defaults__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "default_key", name=op.f("pk_alert_defaults")),
    )
    op.create_table(
        "alert_notifications",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("rule_name", sa.Text(), nullable=False),
        sa.Column("transition", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content_json", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('triggered', 'resolved', 'test', 'notice')",
            name=op.f("ck_alert_notifications__state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_notifications__project_id")
        ),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_alert_notifications")),
        sa.UniqueConstraint(
            "project_id",
            "rule_id",
            "transition",
            name=op.f("uq_alert_notifications__project_id_rule_id_transition"),
        ),
    )
    op.create_index(
        "ix_alert_notifications__project_id_created_at",
        "alert_notifications",
        ["project_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "alert_rules",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("aggregation", sa.Text(), nullable=False),
        sa.Column("window_s", sa.Integer(), nullable=False),
        sa.Column("every_s", sa.Integer(), nullable=False),
        sa.Column("comparison", sa.Text(), nullable=False),
        sa.Column("critical_threshold", sa.Double(), nullable=False),
        sa.Column("resolved_threshold", sa.Double(), nullable=False),
        sa.Column("minimum_count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("hold_s", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("channels_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("condition", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("told_condition", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("muted_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bad_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("good_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("transitions_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_value", sa.Double(), nullable=True),
        sa.Column("last_count", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("default_key", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "aggregation IN ('average', 'count', 'sum', 'min', 'max', 'median', 'p90', 'p95', 'p99')",
            name=op.f("ck_alert_rules__aggregation_known"),
        ),
        sa.CheckConstraint(
            "comparison IN ('above', 'at_least', 'below', 'at_most')",
            name=op.f("ck_alert_rules__comparison_known"),
        ),
        sa.CheckConstraint(
            "condition IN ('active', 'triggered', 'resolved')", name=op.f("ck_alert_rules__condition_known")
        ),
        sa.CheckConstraint(
            "kind IN ('aggregate', 'drift', 'per_event')", name=op.f("ck_alert_rules__kind_known")
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'warning', 'info')", name=op.f("ck_alert_rules__severity_known")
        ),
        sa.CheckConstraint(
            "told_condition IN ('active', 'triggered', 'resolved')",
            name=op.f("ck_alert_rules__told_condition_known"),
        ),
        sa.CheckConstraint("every_s BETWEEN 60 AND 2678400", name=op.f("ck_alert_rules__every_s_range")),
        sa.CheckConstraint("hold_s BETWEEN 0 AND 604800", name=op.f("ck_alert_rules__hold_s_range")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 120", name=op.f("ck_alert_rules__name_length")),
        sa.CheckConstraint("minimum_count >= 0", name=op.f("ck_alert_rules__minimum_count_range")),
        sa.CheckConstraint("window_s BETWEEN 60 AND 31622400", name=op.f("ck_alert_rules__window_s_range")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_rules__project_id")
        ),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_alert_rules")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_alert_rules__project_id_name")),
    )
    op.create_index(
        "ix_alert_rules__next_at",
        "alert_rules",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("NOT is_paused"),
    )
    op.create_index(
        "ix_alert_rules__project_id_sequence", "alert_rules", ["project_id", "sequence"], unique=False
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("attempts_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "next_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'delivered', 'dead')", name=op.f("ck_alert_deliveries__state_known")
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["alert_channels.channel_id"],
            name=op.f("fk_alert_deliveries__channel_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["alert_notifications.notification_id"],
            name=op.f("fk_alert_deliveries__notification_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_deliveries__project_id")
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_alert_deliveries")),
        sa.UniqueConstraint(
            "project_id",
            "notification_id",
            "channel_id",
            name=op.f("uq_alert_deliveries__project_id_notification_id_channel_id"),
        ),
    )
    op.create_index(
        "ix_alert_deliveries__due",
        "alert_deliveries",
        ["channel_id", "next_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_alert_deliveries__project_id_sequence",
        "alert_deliveries",
        ["project_id", "sequence"],
        unique=False,
    )
    op.create_table(
        "alert_evaluations",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("baseline_value", sa.Double(), nullable=True),
        sa.Column("values_count", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "outcome IN ('bad', 'between', 'good', 'too_few', 'nothing', 'failed')",
            name=op.f("ck_alert_evaluations__outcome_known"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_alert_evaluations__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["alert_rules.rule_id"],
            name=op.f("fk_alert_evaluations__rule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rule_id", "to_at", name=op.f("pk_alert_evaluations")),
    )
    op.create_index(
        "ix_alert_evaluations__project_id_to_at", "alert_evaluations", ["project_id", "to_at"], unique=False
    )


def downgrade() -> None:
    op.drop_table("alert_evaluations")
    op.drop_table("alert_deliveries")
    op.drop_table("alert_rules")
    op.drop_table("alert_notifications")
    op.drop_table("alert_defaults")
    op.drop_table("alert_channels")
    op.drop_table("metric_samples")
