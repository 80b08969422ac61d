"""Decisions of supervisors in a chain that shows any change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007_audit"
down_revision = "0006_generation"
branch_labels = None
depends_on = None

PROTECT_DECISIONS = """
CREATE FUNCTION referee_protect_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'decision % is kept', OLD.decision_id USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.decision_id, NEW.project_id, NEW.content, NEW.chain_position, NEW.previous_hash, NEW.hash)
        IS DISTINCT FROM
       (OLD.decision_id, OLD.project_id, OLD.content, OLD.chain_position, OLD.previous_hash, OLD.hash) THEN
        RAISE EXCEPTION 'decision % does not change', OLD.decision_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    _create_decision_chains()
    _create_decisions()
    op.execute(PROTECT_DECISIONS)
    op.execute(
        "CREATE TRIGGER decisions_protected BEFORE UPDATE OR DELETE ON decisions"
        " FOR EACH ROW EXECUTE FUNCTION referee_protect_decision()"
    )


def _create_decision_chains() -> None:
    op.create_table(
        "decision_chains",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("decisions_count", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_decision_chains__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_decision_chains")),
    )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("supervisor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text()),
        sa.Column("source_event_at", sa.DateTime(timezone=True)),
        sa.Column("source_event_provenance", sa.Text(), server_default=sa.text("'recorded'"), nullable=False),
        sa.Column("supervisor_processed_at", sa.DateTime(timezone=True)),
        sa.Column(
            "supervisor_processed_provenance", sa.Text(), server_default=sa.text("'recorded'"), nullable=False
        ),
        sa.Column("evidence_json", postgresql.JSONB(), nullable=False),
        sa.Column("actions_json", postgresql.JSONB(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("chain_position", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_decisions__hash_form")),
        sa.CheckConstraint(
            "kind IN ('allowed', 'paused', 'blocked', 'retry_recommended', 'review_required')",
            name=op.f("ck_decisions__kind_known"),
        ),
        sa.CheckConstraint("previous_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_decisions__previous_hash_form")),
        sa.CheckConstraint("chain_position >= 1", name=op.f("ck_decisions__chain_position_positive")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_decisions__project_id")
        ),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decisions")),
        sa.UniqueConstraint(
            "project_id", "chain_position", name=op.f("uq_decisions__project_id_chain_position")
        ),
    )
    op.create_index("ix_decisions__kind", "decisions", ["project_id", "kind", "source_event_at"])
    op.create_index(
        "ix_decisions__source_event_at",
        "decisions",
        ["project_id", "source_event_at", "supervisor_processed_at"],
        postgresql_where=sa.text("source_event_at IS NOT NULL"),
    )
    op.create_index(
        "ix_decisions__subject", "decisions", ["project_id", "subject_kind", "subject_id", "sequence"]
    )
    op.create_index(
        "uq_decisions__project_id_source_key",
        "decisions",
        ["project_id", "supervisor", "source_key"],
        unique=True,
        postgresql_where=sa.text("source_key IS NOT NULL"),
    )


def downgrade() -> None:
    for table in ("decisions", "decision_chains"):
        op.drop_table(table)
    op.execute("DROP FUNCTION referee_protect_decision()")
