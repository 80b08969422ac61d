"""Old results in a database of the earlier system, SQLite or PostgreSQL: no file need be there.

``analysis_tasks.result_summary`` holds what a main file would hold, in either structure. Tasks of one service that
belong to a main task are its snapshots; findings that stand only as rows of ``analysis_results`` are taken from
there. The database is opened read-only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from referee.backfills.old_results.sources import FoundFile, Problem, TaskFiles
from referee.backfills.targets.target import Target
from referee.core.errors import Conflict
from referee.core.instants import UnreadableInstant, read_instant

__all__ = ["read_task_rows"]

_TABLE: Final = "analysis_tasks"
_FINDINGS_TABLE: Final = "analysis_results"
_NEEDED: Final = frozenset(("task_id", "result_summary"))
_WANTED: Final = (
    "task_id", "parent_task_id", "is_main_task", "service_name", "status", "target_model", "target_app_number",
    "started_at", "completed_at", "created_at",
)  # fmt: skip
_FINDING_COLUMNS: Final = (
    "tool", "tool_name", "severity", "confidence", "file_path", "line_number", "column_number", "message", "title",
    "description", "category", "rule_id", "sarif_rule_id", "code_snippet", "recommendation",
)  # fmt: skip
_PAGE: Final = 200
_MAX_FINDINGS: Final = 200_000
_MAX_SUMMARY_CHARACTERS: Final = 64 << 20


def read_task_rows(target: Target) -> Iterator[TaskFiles | Problem]:
    """Yield the tasks of a database, each with what would be its files. Blocking.

    Raises:
        Conflict: It has no table of tasks with results.
    """
    shape = target.find_shape(_TABLE)
    if shape is None or not shape.columns.keys() >= _NEEDED:
        raise Conflict(
            "import.no_tasks",
            f"The database has no table {_TABLE} with the columns task_id and result_summary.",
            "Name a database of the earlier system, or import its folder of results.",
        )
    columns: list[str] = [name for name in _WANTED if name in shape.columns]
    has_parents = "parent_task_id" in columns
    listed = ", ".join(f"t.{name}" for name in columns)
    only_main = "AND t.parent_task_id IS NULL" if has_parents else ""
    after = ""
    while True:
        rows = target.query(
            f"SELECT {listed}, CAST(t.result_summary AS TEXT) FROM {_TABLE} t"
            f" WHERE t.task_id > ? {only_main} ORDER BY t.task_id LIMIT {_PAGE:d}",
            after,
        )
        for row in rows:
            yield _read_task(target, dict(zip(columns, row, strict=False)), row[-1], columns)
        if len(rows) < _PAGE:
            break
        after = rows[-1][0]
    if has_parents:
        yield from _read_orphans(target)


def _read_task(
    target: Target, values: Mapping[str, Any], summary: str | None, columns: list[str]
) -> TaskFiles | Problem:
    task_id = str(values["task_id"])
    files = TaskFiles(
        f"{_TABLE}/{task_id}",
        task_id=task_id,
        model=None if values.get("target_model") is None else str(values["target_model"]),
        number=values.get("target_app_number") if isinstance(values.get("target_app_number"), int) else None,
        status=str(values.get("status") or ""),
        started_at=_read_time(values.get("started_at") or values.get("created_at")),
        finished_at=_read_time(values.get("completed_at")),
    )
    if summary:
        files.files.append(_as_file(f"{files.root}/result_summary.json", summary))
    if "parent_task_id" in columns:
        name = "service_name" if "service_name" in columns else "task_id"
        for service, child_id, part in target.query(
            f"SELECT {name}, task_id, CAST(result_summary AS TEXT) FROM {_TABLE}"
            " WHERE parent_task_id = ? ORDER BY task_id",
            task_id,
        ):
            if part:
                files.files.append(
                    _as_file(f"{files.root}/services/{service or child_id}_{child_id}.json", part)
                )
    findings = _read_findings(target, task_id)
    if findings:
        files.files.append(_as_file(f"{files.root}/analysis_results.json", findings))
    if not files.files:
        status = f" Its status is {files.status!r}." if files.status else ""
        return Problem(files.root, f"The task has no result in the database.{status}")
    return files


def _read_findings(target: Target, task_id: str) -> str:
    shape = target.find_shape(_FINDINGS_TABLE)
    if shape is None or "task_id" not in shape.columns or not {"tool", "tool_name"} & shape.columns.keys():
        return ""
    columns = [name for name in _FINDING_COLUMNS if name in shape.columns]
    rows = target.query(
        f"SELECT {', '.join(columns)} FROM {_FINDINGS_TABLE} WHERE task_id = ? LIMIT {_MAX_FINDINGS:d}",
        task_id,
    )
    if not rows:
        return ""
    findings = [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows
    ]
    return json.dumps({"analysis": {"findings": findings}}, default=str, ensure_ascii=False)


def _read_orphans(target: Target) -> Iterator[Problem]:
    rows = target.query(
        f"SELECT child.task_id, child.parent_task_id FROM {_TABLE} child LEFT JOIN {_TABLE} parent"
        " ON parent.task_id = child.parent_task_id WHERE child.parent_task_id IS NOT NULL AND parent.task_id IS NULL"
        " ORDER BY child.task_id LIMIT 10000"
    )
    for task_id, parent_id in rows:
        yield Problem(
            f"{_TABLE}/{task_id}",
            f"It belongs to the task {str(parent_id)[:120]}, which is not in the database.",
        )


def _read_time(value: object) -> datetime | None:
    try:
        return read_instant(value)
    except UnreadableInstant:
        return None


def _as_file(path: str, text: str) -> FoundFile:
    data = text[:_MAX_SUMMARY_CHARACTERS].encode()
    return FoundFile(path, len(data), lambda: data)
