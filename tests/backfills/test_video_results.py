"""Findings and reports out of the blobs of video analyses."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.backfills.conftest import run_sql

from referee.backfills.ledger import Ledger
from referee.backfills.registry import create_backfill
from referee.backfills.running import RunRequest, run_backfill, start_run
from referee.backfills.states import RunState
from referee.backfills.targets.opening import open_target
from referee.backfills.undoing import undo_run

RESULT = {
    "pose_summary": {},
    "findings": [{"code": "HEAD_MOVEMENT", "severity": "low"}],
    "report": {"summary": "s" * 90},
}
COLUMNS = "quick_findings, quick_report, deep_findings, deep_report"
ROWS = [
    ("0a", json.dumps(RESULT), json.dumps(RESULT), None),
    ("0b", None, None, json.dumps({"quick": RESULT, "deep": None})),
    ("0c", json.dumps({"pose_summary": {}}), None, None),
    ("0d", "{", None, None),
    ("0e", None, None, None),
]


def test_findings_and_reports_are_lifted_from_both_shapes_and_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "video.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE video_analysis_jobs (id TEXT PRIMARY KEY, quick_results JSON, deep_results JSON, "
            "results JSON, quick_findings JSON, deep_findings JSON, quick_report JSON, deep_report JSON)"
        )
        connection.executemany(
            "INSERT INTO video_analysis_jobs (id, quick_results, deep_results, results) VALUES (?, ?, ?, ?)",
            ROWS,
        )
    findings, report = (json.dumps(RESULT[key], separators=(",", ":")) for key in ("findings", "report"))
    before = run_sql(str(path), "SELECT * FROM video_analysis_jobs ORDER BY id")
    backfill = create_backfill("video-results")
    with open_target(str(path)) as target:
        done = run_backfill(target, start_run(target, backfill, RunRequest()))
        assert done.state is RunState.finished
        assert run_sql(str(path), f"SELECT {COLUMNS} FROM video_analysis_jobs ORDER BY id") == [
            (findings, report, findings, report),
            (findings, report, None, None),
            (None, None, None, None),
            (None, None, None, None),
            (None, None, None, None),
        ]
        assert Ledger(target).count_dead_letters("video-results") == {
            "findings_missing": 1,
            "results_not_json": 1,
        }
        assert done.counts.rules["quick_findings=results.quick.findings"] == 1
        assert undo_run(target, done).restored_count == 6
    assert run_sql(str(path), "SELECT * FROM video_analysis_jobs ORDER BY id") == before
