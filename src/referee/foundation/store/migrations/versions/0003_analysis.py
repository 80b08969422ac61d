"""Apps, subjects, analyses with their tool runs, findings and manifests, and the rules the database itself keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003_analysis"
down_revision = "0002_jobs"
branch_labels = None
depends_on = None

CREATE_STATE_GUARD = """
CREATE FUNCTION referee_guard_analysis_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'queued' THEN
            RAISE EXCEPTION 'analysis % must begin as queued, not %', NEW.analysis_id, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF OLD.state NOT IN ('queued', 'running') OR NEW.state = 'queued' THEN
        RAISE EXCEPTION 'analysis % cannot go from % to %', NEW.analysis_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'running' THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT 1 FROM tool_runs WHERE analysis_id = NEW.analysis_id AND outcome IS NULL) THEN
        RAISE EXCEPTION 'analysis % cannot become % while a tool run has no outcome', NEW.analysis_id, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state IN ('completed', 'partially_completed') AND NOT EXISTS (
        SELECT 1 FROM manifests
         WHERE analysis_id = NEW.analysis_id
           AND entries_count = (SELECT count(*) FROM manifest_entries WHERE analysis_id = NEW.analysis_id)
           AND entries_count > 0
    ) THEN
        RAISE EXCEPTION 'analysis % cannot become % without its verified manifest', NEW.analysis_id, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'completed' AND (
        NOT EXISTS (SELECT 1 FROM tool_runs WHERE analysis_id = NEW.analysis_id)
        OR EXISTS (
            SELECT 1 FROM tool_runs
             WHERE analysis_id = NEW.analysis_id AND outcome NOT IN ('succeeded', 'not_applicable')
        )
    ) THEN
        RAISE EXCEPTION 'analysis % cannot become completed: a requested tool has no result', NEW.analysis_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

