"""Datasets, configurations, metrics, charts and annotation queues; and kinds of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_experiments"
down_revision = "0011_traces"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "annotation_queues",
        sa.Column("annotation_queue_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("filters_json", postgresql.JSONB(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "length(description) <= 1000", name=op.f("ck_annotation_queues__description_length")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_annotation_queues__name_length")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_annotation_queues__project_id")
        ),
        sa.PrimaryKeyConstraint("annotation_queue_id", name=op.f("pk_annotation_queues")),
    )
    op.create_index(
        "ix_annotation_queues__project_id_created_at", "annotation_queues", ["project_id", "created_at"]
    )
    op.create_table(
        "charts",
        sa.Column("chart_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("func", sa.Text()),
        sa.Column("group_by", sa.Text()),
        sa.Column("bucketing", sa.Text(), nullable=False),
        sa.Column("date_range_json", postgresql.JSONB()),
        sa.Column("query_json", postgresql.JSONB()),
        sa.Column("owner_id", sa.Text()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "bucketing IN ('minute', 'hour', 'day', 'week', 'month')", name=op.f("ck_charts__bucketing_known")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_charts__name_length")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_charts__project_id")),
        sa.PrimaryKeyConstraint("chart_id", name=op.f("pk_charts")),
    )
    op.create_index("ix_charts__project_id_created_at", "charts", ["project_id", "created_at"])
    op.create_table(
        "configurations",
        sa.Column("configuration_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("parameters_json", postgresql.JSONB(), nullable=False),
        sa.Column("env_json", postgresql.JSONB(), nullable=False),
        sa.Column("tags_json", postgresql.JSONB(), nullable=False),
        sa.Column("user_properties_json", postgresql.JSONB()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("kind IN ('LLM', 'pipeline')", name=op.f("ck_configurations__kind_known")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_configurations__name_length")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_configurations__project_id")
        ),
        sa.PrimaryKeyConstraint("configuration_id", name=op.f("pk_configurations")),
    )
    op.create_index(
        "ix_configurations__project_id_created_at", "configurations", ["project_id", "created_at"]
    )
    op.create_table(
        "datapoints",
        sa.Column("datapoint_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_datapoints__project_id")
        ),
        sa.PrimaryKeyConstraint("datapoint_id", name=op.f("pk_datapoints")),
    )
    op.create_index("ix_datapoints__project_id_created_at", "datapoints", ["project_id", "created_at"])
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("datapoints_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("datapoints_count >= 0", name=op.f("ck_datasets__datapoints_count_range")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_datasets__name_length")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_datasets__version_positive")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_datasets__project_id")
        ),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_datasets")),
    )
    op.create_index("ix_datasets__project_id_created_at", "datasets", ["project_id", "created_at"])
    op.create_index("ix_datasets__project_id_name", "datasets", ["project_id", "name"])
    op.create_table(
        "function_tools",
        sa.Column("function_tool_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("parameters_json", postgresql.JSONB(), nullable=False),
        sa.Column("tool_type", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "tool_type IN ('function', 'tool')", name=op.f("ck_function_tools__tool_type_known")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_function_tools__name_length")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_function_tools__project_id")
        ),
        sa.PrimaryKeyConstraint("function_tool_id", name=op.f("pk_function_tools")),
    )
    op.create_index(
        "ix_function_tools__project_id_created_at", "function_tools", ["project_id", "created_at"]
    )
    op.create_table(
        "metrics",
        sa.Column("metric_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("sampling_percentage", sa.Double(), nullable=False),
        sa.Column("content_json", postgresql.JSONB(), nullable=False),
        sa.Column("deployed_version", sa.Integer(), nullable=False),
        sa.Column("versions_count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "kind IN ('PYTHON', 'LLM', 'HUMAN', 'COMPOSITE')", name=op.f("ck_metrics__kind_known")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_metrics__name_length")),
        sa.CheckConstraint(
            "sampling_percentage BETWEEN 0 AND 100", name=op.f("ck_metrics__sampling_percentage_range")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_metrics__project_id")),
        sa.PrimaryKeyConstraint("metric_id", name=op.f("pk_metrics")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_metrics__project_id_name")),
    )
    op.create_index("ix_metrics__project_id_created_at", "metrics", ["project_id", "created_at"])
    op.create_table(
        "named_creations",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "length(idempotency_key) BETWEEN 1 AND 255", name=op.f("ck_named_creations__key_length")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_named_creations__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "noun", "idempotency_key", name=op.f("pk_named_creations")),
    )
    op.create_table(
        "annotation_queue_events",
        sa.Column("annotation_queue_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column(
            "added_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["annotation_queue_id"],
            ["annotation_queues.annotation_queue_id"],
            name=op.f("fk_annotation_queue_events__annotation_queue_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_annotation_queue_events__project_id")
        ),
        sa.PrimaryKeyConstraint("annotation_queue_id", "event_id", name=op.f("pk_annotation_queue_events")),
    )
    op.create_table(
        "configuration_versions",
        sa.Column("configuration_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("content_json", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["configuration_id"],
            ["configurations.configuration_id"],
            name=op.f("fk_configuration_versions__configuration_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_configuration_versions__project_id")
        ),
        sa.PrimaryKeyConstraint("configuration_id", "version", name=op.f("pk_configuration_versions")),
    )
    op.create_table(
        "datapoint_revisions",
        sa.Column("datapoint_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("inputs_json", postgresql.JSONB(), nullable=False),
        sa.Column("history_json", postgresql.JSONB(), nullable=False),
        sa.Column("ground_truth_json", postgresql.JSONB()),
        sa.Column("metadata_json", postgresql.JSONB()),
        sa.Column("linked_event", sa.Text()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["datapoint_id"],
            ["datapoints.datapoint_id"],
            name=op.f("fk_datapoint_revisions__datapoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_datapoint_revisions__project_id")
        ),
        sa.PrimaryKeyConstraint("datapoint_id", "revision", name=op.f("pk_datapoint_revisions")),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("datapoints_count", sa.Integer(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_dataset_versions__version_positive")),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_dataset_versions__dataset_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_dataset_versions__project_id")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "version", name=op.f("pk_dataset_versions")),
    )
    op.create_table(
        "metric_versions",
        sa.Column("metric_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("full_sha", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("content_json", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["metric_id"],
            ["metrics.metric_id"],
            name=op.f("fk_metric_versions__metric_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_metric_versions__project_id")
        ),
        sa.PrimaryKeyConstraint("metric_id", "version", name=op.f("pk_metric_versions")),
    )
    op.create_table(
        "dataset_members",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("datapoint_id", sa.Uuid(), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("until_version", sa.Integer()),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "until_version IS NULL OR until_version > from_version",
            name=op.f("ck_dataset_members__versions_in_order"),
        ),
        sa.ForeignKeyConstraint(
            ["datapoint_id", "revision"],
            ["datapoint_revisions.datapoint_id", "datapoint_revisions.revision"],
            name="fk_dataset_members__datapoint_id_revision",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_dataset_members__dataset_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_dataset_members__project_id")
        ),
        sa.PrimaryKeyConstraint(
            "dataset_id", "datapoint_id", "from_version", name=op.f("pk_dataset_members")
        ),
    )
    op.create_index("ix_dataset_members__datapoint_id", "dataset_members", ["datapoint_id"])
    op.create_index("ix_dataset_members__dataset_id_position", "dataset_members", ["dataset_id", "position"])
    op.create_index(
        "uq_dataset_members__present",
        "dataset_members",
        ["dataset_id", "datapoint_id"],
        unique=True,
        postgresql_where=sa.text("until_version IS NULL"),
    )
    op.add_column(
        "api_keys", sa.Column("kind", sa.Text(), server_default=sa.text("'project'"), nullable=False)
    )
    op.add_column("api_keys", sa.Column("description", sa.Text()))
    op.add_column("api_keys", sa.Column("permissions_json", postgresql.JSONB()))
    op.add_column(
        "projects", sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_api_keys__kind_known"), "api_keys", "kind IN ('project', 'ingestion', 'data_plane')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM api_keys WHERE kind <> 'project'")  # code before knows no restricted keys
    op.drop_constraint(op.f("ck_api_keys__kind_known"), "api_keys", type_="check")
    op.drop_column("projects", "description")
    op.drop_column("api_keys", "permissions_json")
    op.drop_column("api_keys", "description")
    op.drop_column("api_keys", "kind")
    op.drop_table("dataset_members")
    op.drop_table("metric_versions")
    op.drop_table("dataset_versions")
    op.drop_table("datapoint_revisions")
    op.drop_table("configuration_versions")
    op.drop_table("annotation_queue_events")
    op.drop_table("named_creations")
    op.drop_table("metrics")
    op.drop_table("function_tools")
    op.drop_table("datasets")
    op.drop_table("datapoints")
    op.drop_table("configurations")
    op.drop_table("charts")
    op.drop_table("annotation_queues")
