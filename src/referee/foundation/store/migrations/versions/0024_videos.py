"""Videos, revisions of their analysis, what passes gave, and the rules the database itself keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024_videos"
down_revision = "0023_alerts"
branch_labels = None
depends_on = None

CREATE_REVISION_GUARD = """
CREATE FUNCTION referee_guard_video_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state = 'done' AND EXISTS (SELECT 1 FROM videos WHERE video_id = OLD.video_id) THEN
            RAISE EXCEPTION 'video revision % is done and stays', OLD.revision_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('awaiting_upload', 'queued') THEN
            RAISE EXCEPTION 'video revision % must begin as awaiting_upload or queued, not %', NEW.revision_id, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state = 'done' THEN
        RAISE EXCEPTION 'video revision % is done; another analysis is a new revision', OLD.revision_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF NOT (
        NEW.state = 'failed'
        OR (OLD.state IN ('awaiting_upload', 'failed') AND NEW.state = 'queued')
        OR (OLD.state = 'queued' AND NEW.state = 'quick_running')
        OR (OLD.state = 'quick_running' AND NEW.state IN ('quick_done', 'done'))
        OR (OLD.state = 'quick_done' AND NEW.state IN ('deep_running', 'done'))
        OR (OLD.state = 'deep_running' AND NEW.state = 'done')
    ) THEN
        RAISE EXCEPTION 'video revision % cannot go from % to %', NEW.revision_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state IN ('quick_done', 'deep_running', 'done') AND NOT EXISTS (
        SELECT 1 FROM video_passes WHERE revision_id = NEW.revision_id AND kind = 'quick' AND state = 'done'
    ) THEN
        RAISE EXCEPTION 'video revision % cannot become % without findings, report and artifacts of its quick pass',
            NEW.revision_id, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'done' AND NEW.is_deep AND NOT EXISTS (
        SELECT 1 FROM video_passes WHERE revision_id = NEW.revision_id AND kind = 'deep' AND state = 'done'
    ) THEN
        RAISE EXCEPTION 'video revision % cannot become done without findings, report and artifacts of its deep pass',
            NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

CREATE_GUARD_OF_PASSES = """
CREATE FUNCTION referee_guard_video_pass() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE_RESULT_GUARD = """
CREATE FUNCTION referee_guard_video_result() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed RECORD;
BEGIN
    IF TG_OP = 'DELETE' THEN
        changed := OLD;
    ELSE
        changed := NEW;
    END IF;
    IF EXISTS (
        SELECT 1 FROM video_passes
         WHERE revision_id = changed.revision_id AND kind = changed.kind AND state = 'done'
    ) THEN
        RAISE EXCEPTION 'the % pass of video revision % is done; its % are not changed',
            changed.kind, changed.revision_id, TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN changed;
END
$$
"""

CREATE_CHUNK_GUARD = """
CREATE FUNCTION referee_guard_video_chunk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'done' THEN
        RAISE EXCEPTION 'chunk % of video revision % is done and is not overwritten', OLD.position, OLD.revision_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
