"""Datapoints from CSV, JSON Lines and JSON files, and to JSON Lines and Parquet.

A file is read as a whole or not at all: the first row that cannot be used is
named with its line, and nothing is kept. Parquet is written and not read: a
small file can unfold to more than a machine has.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.pages import MAX_LIMIT
from referee.experiments.datasets import queries
from referee.experiments.datasets.datapoints import MAX_BATCH_COUNT, create_datapoints, map_row
from referee.experiments.datasets.service import add_members, lock_datasets
from referee.experiments.datasets.views import Datapoint, DatapointContent, Dataset
from referee.foundation.store import Database
from referee.foundation.web.client_values import check_json
from referee.foundation.web.parquet import ParquetColumn

__all__ = [
    "DATAPOINT_COLUMNS",
    "FileFormat",
    "find_format",
    "import_contents",
    "list_export_pages",
    "parse_file",
    "render_line",
]

FileFormat: TypeAlias = Literal["csv", "jsonl", "json"]

_ENDINGS: Final[Mapping[str, FileFormat]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_OWN_MEMBERS: Final = frozenset({"id", "inputs", "history", "ground_truth", "metadata", "linked_event"})
"""Of a line that an export wrote."""
DATAPOINT_COLUMNS: Final[Mapping[str, ParquetColumn]] = {
    "id": (("id",), "text"),
    **{name: ((name,), "json") for name in ("inputs", "history", "ground_truth", "metadata")},
    "linked_event": (("linked_event",), "text"),
}
"""Of a line that an export wrote, as columns of Parquet."""
MAX_CELL_CHARACTERS: Final = 16 * 1024 * 1024


def find_format(name: str) -> FileFormat:
    """Return the format that a file's name says.

    Raises:
        InvalidInput: It says none that can be read.
    """
    for ending, format in _ENDINGS.items():
        if name.lower().endswith(ending):
            return format
    raise _unreadable(
        f"{name[-80:]!r} ends in none of {', '.join(_ENDINGS)}.",
        "Parquet files cannot be read; write CSV or JSON Lines of them first.",
    )


def parse_file(
    data: bytes, format: FileFormat, mapping: Mapping[str, Sequence[str]]
) -> list[DatapointContent]:
    """Return the datapoints in a file.

    Args:
        data: Of the file, UTF-8.
        format: What it is.
        mapping: Which members or columns are inputs, ground truth and history; the others are metadata. Without
            any, rows that an export wrote are taken as they are, and of others every member is an input.

    Raises:
        InvalidInput: It cannot be read; with the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(f"It is not UTF-8: byte {error.start:,} cannot be read.") from error
    contents = []
    for line, row in _iterate_rows(text, format):
        try:
            contents.append(_read_row(check_json(row), mapping))
        except ValueError as error:
            raise _unreadable(f"Line {line:,}: {error}.") from error
        except InvalidInput as error:
            raise _unreadable(f"Line {line:,}: {error.message}", error.hint) from error
        if len(contents) > queries.MAX_DATAPOINTS_COUNT:
            raise _unreadable(f"It has more than {queries.MAX_DATAPOINTS_COUNT:,} rows.")
    if not contents:
        raise _unreadable("It has no rows.")
    return contents


async def import_contents(
    session: AsyncSession, project_id: UUID, dataset_id: UUID, contents: Sequence[DatapointContent]
) -> Dataset:
    """Create datapoints and add all of them to a dataset, as its next version. Returns the dataset.

    Raises:
        NotFound: There is no such dataset.
        InvalidInput: The dataset would have too many.
    """
    await lock_datasets(session, project_id)
    await queries.get_dataset(session, project_id, dataset_id)
    made: list[UUID] = []
    for start in range(0, len(contents), MAX_BATCH_COUNT):
        made += await create_datapoints(session, project_id, contents[start : start + MAX_BATCH_COUNT])
    await add_members(session, project_id, dataset_id, made)
    return await queries.get_dataset(session, project_id, dataset_id)


async def list_export_pages(database: Database, dataset: Dataset, version: int | None) -> list[bytes]:
    """Return a version of a dataset as JSON Lines, a piece for each thousand datapoints.

    Everything is read in one state of the database, so nothing that happens meanwhile shows.
    """
    pieces: list[bytes] = []
    cursor: str | None = None
    async with database.reading() as session:
        while True:
            page = await queries.list_dataset_datapoints(
                session,
                dataset.project_id,
                dataset.dataset_id,
                version=version,
                cursor=cursor,
                limit=MAX_LIMIT,
            )
            pieces.append(b"".join(render_line(one) for one in page.items))
            cursor = page.next_cursor
            if cursor is None:
                return pieces


def render_line(datapoint: Datapoint) -> bytes:
    """Return a datapoint as one line of JSON, which an import understands."""
    content = datapoint.content
    line = {
        "id": str(datapoint.datapoint_id),
        "inputs": content.inputs,
        "history": content.history,
        "ground_truth": content.ground_truth,
        "metadata": content.metadata,
        "linked_event": content.linked_event,
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _read_row(row: Any, mapping: Mapping[str, Sequence[str]]) -> DatapointContent:
    if not isinstance(row, dict):
        raise ValueError("the row is not an object")
    if any(mapping.values()):
        return map_row(row, mapping)
    if not (row.keys() <= _OWN_MEMBERS and isinstance(row.get("inputs"), dict)):
        return DatapointContent(inputs=row)
    for name, kind in (("ground_truth", dict), ("metadata", dict), ("history", list), ("linked_event", str)):
        if row.get(name) is not None and not isinstance(row[name], kind):
            raise ValueError(f"the member {name} is of the wrong kind")
    history: list[JsonValue] = row.get("history") or []
    if not all(isinstance(message, dict) for message in history):
        raise ValueError("the member history is no list of objects")
    return DatapointContent(
        inputs=row["inputs"],
        history=history,
        ground_truth=row.get("ground_truth"),
        metadata=row.get("metadata"),
        linked_event=row.get("linked_event"),
    )


def _iterate_rows(text: str, format: FileFormat) -> Iterator[tuple[int, Any]]:
    """Yield each row with the number of the line on which it stands."""
    if format == "csv":
        yield from _iterate_csv(text)
        return
    if format == "json":
        rows = _load(text, 1)
        if not isinstance(rows, list):
            raise _unreadable("It is not a JSON array.")
        yield from enumerate(rows, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _load(line, number)


def _iterate_csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not all(name.strip() for name in header):
            raise _unreadable("Its first line has to name each column once.")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise _unreadable(
                    f"Line {reader.line_num:,} has {len(row)} cells, and the first {len(header)}."
                )
            yield reader.line_num, {name: _read_cell(cell) for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise _unreadable(f"Line {reader.line_num:,}: {error}.") from error


def _read_cell(cell: str) -> Any:
    """Return a cell's text; an object or a list where it is one, as chats are written."""
    if cell[:1] in "[{" and cell:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _load(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _unreadable(f"Line {line + error.lineno - 1:,}, column {error.colno:,} is no JSON.") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(
            f"Line {line:,} holds JSON that is nested too deep or a number too long."
        ) from error


def _unreadable(
    what: str, hint: str = "Correct the file and import it again; nothing was kept."
) -> InvalidInput:
    return InvalidInput("dataset.file_unreadable", f"The file cannot be imported. {what}", hint)
