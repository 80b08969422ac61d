"""Findings of decisions, imported audit logs, and lead scans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016_decision_audit"
down_revision = "0015_queue_reviews"
branch_labels = None
depends_on = None

OLD_KINDS = "kind IN ('allowed', 'paused', 'blocked', 'retry_recommended', 'review_required')"
NEW_KINDS = "kind IN ('allowed', 'paused', 'blocked', 'retry_recommended', 'review_required', 'error')"
INCOMPLETE = "source_event_at IS NULL OR supervisor_processed_at IS NULL"
NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column(
        "decisions", sa.Column("reason_code", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.add_column(
        "decisions",
        sa.Column("findings_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
    )
    op.drop_constraint(op.f("ck_decisions__kind_known"), "decisions", type_="check")
    op.create_check_constraint(op.f("ck_decisions__kind_known"), "decisions", NEW_KINDS)
    op.create_index(
        "ix_decisions__lag",
        "decisions",
        ["project_id", "supervisor_processed_at"],
        postgresql_include=[
            "source_event_at",
            "source_event_provenance",
            "supervisor_processed_provenance",
            "kind",
            "decision_id",
        ],
    )
    op.create_index(
        "ix_decisions__incomplete",
        "decisions",
        ["project_id", "recorded_at"],
        postgresql_where=sa.text(INCOMPLETE),
    )
    _create_imports()
    _create_leads()


def _create_imports() -> None:
    op.create_table(
        "audit_imports",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("source_kind", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Text(), nullable=False),
        sa.Column("rows_count", sa.BigInteger(), nullable=False),
        sa.Column("decisions_count", sa.BigInteger(), nullable=False),
        sa.Column("events_count", sa.BigInteger(), nullable=False),
        sa.Column("quarantined_count", sa.BigInteger(), nullable=False),
        sa.Column("known_count", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "source_kind IN ('sqlite', 'jsonl')", name=op.f("ck_audit_imports__source_kind_known")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_audit_imports__project_id")
        ),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_audit_imports")),
    )
    op.create_table(
        "imported_audits",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("original", sa.LargeBinary(), nullable=False),
        sa.Column("columns_json", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Uuid()),
        sa.Column("occurred_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("source_key ~ '^[0-9a-f]{64}$'", name=op.f("ck_imported_audits__source_key_form")),
        sa.CheckConstraint(
            "state IN ('decision', 'event', 'quarantined')", name=op.f("ck_imported_audits__state_known")
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.decision_id"], name=op.f("fk_imported_audits__decision_id")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["audit_imports.import_id"], name=op.f("fk_imported_audits__import_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_imported_audits__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "source_key", name=op.f("pk_imported_audits")),
    )
    op.create_index("ix_imported_audits__decision_id", "imported_audits", ["decision_id"])
    op.create_index("ix_imported_audits__state", "imported_audits", ["project_id", "state", "place"])
    op.create_index("ix_imported_audits__task_id", "imported_audits", ["project_id", "task_id", "event_type"])


def _create_leads() -> None:
    op.create_table(
        "lead_findings",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("window_kind", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("seen_count", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("evidence_json", postgresql.JSONB(), nullable=False),
        sa.Column("follow_up_id", sa.Uuid(), nullable=False),
        sa.Column("follow_up_state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.CheckConstraint("fingerprint ~ '^[0-9a-f]{16}$'", name=op.f("ck_lead_findings__fingerprint_form")),
        sa.CheckConstraint(
            "follow_up_state IN ('open', 'done')", name=op.f("ck_lead_findings__follow_up_state_known")
        ),
        sa.CheckConstraint("seen_count >= 1", name=op.f("ck_lead_findings__seen_count_positive")),
        sa.CheckConstraint("window_kind IN ('24h', '7d')", name=op.f("ck_lead_findings__window_kind_known")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_lead_findings__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "fingerprint", name=op.f("pk_lead_findings")),
    )
    op.create_index("ix_lead_findings__last_seen_at", "lead_findings", ["project_id", "last_seen_at"])
    op.create_table(
        "lead_scans",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("window_kind", sa.Text(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decisions_count", sa.BigInteger(), nullable=False),
        sa.Column("findings_count", sa.BigInteger(), nullable=False),
        sa.Column("new_count", sa.BigInteger(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("window_kind IN ('24h', '7d')", name=op.f("ck_lead_scans__window_kind_known")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_lead_scans__project_id")
        ),
        sa.PrimaryKeyConstraint("scan_id", name=op.f("pk_lead_scans")),
    )
    op.create_index("ix_lead_scans__started_at", "lead_scans", ["project_id", "started_at"])


def downgrade() -> None:
    for table in ("lead_scans", "lead_findings", "imported_audits", "audit_imports"):
        op.drop_table(table)
    op.drop_index("ix_decisions__incomplete", "decisions")
    op.drop_index("ix_decisions__lag", "decisions")
    # Errors of supervisors stay on record, so the older check binds only what comes after.
    op.drop_constraint(op.f("ck_decisions__kind_known"), "decisions", type_="check")
    op.execute(f"ALTER TABLE decisions ADD CONSTRAINT ck_decisions__kind_known CHECK ({OLD_KINDS}) NOT VALID")
    op.drop_column("decisions", "findings_json")
    op.drop_column("decisions", "reason_code")
