"""``referee backfill`` on a file, without any server: one command does it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.backfills.conftest import CONTENT, run_sql
from typer.testing import CliRunner

from referee.backfills.audit_worlds import AUDIT_SCHEMA, AUDIT_V21_COLUMNS
from referee.backfills.versions import newest_version
from referee.cli import app
from referee.core.errors import RefereeError

HISTORY = (
    (6, ""),
    (15, ", decision_id TEXT, source_event_ts TEXT, supervisor_processed_at TEXT"),
    (17, ", decision_id TEXT, source_event_ts TEXT, supervisor_processed_at TEXT, verdict_id TEXT"),
    (20, AUDIT_V21_COLUMNS),
    (24, AUDIT_V21_COLUMNS),
    (44, f"{AUDIT_V21_COLUMNS}, created_at_ms INTEGER"),
)
"""Columns of ``task_audits`` at schema versions of the agent system."""


@dataclass(frozen=True)
class Told:
    """What a command printed, as a shell sees it."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Told:
    result = CliRunner().invoke(app, arguments)
    error = result.exception
    if isinstance(error, RefereeError):
        return Told(error.exit_code, result.stdout, f"{result.stderr}{error.message}\n{error.hint}")
    assert error is None or isinstance(error, SystemExit), result.exc_info
    return Told(result.exit_code, result.stdout, result.stderr)


def make_file(path: Path, version: int, columns: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(AUDIT_SCHEMA.format(auto=" AUTOINCREMENT", columns=columns))
        connection.execute("CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TIMESTAMP)")
        connection.executemany(
            "INSERT INTO schema_version (version) VALUES (?)",
            [(f"0.{one}.0",) for one in sorted({6, 9, version})],
        )
        connection.execute(
            "INSERT INTO task_audits (task_id, event_type, payload, created_at) VALUES "
            "('t', 'SUPERVISOR_BLOCKED', '{\"source_ts\": 1767323045}', '2026-01-02 03:04:06')"
        )
    return path


def test_one_command_fills_a_file_and_says_what_it_did(audit_file: Path) -> None:
    before = run_sql(str(audit_file), CONTENT)
    done = run("backfill", "run", "audit-decisions", "--database", str(audit_file), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "finished"
    assert told["counts"]["seen_count"] == told["selected_count"] > 2_900
    (backup,) = audit_file.parent.glob("audit.db.backup-*")
    assert run_sql(str(backup), CONTENT) == before != run_sql(str(audit_file), CONTENT)


def test_dry_run_plan_and_run_hang_together(audit_file: Path, tmp_path: Path) -> None:
    file, where = str(tmp_path / "plan.json"), ("--database", str(audit_file))
    planned = run("backfill", "plan", "audit-decisions", *where, "--output", file)
    dry = run("backfill", "run", "audit-decisions", *where, "--dry-run")
    assert planned.stdout == dry.stdout
    digest = dry.stdout.split()[-1]
    wrong = run("backfill", "run", "audit-decisions", *where, "--plan", digest, "--set", "max_year=2050")
    assert (wrong.returncode, "parameters" in wrong.stderr) == (5, True)
    done = run("backfill", "run", "audit-decisions", *where, "--plan", file, "--no-backup")
    assert done.returncode == 0, done.stderr
    assert "differs" not in done.stdout
    assert list(audit_file.parent.glob("audit.db.backup-*")) == []


def test_verify_answers_eight_questions_and_counts_the_rules(audit_file: Path) -> None:
    run("backfill", "run", "audit-decisions", "--database", str(audit_file), "--no-backup")
    asked = run("backfill", "verify", "audit-decisions", "--database", str(audit_file), "--json")
    assert asked.returncode == 0, asked.stdout
    answers = json.loads(asked.stdout)
    assert [len(answers), answers[3]["is_right"], answers[1]["is_right"]] == [9, True, True]
    lags = {row[0]: row[1] for row in answers[7]["rows"][:5]}
    assert lags["left out: created_at stands in for an instant"] > 0
    assert 0.5 < lags["p50, s"] < lags["p95, s"] < 6


def test_undo_and_status_name_the_run(audit_file: Path) -> None:
    where = ("--database", str(audit_file))
    before = run_sql(str(audit_file), CONTENT)
    run("backfill", "run", "audit-decisions", *where, "--no-backup")
    assert run("backfill", "undo", "audit-decisions", *where, "--no-backup").returncode == 0
    (told,) = json.loads(run("backfill", "status", *where, "--json").stdout)
    assert (told["run_no"], told["state"]) == (1, "undone")
    assert run_sql(str(audit_file), CONTENT) == before


@pytest.mark.parametrize(("version", "columns"), HISTORY)
def test_every_schema_version_is_brought_to_21_and_filled(tmp_path: Path, version: int, columns: str) -> None:
    path = make_file(tmp_path / f"v{version}.db", version, columns)
    done = run("backfill", "run", "audit-decisions", "--database", str(path), "--migrate", "--json")
    assert done.returncode == 0, done.stderr
    assert run_sql(str(path), "SELECT source_event_ts, supervisor_processed_at FROM task_audits") == [
        ("2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:06.000000Z")
    ]
    assert run_sql(str(path), "PRAGMA integrity_check") == [("ok",)]


def test_missing_columns_are_named_and_migrate_adds_them_after_a_backup(tmp_path: Path) -> None:
    path = make_file(tmp_path / "v6.db", 6, "")
    refused = run("backfill", "run", "audit-decisions", "--database", str(path))
    assert (refused.returncode, "--migrate" in refused.stderr) == (5, True)
    assert "source_event_ts, supervisor_processed_at" in refused.stderr
    done = run("audit", "migrate", str(path), "--to", "21")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("v6.db.backup-*"))) == 1
    assert "Nothing to add" in run("audit", "migrate", str(path)).stdout
    versions = [str(row[0]) for row in run_sql(str(path), "SELECT version FROM schema_version")]
    assert newest_version(versions) == "0.21.0"
    assert len(run_sql(str(path), "SELECT name FROM pragma_index_list('task_audits')")) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "audit-decisons", "--database", "x.db"), 4, "Did you mean 'audit-decisions'?"),
        (("run", "audit-decisions", "--database", "/nowhere/x.db"), 4, "There is no file"),
        (("run", "audit-decisions", "--database", "/etc/hostname"), 2, "is no SQLite database"),
        (("run", "audit-decisions", "--database", "env:REFEREE_NOT_SET"), 2, "is not set"),
        (
            ("run", "audit-decisions", "--database", "postgresql://user:secret@127.0.0.1:1/x"),
            6,
            "cannot be reached",
        ),
        (("run", "audit-decisions", "--database", "x.db", "--set", "min_year=soon"), 2, "Give NAME=NUMBER"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_sentences(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused = run("backfill", *arguments)
    assert (refused.returncode, words in refused.stderr) == (code, True), refused.stderr
    assert "secret" not in refused.stderr


def test_list_loads_no_database_and_names_every_backfill() -> None:
    program = (
        "import sys, typer.testing, referee.cli\n"
        "told = typer.testing.CliRunner().invoke(referee.cli.app, ['backfill', 'list'])\n"
        "print(told.stdout, sorted({'sqlalchemy', 'psycopg', 'fastapi', 'dbos'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "audit-decisions" in result.stdout
    assert "video-results" in result.stdout
    assert result.stdout.strip().endswith("[]")
