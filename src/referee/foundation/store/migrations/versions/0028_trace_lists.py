"""Indexes in the very order of lists of traces and sessions; no statistics of contents.

A list in the order of its index is read from the index's end, and never sorted whole, whatever the database knows of
the table: right after many spans have arrived it knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0028_trace_lists"
down_revision = "0027_video_balls"
branch_labels = None
depends_on = None

ROOTS = "parent_uid IS NULL AND event_type <> 'session'"
CONTENTS = (
    *("inputs_json", "outputs_json", "config_json", "metadata_json", "metrics_json", "feedback_json"),
    *("user_properties_json", "span_events_json", "links_json", "children_ids_json"),
)


def upgrade() -> None:
    _make_indexes(
        ["project_id", "start_ns", "span_uid"],
        ["trace_id", "event_type"],
        ["project_id", "start_ns", "session_uid"],
    )
    # No plan asks how contents are distributed, and sampling them is most of what ANALYZE does.
    for column in CONTENTS:
        op.execute(f"ALTER TABLE spans ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    for column in CONTENTS:
        op.execute(f"ALTER TABLE spans ALTER COLUMN {column} SET STATISTICS -1")
    _make_indexes(
        ["project_id", "start_ns"], ["span_uid", "trace_id", "event_type"], ["project_id", "start_ns"]
    )


def _make_indexes(roots: Sequence[str], included: Sequence[str], sessions: Sequence[str]) -> None:
    op.drop_index("ix_spans__roots", table_name="spans")
    op.create_index(
        "ix_spans__roots", "spans", roots, postgresql_include=included, postgresql_where=sa.text(ROOTS)
    )
    op.drop_index("ix_sessions__project_id_start_ns", table_name="sessions")
    op.create_index("ix_sessions__project_id_start_ns", "sessions", sessions)
