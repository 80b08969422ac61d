"""The ball of a delivery: what a deep pass of bowling says of it, and the pitch that the coach points out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027_video_balls"
down_revision = "0026_probes"
branch_labels = None
depends_on = None

GUARD_BEFORE = """
CREATE OR REPLACE FUNCTION referee_guard_video_pass() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state = 'done' AND EXISTS (SELECT 1 FROM video_revisions WHERE revision_id = OLD.revision_id) THEN
            RAISE EXCEPTION 'the % pass of video revision % is done and stays', OLD.kind, OLD.revision_id
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'running' THEN
            RAISE EXCEPTION 'the % pass of video revision % must begin as running', NEW.kind, NEW.revision_id
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state = 'done' THEN
        RAISE EXCEPTION 'the % pass of video revision % is done and is not overwritten', OLD.kind, OLD.revision_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'done' AND NEW.findings_count IS DISTINCT FROM (
        SELECT count(*) FROM video_findings WHERE revision_id = NEW.revision_id AND kind = NEW.kind
    ) THEN
        RAISE EXCEPTION 'the % pass of video revision % cannot be done: its findings are not all recorded',
            NEW.kind, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'done' AND NOT EXISTS (
        SELECT 1 FROM video_metrics WHERE revision_id = NEW.revision_id AND kind = NEW.kind
    ) THEN
        RAISE EXCEPTION 'the % pass of video revision % cannot be done: its metrics are not recorded',
            NEW.kind, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

BALL_IS_RECORDED = """    IF NEW.state = 'done' AND NEW.kind = 'deep' AND NEW.ball_json ->> 'status' IS NULL AND EXISTS (
        SELECT 1 FROM video_revisions
         WHERE revision_id = NEW.revision_id AND capture_json ->> 'discipline' = 'bowling'
    ) THEN
        RAISE EXCEPTION 'the deep pass of video revision % cannot be done: nothing is recorded of its ball',
            NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
"""

END_OF_GUARD = """    RETURN NEW;
END
$$
"""
GUARD_OF_PASSES = GUARD_BEFORE.removesuffix(END_OF_GUARD) + BALL_IS_RECORDED + END_OF_GUARD


def upgrade() -> None:
    op.add_column("videos", sa.Column("pitch_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column(
        "video_passes", sa.Column("ball_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.create_check_constraint(
        op.f("ck_video_passes__ball_known"),
        "video_passes",
        "ball_json IS NULL OR ball_json ->> 'status' IN ('measured', 'insufficient_data')",
    )
    op.execute(GUARD_OF_PASSES)


def downgrade() -> None:
    op.execute(GUARD_BEFORE)
    op.drop_constraint(op.f("ck_video_passes__ball_known"), "video_passes")
    op.drop_column("video_passes", "ball_json")
    op.drop_column("videos", "pitch_json")