"""

RESULT_TABLES = ("video_events", "video_metrics", "video_findings", "video_pictures")


def upgrade() -> None:
    op.create_table(
        "video_targets",
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("player", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("discipline", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "code IN ('head_stability', 'balance_drift', 'front_knee_brace', 'hip_shoulder_timing', 'elbow_drop')",
            name=op.f("ck_video_targets__code_known"),
        ),
        sa.CheckConstraint(
            "discipline IN ('batting', 'bowling', 'keeping', 'fielding')",
            name=op.f("ck_video_targets__discipline_known"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_targets__project_id")
        ),
        sa.PrimaryKeyConstraint("target_id", name=op.f("pk_video_targets")),
        sa.UniqueConstraint(
            "project_id",
            "player",
            "discipline",
            "code",
            name=op.f("uq_video_targets__project_id_player_discipline_code"),
        ),
    )
    op.create_table(
        "videos",
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("player", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("notes", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("discipline", sa.Text(), nullable=False),
        sa.Column("handedness", sa.Text(), nullable=False),
        sa.Column("camera_view", sa.Text(), nullable=False),
        sa.Column("capture_fps", sa.Double(), nullable=True),
        sa.Column("athlete_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("upload_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("original_sha256", sa.Text(), nullable=True),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("proxy_state", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("proxy_sha256", sa.Text(), nullable=True),
        sa.Column("proxy_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("revisions_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "camera_view IN ('side', 'front', 'behind', 'other')", name=op.f("ck_videos__camera_view_known")
        ),
        sa.CheckConstraint(
            "discipline IN ('batting', 'bowling', 'keeping', 'fielding')",
            name=op.f("ck_videos__discipline_known"),
        ),
        sa.CheckConstraint("handedness IN ('right', 'left')", name=op.f("ck_videos__handedness_known")),
        sa.CheckConstraint(
            "proxy_state <> 'done' OR proxy_sha256 IS NOT NULL", name=op.f("ck_videos__proxy_there")
        ),
        sa.CheckConstraint(
            "proxy_state IN ('none', 'queued', 'done', 'failed')", name=op.f("ck_videos__proxy_state_known")
        ),
        sa.CheckConstraint(
            "(uploaded_at IS NULL) = (original_sha256 IS NULL)", name=op.f("ck_videos__upload_whole")
        ),
        sa.CheckConstraint(
            "capture_fps IS NULL OR capture_fps > 0", name=op.f("ck_videos__capture_fps_positive")
        ),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_videos__size_positive")),
        sa.ForeignKeyConstraint(
            ["original_sha256"], ["artifacts.sha256"], name=op.f("fk_videos__original_sha256")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_videos__project_id")),
        sa.ForeignKeyConstraint(["proxy_sha256"], ["artifacts.sha256"], name=op.f("fk_videos__proxy_sha256")),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_videos")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_videos__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_videos__sequence")),
    )
    op.create_index("ix_videos__project_id_player", "videos", ["project_id", "player"], unique=False)
    op.create_index("ix_videos__project_id_sequence", "videos", ["project_id", "sequence"], unique=False)
    op.create_table(
        "video_goals",
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("goals_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_goals__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.video_id"], name=op.f("fk_video_goals__video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_video_goals")),
    )
    op.create_table(
        "video_notes",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("t_s", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tags_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind = 'note' OR t_s IS NOT NULL", name=op.f("ck_video_notes__marker_at_an_instant")
        ),
        sa.CheckConstraint(
            "kind IN ('note', 'setup', 'catch', 'throw', 'dive', 'stumping', 'other')",
            name=op.f("ck_video_notes__kind_known"),
        ),
        sa.CheckConstraint("t_s IS NULL OR t_s >= 0", name=op.f("ck_video_notes__instant_range")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_notes__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.video_id"], name=op.f("fk_video_notes__video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_video_notes")),
    )
    op.create_index("ix_video_notes__video_id", "video_notes", ["video_id", "note_id"], unique=False)
    op.create_table(
        "video_revisions",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("progress_share", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_deep", sa.Boolean(), nullable=False),
        sa.Column("source_revision_id", sa.Uuid(), nullable=True),
        sa.Column("capture_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("edited_events_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("targets_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("original_sha256", sa.Text(), nullable=True),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("jobs_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("reason_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quick_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quick_done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deep_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'done' OR (progress_share = 1 AND finished_at IS NOT NULL)",
            name=op.f("ck_video_revisions__done_whole"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR (reason <> '' AND reason_code <> '')",
            name=op.f("ck_video_revisions__failure_explained"),
        ),
        sa.CheckConstraint(
            "state IN ('awaiting_upload', 'failed') OR original_sha256 IS NOT NULL",
            name=op.f("ck_video_revisions__upload_first"),
        ),
        sa.CheckConstraint(
            "state IN ('awaiting_upload', 'queued', 'quick_running', 'quick_done', 'deep_running', 'done', 'failed')",
            name=op.f("ck_video_revisions__state_known"),
        ),
        sa.CheckConstraint("progress_share BETWEEN 0 AND 1", name=op.f("ck_video_revisions__progress_range")),
        sa.ForeignKeyConstraint(
            ["original_sha256"], ["artifacts.sha256"], name=op.f("fk_video_revisions__original_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_revisions__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["source_revision_id"],
            ["video_revisions.revision_id"],
            name=op.f("fk_video_revisions__source_revision_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.video_id"], name=op.f("fk_video_revisions__video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("revision_id", name=op.f("pk_video_revisions")),
        sa.UniqueConstraint("video_id", "number", name=op.f("uq_video_revisions__video_id_number")),
    )
    op.create_index("ix_video_revisions__job_id", "video_revisions", ["job_id"], unique=False)
    op.create_index(
        "ix_video_revisions__project_id_state", "video_revisions", ["project_id", "state"], unique=False
    )
    op.create_table(
        "video_shares",
        sa.Column("share_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("token_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_shares__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.video_id"], name=op.f("fk_video_shares__video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("share_id", name=op.f("pk_video_shares")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_video_shares__token_digest")),
    )
    op.create_index("ix_video_shares__video_id", "video_shares", ["video_id"], unique=False)
    op.create_table(
        "video_chunks",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("frames_count", sa.Integer(), nullable=False),
        sa.Column("is_action", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("attempts_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("done_share", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("keypoints_sha256", sa.Text(), nullable=True),
        sa.Column("facts_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'done' OR keypoints_sha256 IS NOT NULL", name=op.f("ck_video_chunks__done_whole")
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR reason <> ''", name=op.f("ck_video_chunks__failure_explained")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_video_chunks__state_known")
        ),
        sa.CheckConstraint(
            "end_s >= start_s AND frames_count >= 0", name=op.f("ck_video_chunks__span_forward")
        ),
        sa.ForeignKeyConstraint(
            ["keypoints_sha256"], ["artifacts.sha256"], name=op.f("fk_video_chunks__keypoints_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_chunks__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["video_revisions.revision_id"],
            name=op.f("fk_video_chunks__revision_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("revision_id", "position", name=op.f("pk_video_chunks")),
    )
    op.create_table(
        "video_passes",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'running'"), nullable=False),
        sa.Column("keypoints_sha256", sa.Text(), nullable=True),
        sa.Column("overlay_sha256", sa.Text(), nullable=True),
        sa.Column("results_sha256", sa.Text(), nullable=True),
        sa.Column("report_sha256", sa.Text(), nullable=True),
        sa.Column("pdf_sha256", sa.Text(), nullable=True),
        sa.Column("report_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("overall_level", sa.Text(), nullable=True),
        sa.Column("findings_count", sa.Integer(), nullable=True),
        sa.Column("legacy_scores_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("facts_json", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('quick', 'deep')", name=op.f("ck_video_passes__kind_known")),
        sa.CheckConstraint(
            "state <> 'done' OR (keypoints_sha256 IS NOT NULL AND overlay_sha256 IS NOT NULL AND results_sha256 IS NOT NULL AND report_sha256 IS NOT NULL AND pdf_sha256 IS NOT NULL AND report_json IS NOT NULL AND findings_count IS NOT NULL AND overall_level IS NOT NULL AND verified_at IS NOT NULL AND finished_at IS NOT NULL)",
            name=op.f("ck_video_passes__done_whole"),
        ),
        sa.CheckConstraint("state IN ('running', 'done')", name=op.f("ck_video_passes__state_known")),
        sa.ForeignKeyConstraint(
            ["keypoints_sha256"], ["artifacts.sha256"], name=op.f("fk_video_passes__keypoints_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["overlay_sha256"], ["artifacts.sha256"], name=op.f("fk_video_passes__overlay_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["pdf_sha256"], ["artifacts.sha256"], name=op.f("fk_video_passes__pdf_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_passes__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["report_sha256"], ["artifacts.sha256"], name=op.f("fk_video_passes__report_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["results_sha256"], ["artifacts.sha256"], name=op.f("fk_video_passes__results_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["video_revisions.revision_id"],
            name=op.f("fk_video_passes__revision_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("revision_id", "kind", name=op.f("pk_video_passes")),
    )
    op.create_table(
        "video_events",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("t_s", sa.Double(), nullable=False),
        sa.Column("uncertainty_s", sa.Double(), nullable=False),
        sa.Column("is_edited", sa.Boolean(), nullable=False),
        sa.CheckConstraint("uncertainty_s >= 0", name=op.f("ck_video_events__uncertainty_range")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_events__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id", "kind"],
            ["video_passes.revision_id", "video_passes.kind"],
            name=op.f("fk_video_events__revision_id_kind"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("revision_id", "kind", "name", name=op.f("pk_video_events")),
    )
    op.create_table(
        "video_findings",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("is_uncertain", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("why_it_matters", sa.Text(), nullable=False),
        sa.Column("cues_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("drills_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("confidence_share", sa.Double(), nullable=False),
        sa.Column("worst_frames_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bad_segments_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "severity IN ('low', 'medium', 'high')", name=op.f("ck_video_findings__severity_known")
        ),
        sa.CheckConstraint(
            "confidence_share BETWEEN 0 AND 1", name=op.f("ck_video_findings__confidence_range")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_findings__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id", "kind"],
            ["video_passes.revision_id", "video_passes.kind"],
            name=op.f("fk_video_findings__revision_id_kind"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("revision_id", "kind", "position", name=op.f("pk_video_findings")),
    )
    op.create_index(
        "ix_video_findings__project_id_code", "video_findings", ["project_id", "code"], unique=False
    )
    op.create_table(
        "video_metrics",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("is_uncertain", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("frames_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("coverage_share", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("detail_json", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "(value IS NULL AND level IS NULL AND reason_code <> '' AND reason <> '') OR (value IS NOT NULL AND low IS NOT NULL AND high IS NOT NULL AND level IS NOT NULL AND reason_code = '')",
            name=op.f("ck_video_metrics__measured_or_explained"),
        ),
        sa.CheckConstraint(
            "code IN ('head_stability', 'balance_drift', 'front_knee_brace', 'hip_shoulder_timing', 'elbow_drop')",
            name=op.f("ck_video_metrics__code_known"),
        ),
        sa.CheckConstraint(
            "level IS NULL OR level IN ('low', 'medium', 'high')", name=op.f("ck_video_metrics__level_known")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_metrics__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id", "kind"],
            ["video_passes.revision_id", "video_passes.kind"],
            name=op.f("fk_video_metrics__revision_id_kind"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("revision_id", "kind", "code", name=op.f("pk_video_metrics")),
    )
    op.create_index(
        "ix_video_metrics__project_id_code", "video_metrics", ["project_id", "code"], unique=False
    )
    op.create_table(
        "video_pictures",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("t_s", sa.Double(), nullable=False),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_video_pictures__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["revision_id", "kind"],
            ["video_passes.revision_id", "video_passes.kind"],
            name=op.f("fk_video_pictures__revision_id_kind"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_video_pictures__sha256")),
        sa.PrimaryKeyConstraint("revision_id", "kind", "position", name=op.f("pk_video_pictures")),
    )

    for statement in (CREATE_REVISION_GUARD, CREATE_GUARD_OF_PASSES, CREATE_RESULT_GUARD, CREATE_CHUNK_GUARD):
        op.execute(statement)
    op.execute(
        "CREATE TRIGGER guard_video_revision BEFORE INSERT OR UPDATE OR DELETE ON video_revisions"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_video_revision()"
    )
    op.execute(
        "CREATE TRIGGER guard_video_pass BEFORE INSERT OR UPDATE OR DELETE ON video_passes"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_video_pass()"
    )
    op.execute(
        "CREATE TRIGGER guard_video_chunk BEFORE UPDATE ON video_chunks"
        " FOR EACH ROW EXECUTE FUNCTION referee_guard_video_chunk()"
    )
    for table in RESULT_TABLES:
        op.execute(
            f"CREATE TRIGGER guard_video_result BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION referee_guard_video_result()"
        )


def downgrade() -> None:
    op.drop_table("video_pictures")
    op.drop_table("video_metrics")
    op.drop_table("video_findings")
    op.drop_table("video_events")
    op.drop_table("video_passes")
    op.drop_table("video_chunks")
    op.drop_table("video_shares")
    op.drop_table("video_revisions")
    op.drop_table("video_notes")
    op.drop_table("video_goals")
    op.drop_table("videos")
    op.drop_table("video_targets")
    for name in ("revision", "pass", "result", "chunk"):
        op.execute(f"DROP FUNCTION referee_guard_video_{name}()")
