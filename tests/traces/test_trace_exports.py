"""Spans as Parquet: the same rows as JSON Lines has, with columns of their own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pyarrow.parquet
from tests.traces.requests import START_NS, TRACE, make_request, make_span

from referee.foundation.web import parquet
from referee.foundation.web.parquet import iterate_parquet

PROTOBUF = {"Content-Type": "application/x-protobuf"}


async def send(client: httpx.AsyncClient, count: int) -> None:
    spans = [
        make_span(
            number,
            parent=None if number == 1 else 1,
            name=f"step {number}",
            start_ns=START_NS + number,
            gen_ai__request__model="m-1",
            gen_ai__usage__input_tokens=number,
            note="Zürich \u2028 {",
        )
        for number in range(1, count + 1)
    ]
    (await client.post("/v1/traces", content=make_request(spans), headers=PROTOBUF)).raise_for_status()


async def test_parquet_says_what_json_lines_say(client: httpx.AsyncClient) -> None:
    await send(client, 1_200)
    answer = await client.get("/v1/traces/export", params={"format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == 'attachment; filename="traces.parquet"'
    rows = pyarrow.parquet.read_table(io.BytesIO(answer.content)).to_pylist()
    lines = [json.loads(line) for line in (await client.get("/v1/traces/export")).text.split("\n") if line]
    assert len(rows) == len(lines) == 1_200
    first, line = rows[1], lines[1]
    assert [first["trace_id"], first["event_name"], first["status"]] == [TRACE.hex(), "step 2", "unset"]
    assert [first["start_time_unix_nano"], first["prompt_tokens"], first["is_counted"]] == [
        START_NS + 2,
        2,
        True,
    ]
    assert [row["event_id"] for row in rows] == [one["event"]["event_id"] for one in lines]
    assert json.loads(first["metadata"]) == line["event"]["metadata"]
    assert json.loads(first["resource"]) == line["resource"]


async def test_a_file_without_rows_has_its_columns(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/traces/export", params={"format": "parquet", "filter": "name:nothing"})
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert (table.num_rows, table.column_names[:2]) == (0, ["trace_id", "span_id"])


async def test_a_format_that_is_not_known_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/traces/export", params={"format": "xlsx"})
    assert answer.status_code == 400


async def test_rows_are_written_group_by_group() -> None:
    piece = b'{"id": "a", "inner": {"number": 1.5, "text": null}}\n' * (parquet.ROWS_PER_GROUP // 2)
    columns: dict[str, parquet.ParquetColumn] = {
        "id": (("id",), "text"),
        "number": (("inner", "number"), "number"),
        "text": (("inner", "text", "deeper"), "text"),
    }
    pieces = [piece async for piece in iterate_parquet([piece] * 5, columns)]
    file = pyarrow.parquet.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert (len(pieces), file.metadata.num_row_groups, file.metadata.num_rows) == (3, 3, 12_500)
    assert file.read_row_group(2).to_pylist()[-1] == {"id": "a", "number": 1.5, "text": None}


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('no library')\n")
    code = (
        "from referee.core.errors import RefereeError\n"
        "from referee.foundation.web.parquet import iterate_parquet\n"
        "try:\n    iterate_parquet([], {})\n"
        "except RefereeError as error:\n    print(error.code, error.hint)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert said.stdout == ("export.parquet_not_installed Install referee[parquet], or export JSON Lines.\n")
