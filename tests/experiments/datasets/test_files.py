"""Datapoints from files and back: all rows or none, and the line of what cannot be read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.programs import Referee

from referee.core.errors import InvalidInput
from referee.experiments.datasets.files import find_format, parse_file
from referee.experiments.datasets.views import DatapointContent

NO_MAPPING: dict[str, list[str]] = {}
CSV = (
    'question,answer,chat,level\r\n"a, ""b""",1,"[{""role"": ""user"", ""content"": ""Hi""}]",2\r\nc,,[],\r\n'
)
STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


def test_columns_go_where_the_mapping_says() -> None:
    mapping = {"inputs": ["question"], "ground_truth": ["answer"], "history": ["chat"]}
    assert parse_file(CSV.encode(), "csv", mapping) == [
        DatapointContent(
            inputs={"question": 'a, "b"'},
            ground_truth={"answer": "1"},
            history=[{"role": "user", "content": "Hi"}],
            metadata={"level": "2"},
        ),
        DatapointContent(inputs={"question": "c"}, ground_truth={"answer": ""}, metadata={"level": ""}),
    ]


def test_without_a_mapping_everything_is_an_input() -> None:
    (only,) = parse_file(b'\xef\xbb\xbf[{"q": 1, "a": null}]', "json", NO_MAPPING)
    assert only == DatapointContent(inputs={"q": 1, "a": None})


@pytest.mark.parametrize(
    ("data", "format", "said"),
    [
        (b"", "csv", "no rows"),
        (b"a,b\n1\n", "csv", "Line 2 has 1 cells, and the first 2"),
        (b"a,a\n1,2\n", "csv", "name each column once"),
        (b'a\n"open\n', "csv", "Line 2: "),
        (b"\n\n", "jsonl", "no rows"),
        (b'{"a": 1}\n{"a":\n', "jsonl", "Line 2, column"),
        (b'{"a": 1}\n7\n', "jsonl", "Line 2: the row is not an object"),
        (b'{"a": NaN}\n', "jsonl", "Line 1: NaN"),
        (b'{"a": "\\ud800"}\n', "jsonl", "Line 1: text holds"),
        (b'{"inputs": {}, "history": [1]}\n', "jsonl", "Line 1: the member history"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", "jsonl", "nested too deep"),
        (b'{"a": 1}', "json", "not a JSON array"),
        (b"\xff\xfe", "json", "not UTF-8"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_read_is_named_with_its_line(data: bytes, format: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_file(data, format, NO_MAPPING)  # type: ignore[arg-type]  # one of the known words
    assert said in refusal.value.message


def test_name_of_a_file_says_its_format() -> None:
    assert [find_format(name) for name in ("a.CSV", "a.jsonl", "a.ndjson", "a.b.json")] == [
        "csv",
        "jsonl",
        "jsonl",
        "json",
    ]
    with pytest.raises(InvalidInput, match="Parquet"):
        find_format("rows.parquet")


@given(st.dictionaries(STORABLE, st.none() | st.booleans() | st.integers() | STORABLE | st.lists(STORABLE)))
def test_written_line_is_read_back(inputs: dict[str, object]) -> None:
    line = json.dumps({"inputs": inputs, "history": [], "ground_truth": None}, ensure_ascii=False).encode()
    (read,) = parse_file(line, "jsonl", NO_MAPPING)
    assert read.inputs == inputs


async def test_import_by_http_is_all_or_nothing_and_comes_out_again(client: httpx.AsyncClient) -> None:
    dataset_id = (await client.post("/v1/datasets", json={"name": "cases"})).json()["result"]["insertedId"]
    path = f"/v1/datasets/{dataset_id}"
    fields = {"inputs": "question", "ground_truth": "answer", "history": "chat"}
    done = await client.post(f"{path}/import", data=fields, files={"file": ("cases.csv", CSV.encode())})
    assert done.json() == {"dataset_id": dataset_id, "version": 2, "imported_count": 2}
    broken = await client.post(f"{path}/import", files={"file": ("x.jsonl", b'{"a": 1}\n{')})
    assert (broken.status_code, "Line 2" in broken.json()["message"]) == (400, True)
    nameless = await client.post(f"{path}/import", files={"file": ("x.parquet", b"PAR1")})
    assert (nameless.status_code, nameless.json()["errorCode"]) == (400, "dataset.file_unreadable")
    assert (await client.get(path)).json()["version"] == 2

    exported = await client.get(f"{path}/export")
    assert exported.headers["content-disposition"].endswith(f'{dataset_id}-v2.jsonl"')
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [line["inputs"] for line in lines] == [{"question": 'a, "b"'}, {"question": "c"}]
    again = await client.post(f"{path}/import", files={"file": ("x.jsonl", exported.content)})
    assert again.json()["imported_count"] == 2
    first = await client.get(f"{path}/export", params={"version": 2})
    assert first.content == exported.content
    assert (await client.get(f"{path}/export", params={"version": 9})).status_code == 404
    as_parquet = await client.get(f"{path}/export", params={"version": 2, "format": "parquet"})
    assert as_parquet.headers["content-disposition"].endswith(f'{dataset_id}-v2.parquet"')
    rows = pyarrow.parquet.read_table(io.BytesIO(as_parquet.content)).to_pylist()
    texts = ("id", "linked_event")
    assert [
        {name: value if name in texts or value is None else json.loads(value) for name, value in row.items()}
        for row in rows
    ] == lines


def test_commands_make_fill_show_and_write_a_dataset(referee: Referee, tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_bytes(CSV.encode())
    dataset_id = referee("dataset", "create", "cases").stdout.strip()
    imported = referee(
        "dataset", "import", dataset_id, str(file), "--inputs", "question", "--history", "chat"
    )
    assert imported.stdout == "Imported 2 datapoints; the dataset has 2 in version 2.\n"
    listed = json.loads(referee("dataset", "list", "name:cases", "--json").stdout)
    assert [(one["id"], len(one["datapoints"])) for one in listed["items"]] == [(dataset_id, 2)]
    shown = referee("dataset", "show", dataset_id)
    assert ("cases, version 2 of 2" in shown.stdout, "question" in shown.stdout) == (True, True)
    out = tmp_path / "out.jsonl"
    referee("dataset", "export", dataset_id, "--output", str(out))
    assert referee("dataset", "export", dataset_id).stdout == out.read_text()
    assert len(out.read_text().splitlines()) == 2
    wrong = referee("dataset", "import", dataset_id, str(tmp_path / "none.csv"))
    assert (wrong.returncode, wrong.stderr.startswith("Error: The file")) == (2, True)
    assert referee("dataset", "show", "00000000-0000-7000-8000-000000000000").returncode == 4
