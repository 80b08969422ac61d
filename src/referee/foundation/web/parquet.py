"""Exports as Parquet: what JSON Lines say, one column for each member.

Scalars keep their type; what has a form of its own in every row (inputs, attributes, messages) is a column of JSON
text. A file is written a group of rows at a time, so that an export of millions holds neither all rows nor the file.

Reading is not here: a small file can unfold to more than a machine has, so imports take CSV and JSON Lines.
"""

from __future__ import annotations

import asyncio
import importlib
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from fastapi import Query
from starlette.responses import StreamingResponse

from referee.core.errors import InvalidInput

__all__ = [
    "PARQUET_MEDIA_TYPE",
    "ExportFormat",
    "FormatParameter",
    "ParquetColumn",
    "answer_rows",
    "iterate_parquet",
]

PARQUET_MEDIA_TYPE: Final = "application/vnd.apache.parquet"
ROWS_PER_GROUP: Final = 5_000
BYTES_PER_GROUP: Final = 32 * 1024 * 1024
"""Of JSON: a group ends at whichever limit comes first, and all of it is in memory once."""

ExportFormat: TypeAlias = Literal["jsonl", "parquet"]
ParquetColumn: TypeAlias = tuple[tuple[str, ...], Literal["text", "integer", "number", "flag", "json"]]
"""Where a value stands in a row, from the outermost member, and what it becomes."""

FormatParameter: TypeAlias = Annotated[
    ExportFormat,
    Query(description="JSON Lines, or Parquet where the server has referee[parquet]."),
]


async def answer_rows(
    lines: AsyncIterator[bytes] | Iterable[bytes],
    columns: Mapping[str, ParquetColumn],
    format: ExportFormat,
    name: str,
) -> StreamingResponse:
    """Return rows as a file to be kept.

    Args:
        lines: Pieces of JSON Lines, each of whole lines.
        columns: Of Parquet.
        format: Which of both.
        name: Of the file, without its ending; letters, digits and hyphens.

    Raises:
        InvalidInput: Parquet is asked for, and the library is not installed.
    """
    pieces, media_type = _iterate(lines), "application/jsonl"
    if format == "parquet":
        pieces, media_type = _iterate_file(pieces, _Writer(columns)), PARQUET_MEDIA_TYPE
    return StreamingResponse(
        pieces,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}.{format}"'},
    )


def iterate_parquet(
    lines: AsyncIterator[bytes] | Iterable[bytes], columns: Mapping[str, ParquetColumn]
) -> AsyncIterator[bytes]:
    """Yield a Parquet file in pieces.

    Args:
        lines: Pieces of JSON Lines, each of whole lines.
        columns: By name, in their order.

    Raises:
        InvalidInput: The library is not installed.
    """
    return _iterate_file(_iterate(lines), _Writer(columns))


async def _iterate_file(lines: AsyncIterator[bytes], writer: _Writer) -> AsyncIterator[bytes]:
    rows: list[Any] = []
    size_bytes = 0
    async for piece in lines:
        rows += [orjson.loads(line) for line in piece.splitlines()]
        size_bytes += len(piece)
        if len(rows) >= ROWS_PER_GROUP or size_bytes >= BYTES_PER_GROUP:
            yield await asyncio.to_thread(writer.write, rows)
            rows, size_bytes = [], 0
    yield await asyncio.to_thread(writer.finish, rows)


async def _iterate(lines: AsyncIterator[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(lines, AsyncIterator):
        async for piece in lines:
            yield piece
        return
    for piece in lines:
        yield piece


class _Writer:
    """A file that is handed on as it grows."""

    def __init__(self, columns: Mapping[str, ParquetColumn]) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise InvalidInput(
                "export.parquet_not_installed",
                "This server writes no Parquet: the library is not installed.",
                "Install referee[parquet], or export JSON Lines.",
            ) from error
        kinds = {
            "text": self._arrow.string(),
            "integer": self._arrow.int64(),
            "number": self._arrow.float64(),
            "flag": self._arrow.bool_(),
            "json": self._arrow.string(),
        }
        self._columns = columns
        self._schema = self._arrow.schema([(name, kinds[kind]) for name, (_, kind) in columns.items()])
        self._grown = io.BytesIO()
        self._writer = parquet.ParquetWriter(
            _Sink(self._grown), self._schema, compression="zstd", version="2.6"
        )

    def write(self, rows: Sequence[Any]) -> bytes:
        """Add a group of rows. Returns what the file has grown by."""
        if rows:
            arrays = [
                self._arrow.array([_read(row, column) for row in rows], self._schema.field(name).type)
                for name, column in self._columns.items()
            ]
            self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        return self._take()

    def finish(self, rows: Sequence[Any]) -> bytes:
        """Add the last rows and the end of the file."""
        grown = self.write(rows)
        self._writer.close()
        return grown + self._take()

    def _take(self) -> bytes:
        grown = self._grown.getvalue()
        self._grown.seek(0)
        self._grown.truncate()
        return grown


class _Sink(io.RawIOBase):
    """Where the library writes: it counts what went by, as the parts of the file refer to their places."""

    def __init__(self, grown: io.BytesIO) -> None:
        self._held = grown
        self._place = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        size = self._held.write(data)
        self._place += size
        return size


def _read(row: Any, column: ParquetColumn) -> Any:
    path, kind = column
    value = row
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return None
    if kind == "json":
        return orjson.dumps(value).decode()
    if kind == "integer":
        return int(value)
    return value
