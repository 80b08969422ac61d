"""Who holds a lease on an app; records that stay as they were when they were made final.

A sealed manifest and the ledger of an ended tool run are evidence: no later statement may change them. Only
``referee verify --repair``, which puts back what a recorded digest proves, says so in its transaction and may.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022_kept_records"
down_revision = "0021_own_work"
branch_labels = None
depends_on = None

CREATE_MANIFEST_GUARD = """
CREATE FUNCTION referee_keep_manifest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW IS DISTINCT FROM OLD AND current_setting('referee.is_repairing', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'the manifest of analysis % is sealed', OLD.analysis_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

CREATE_TOOL_RUN_GUARD = """
CREATE FUNCTION referee_keep_ended_tool_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before tool_runs := OLD;
BEGIN
    IF OLD.findings_digest IS NULL THEN
        before.findings_digest := NEW.findings_digest;  -- it is computed from the findings, right after them
    END IF;
    IF NEW IS DISTINCT FROM before
       AND current_setting('referee.is_repairing', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'tool run % has ended as % and stays so', OLD.tool_run_id, OLD.outcome
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
    for name, kind in (("machine", sa.Text()), ("holder_pid", sa.Integer()), ("holder_started", sa.Text())):
        op.add_column("app_leases", sa.Column(name, kind))
    op.execute(CREATE_MANIFEST_GUARD)
    for table in ("manifests", "manifest_entries"):
        op.execute(
            f"CREATE TRIGGER keep_sealed BEFORE UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION referee_keep_manifest()"
        )
    op.execute("DROP TRIGGER guard_tool_run_outcome ON tool_runs")
    op.execute("DROP FUNCTION referee_guard_tool_run_outcome()")
    op.execute(CREATE_TOOL_RUN_GUARD)
    op.execute(
        "CREATE TRIGGER keep_ended BEFORE UPDATE ON tool_runs FOR EACH ROW"
        " WHEN (OLD.outcome IS NOT NULL) EXECUTE FUNCTION referee_keep_ended_tool_run()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_ended ON tool_runs")
    op.execute("DROP FUNCTION referee_keep_ended_tool_run()")
    op.execute(CREATE_OUTCOME_GUARD)
    op.execute(
        "CREATE TRIGGER guard_tool_run_outcome BEFORE UPDATE OF outcome ON tool_runs"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_tool_run_outcome()"
    )
    for table in ("manifest_entries", "manifests"):
        op.execute(f"DROP TRIGGER keep_sealed ON {table}")
    op.execute("DROP FUNCTION referee_keep_manifest()")
    for name in ("holder_started", "holder_pid", "machine"):
        op.drop_column("app_leases", name)