CREATE_OUTCOME_GUARD = """
CREATE FUNCTION referee_guard_tool_run_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome IS NOT NULL AND NEW.outcome IS DISTINCT FROM OLD.outcome THEN
        RAISE EXCEPTION 'tool run % already has the outcome %', OLD.tool_run_id, OLD.outcome
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("default_severity", sa.Text(), nullable=False),
        sa.Column("help_url", sa.Text(), nullable=True),
        sa.Column("cwe_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint(
            "default_severity IN ('critical', 'high', 'medium', 'low', 'info')",
            name=op.f("ck_rules__default_severity_known"),
        ),
        sa.PrimaryKeyConstraint("tool", "rule_id", name=op.f("pk_rules")),
    )
    op.create_table(
        "apps",
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_apps__number_positive")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_apps__project_id")),
        sa.PrimaryKeyConstraint("app_id", name=op.f("pk_apps")),
        sa.UniqueConstraint("project_id", "model", "number", name=op.f("uq_apps__project_id_model_number")),
    )
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('app', 'folder', 'url', 'video')", name=op.f("ck_subjects__kind_known")),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name=op.f("fk_subjects__app_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_subjects__project_id")
        ),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subjects")),
    )
    op.create_index(
        "uq_subjects__app_id",
        "subjects",
        ["app_id"],
        unique=True,
        postgresql_where=sa.text("app_id IS NOT NULL"),
    )
    op.create_index(
        "uq_subjects__project_id_kind_path",
        "subjects",
        ["project_id", "kind", "path"],
        unique=True,
        postgresql_where=sa.text("app_id IS NULL"),
    )
    op.create_table(
        "analyses",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("parameters_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_cache_allowed", sa.Boolean(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.Column("listing_sha256", sa.Text(), nullable=False),
        sa.Column("files_count", sa.Integer(), nullable=False),
        sa.Column("excluded_count", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("results_path", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'partially_completed', 'failed', 'cancelled')",
            name=op.f("ck_analyses__state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["listing_sha256"], ["artifacts.sha256"], name=op.f("fk_analyses__listing_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_analyses__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subjects.subject_id"], name=op.f("fk_analyses__subject_id")
        ),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_analyses")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_analyses__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_analyses__sequence")),
    )
    op.create_index("ix_analyses__project_id_sequence", "analyses", ["project_id", "sequence"], unique=False)
    op.create_index(
        "ix_analyses__state",
        "analyses",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index("ix_analyses__subject_id_sequence", "analyses", ["subject_id", "sequence"], unique=False)
    op.create_table(
        "clusters",
        sa.Column("cluster_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("cluster_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subjects.subject_id"], name=op.f("fk_clusters__subject_id")
        ),
        sa.PrimaryKeyConstraint("cluster_id", name=op.f("pk_clusters")),
        sa.UniqueConstraint("subject_id", "cluster_key", name=op.f("uq_clusters__subject_id_cluster_key")),
    )
    op.create_table(
        "findings",
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("severity_rank", sa.Integer(), nullable=False),
        sa.Column("confidence", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("start_line", sa.Integer(), nullable=True),
        sa.Column("cwe_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("is_suppressed", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Uuid(), nullable=True),
        sa.Column("is_link_refused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("first_analysis_id", sa.Uuid(), nullable=False),
        sa.Column("last_analysis_id", sa.Uuid(), nullable=False),
        sa.Column(
            "first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "confidence IS NULL OR confidence IN ('high', 'medium', 'low')",
            name=op.f("ck_findings__confidence_known"),
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'high', 'medium', 'low', 'info')",
            name=op.f("ck_findings__severity_known"),
        ),
        sa.CheckConstraint(
            "state <> 'dismissed' OR state_reason <> ''", name=op.f("ck_findings__dismissal_explained")
        ),
        sa.CheckConstraint("state IN ('open', 'fixed', 'dismissed')", name=op.f("ck_findings__state_known")),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.cluster_id"], name=op.f("fk_findings__cluster_id")
        ),
        sa.ForeignKeyConstraint(
            ["first_analysis_id"], ["analyses.analysis_id"], name=op.f("fk_findings__first_analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["last_analysis_id"], ["analyses.analysis_id"], name=op.f("fk_findings__last_analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_findings__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subjects.subject_id"], name=op.f("fk_findings__subject_id")
        ),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_findings")),
        sa.UniqueConstraint("subject_id", "fingerprint", name=op.f("uq_findings__subject_id_fingerprint")),
    )
    op.create_index(
        "ix_findings__cluster_id",
        "findings",
        ["cluster_id"],
        unique=False,
        postgresql_where=sa.text("cluster_id IS NOT NULL"),
    )
    op.create_index(
        "ix_findings__project_id_severity_rank",
        "findings",
        ["project_id", sa.literal_column("severity_rank DESC"), "finding_id"],
        unique=False,
    )
    op.create_index(
        "ix_findings__project_id_state_is_suppressed",
        "findings",
        ["project_id", "state", "is_suppressed"],
        unique=False,
    )
    op.create_table(
        "manifests",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("entries_count", sa.Integer(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_manifests__analysis_id")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_manifests__sha256")),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_manifests")),
    )
    op.create_table(
        "tool_runs",
        sa.Column("tool_run_id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("parameters_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("attempts_count", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("did_run", sa.Boolean(), nullable=True),
        sa.Column("exit_meaning", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("parse_state", sa.Text(), nullable=True),
        sa.Column("findings_count", sa.Integer(), nullable=True),
        sa.Column("suppressed_count", sa.Integer(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("adapter_version", sa.Integer(), nullable=True),
        sa.Column("cache_key", sa.Text(), nullable=True),
        sa.Column("cached_from_tool_run_id", sa.Uuid(), nullable=True),
        sa.Column("command_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("isolation_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("coverage_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("notices_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("raw_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("plan_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("sarif_sha256", sa.Text(), nullable=True),
        sa.Column("findings_digest", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("cpu_ms", sa.BigInteger(), nullable=True),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "exit_meaning IS NULL OR exit_meaning IN ('clean', 'findings', 'error', 'usage_error', 'killed', 'not_run', 'unknown')",
            name=op.f("ck_tool_runs__exit_meaning_known"),
        ),
        sa.CheckConstraint(
            "outcome <> 'succeeded' OR findings_count IS NOT NULL", name=op.f("ck_tool_runs__success_counted")
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('succeeded', 'not_applicable', 'failed', 'timed_out', 'parse_error', 'unavailable', 'target_unreachable', 'skipped', 'cancelled')",
            name=op.f("ck_tool_runs__outcome_known"),
        ),
        sa.CheckConstraint(
            "parse_state IS NULL OR parse_state IN ('parsed', 'partial', 'unreadable', 'not_attempted')",
            name=op.f("ck_tool_runs__parse_state_known"),
        ),
        sa.CheckConstraint(
            "service IN ('static', 'dynamic', 'performance', 'ai', 'video')",
            name=op.f("ck_tool_runs__service_known"),
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR (did_run IS NOT NULL AND exit_meaning IS NOT NULL AND parse_state IS NOT NULL AND finished_at IS NOT NULL)",
            name=op.f("ck_tool_runs__facts_complete"),
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_tool_runs__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["cached_from_tool_run_id"],
            ["tool_runs.tool_run_id"],
            name=op.f("fk_tool_runs__cached_from_tool_run_id"),
        ),
        sa.ForeignKeyConstraint(
            ["sarif_sha256"], ["artifacts.sha256"], name=op.f("fk_tool_runs__sarif_sha256")
        ),
        sa.PrimaryKeyConstraint("tool_run_id", name=op.f("pk_tool_runs")),
        sa.UniqueConstraint("analysis_id", "tool", name=op.f("uq_tool_runs__analysis_id_tool")),
    )
    op.create_index(
        "ix_tool_runs__cache_key",
        "tool_runs",
        ["cache_key"],
        unique=False,
        postgresql_where=sa.text("outcome = 'succeeded' AND cached_from_tool_run_id IS NULL"),
    )
    op.create_table(
        "finding_events",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_finding_events__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["findings.finding_id"], name=op.f("fk_finding_events__finding_id")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_finding_events")),
    )
    op.create_index(
        "ix_finding_events__finding_id", "finding_events", ["finding_id", "sequence"], unique=False
    )
    op.create_table(
        "manifest_entries",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["manifests.analysis_id"], name=op.f("fk_manifest_entries__analysis_id")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_manifest_entries__sha256")),
        sa.PrimaryKeyConstraint("analysis_id", "name", name=op.f("pk_manifest_entries")),
    )
    op.create_index("ix_manifest_entries__sha256", "manifest_entries", ["sha256"], unique=False)
    op.create_table(
        "measurements",
        sa.Column("tool_run_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("better", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("start_line", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_measurements__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["tool_run_id"], ["tool_runs.tool_run_id"], name=op.f("fk_measurements__tool_run_id")
        ),
        sa.PrimaryKeyConstraint("tool_run_id", "ordinal", name=op.f("pk_measurements")),
    )
    op.create_table(
        "occurrences",
        sa.Column("tool_run_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("severity_rank", sa.Integer(), nullable=False),
        sa.Column("tool_severity", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("start_line", sa.Integer(), nullable=True),
        sa.Column("start_column", sa.Integer(), nullable=True),
        sa.Column("end_line", sa.Integer(), nullable=True),
        sa.Column("end_column", sa.Integer(), nullable=True),
        sa.Column("code_line", sa.Text(), nullable=False),
        sa.Column("source_sha256", sa.Text(), nullable=True),
        sa.Column("suppression", sa.Text(), nullable=True),
        sa.Column("help_url", sa.Text(), nullable=True),
        sa.Column("identity_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("related_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("properties_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("cwe_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_occurrences__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["findings.finding_id"], name=op.f("fk_occurrences__finding_id")
        ),
        sa.ForeignKeyConstraint(
            ["tool_run_id"], ["tool_runs.tool_run_id"], name=op.f("fk_occurrences__tool_run_id")
        ),
        sa.PrimaryKeyConstraint("tool_run_id", "ordinal", name=op.f("pk_occurrences")),
    )
    op.create_index(
        "ix_occurrences__analysis_id_rank",
        "occurrences",
        ["analysis_id", sa.literal_column("severity_rank DESC"), "tool_run_id", "ordinal"],
        unique=False,
    )
    op.create_index("ix_occurrences__finding_id", "occurrences", ["finding_id"], unique=False)
    op.create_table(
        "tool_run_attempts",
        sa.Column("tool_run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("executor_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tool_run_id"], ["tool_runs.tool_run_id"], name=op.f("fk_tool_run_attempts__tool_run_id")
        ),
        sa.PrimaryKeyConstraint("tool_run_id", "attempt", name=op.f("pk_tool_run_attempts")),
    )

    op.execute(CREATE_STATE_GUARD)
    op.execute(
        "CREATE TRIGGER guard_analysis_state BEFORE INSERT OR UPDATE OF state ON analyses"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_analysis_state()"
    )
    op.execute(CREATE_OUTCOME_GUARD)
    op.execute(
        "CREATE TRIGGER guard_tool_run_outcome BEFORE UPDATE OF outcome ON tool_runs"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_tool_run_outcome()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER guard_tool_run_outcome ON tool_runs")
    op.execute("DROP FUNCTION referee_guard_tool_run_outcome()")
    op.execute("DROP TRIGGER guard_analysis_state ON analyses")
    op.execute("DROP FUNCTION referee_guard_analysis_state()")
    op.drop_table("tool_run_attempts")
    op.drop_table("occurrences")
    op.drop_table("measurements")
    op.drop_table("manifest_entries")
    op.drop_table("finding_events")
    op.drop_table("tool_runs")
    op.drop_table("manifests")
    op.drop_table("findings")
    op.drop_table("clusters")
    op.drop_table("analyses")
    op.drop_table("subjects")
    op.drop_table("apps")
    op.drop_table("rules")
