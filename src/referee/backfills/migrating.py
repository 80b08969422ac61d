"""Bring ``task_audits`` of an old audit database to schema version 21: columns and indexes, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.backfills.backing_up import back_up
from referee.backfills.targets.target import TableShape, Target
from referee.backfills.versions import version_number
from referee.core.errors import Conflict, InvalidInput

__all__ = ["TARGET_VERSIONS", "Migration", "migrate_audit"]

_COLUMNS: Final = (
    (15, "decision_id"), (15, "source_event_ts"), (15, "supervisor_processed_at"),
    (17, "verdict_id"), (20, "repo_id"),
)  # fmt: skip
_INDEXES: Final = (
    (15, ("decision_id",), True, "decision_id IS NOT NULL"),
    (21, ("source_event_ts",), False, "source_event_ts IS NOT NULL"),
    (21, ("source_event_ts", "supervisor_processed_at"), False,
     "source_event_ts IS NOT NULL AND supervisor_processed_at IS NOT NULL"),
    (21, ("event_type", "source_event_ts"), False, ""),
)  # fmt: skip
TARGET_VERSIONS: Final = (15, 17, 20, 21)
"""Versions that only add columns and indexes; later ones rebuild the table."""
_BASE: Final = {"audit_id", "task_id", "level", "event_type", "payload", "created_at"}


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration did."""

    from_version: str | None
    added: Sequence[str]
    """Columns and indexes, by name."""
    backup: Path | None


def migrate_audit(target: Target, *, to: int = 21, has_backup: bool = True) -> Migration:
    """Add what is missing up to a version; what is there stays. All of it or nothing.

    Raises:
        InvalidInput: There is no migration to that version.
        Conflict: The database has no table ``task_audits`` of the agent system.
    """
    if to not in TARGET_VERSIONS:
        raise InvalidInput(
            "backfill.version_unknown",
            f"There is no migration to version {to}.",
            f"Choose one of: {', '.join(map(str, TARGET_VERSIONS))}.",
        )
    shape = target.find_shape("task_audits")
    if shape is None or not shape.columns.keys() >= _BASE or shape.key_columns != ("audit_id",):
        raise Conflict(
            "backfill.not_an_audit_database",
            f"{target.label} has no table task_audits as the agent system writes it.",
            "Give the path of its database.",
        )
    if not _list_missing_columns(shape, to) and not _list_missing_indexes(target, to):
        return Migration(shape.schema_version, (), None)
    backup = back_up(target) if has_backup else None
    added = []
    with target.transaction():
        for column in _list_missing_columns(shape, to):
            target.execute(f'ALTER TABLE task_audits ADD COLUMN "{column}" TEXT')
            added.append(column)
        for columns, is_unique, where in _list_missing_indexes(target, to):
            name = f"idx_task_audits_{'_'.join(columns)}"
            unique, condition = "UNIQUE " if is_unique else "", f" WHERE {where}" if where else ""
            target.execute(f"CREATE {unique}INDEX {name} ON task_audits ({', '.join(columns)}){condition}")
            added.append(name)
        _record_version(target, shape, to)
    return Migration(shape.schema_version, added, backup)


def _list_missing_columns(shape: TableShape, to: int) -> list[str]:
    return [name for version, name in _COLUMNS if version <= to and name not in shape.columns]


def _list_missing_indexes(target: Target, to: int) -> list[tuple[tuple[str, ...], bool, str]]:
    """Told apart by their columns: names differ between installations."""
    known = _read_indexes(target)
    return [
        (columns, is_unique, where)
        for version, columns, is_unique, where in _INDEXES
        if version <= to and columns not in known
    ]


def _read_indexes(target: Target) -> set[tuple[str, ...]]:
    if target.dialect == "sqlite":
        names = [row[0] for row in target.query("SELECT name FROM pragma_index_list('task_audits')")]
        return {
            tuple(
                row[0] for row in target.query("SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)
            )
            for name in names
        }
    rows = target.query(
        "SELECT array_agg(a.attname::text ORDER BY k.position) FROM pg_index i, "
        "unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, position), pg_attribute a "
        "WHERE i.indrelid = to_regclass('task_audits') AND a.attrelid = i.indrelid AND a.attnum = k.number "
        "GROUP BY i.indexrelid"
    )
    return {tuple(row[0]) for row in rows}


def _record_version(target: Target, shape: TableShape, to: int) -> None:
    """Add a row for the version, where the table of versions is there and does not know a newer one."""
    versions = target.find_shape("schema_version")
    if versions is None:
        target.execute("CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TIMESTAMP)")
        versions = target.find_shape("schema_version")
    if version_number(shape.schema_version) >= to or versions is None or "version" not in versions.columns:
        return
    if "applied_at" in versions.columns:
        target.execute(
            "INSERT INTO schema_version (version, applied_at) VALUES (?, CURRENT_TIMESTAMP)", f"0.{to}.0"
        )
    else:
        target.execute("INSERT INTO schema_version (version) VALUES (?)", f"0.{to}.0")
