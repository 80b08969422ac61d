"""Output that is absent, cut or foreign is unreadable, and no path leads out of the subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.tools import OutputUnreadable, RawOutput
from referee.tools.reading import build_file_coverage, normalise_path, read_json, read_json_lines, shorten


def output(data: bytes, *, total: int | None = None, name: str = "report.json") -> RawOutput:
    return RawOutput(
        streams={name: data, "stderr": b"first\nlast words\n"},
        total_bytes={name: len(data) if total is None else total},
        end="exited",
        exit_code=3,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )


@pytest.mark.parametrize(
    ("data", "total", "what"),
    [
        (b"", None, "report.json is empty"),
        (b'{"a": 1', None, "not whole JSON"),
        (b'{"a": 1}', 9, "was cut at 8 of 9 bytes"),
        (b'{"a": NaN}', None, "NaN is not JSON"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"a": 1} trailing', None, "not whole JSON"),
    ],
)
def test_json_that_is_not_whole_is_unreadable_with_the_tools_last_words(
    data: bytes, total: int | None, what: str
) -> None:
    with pytest.raises(OutputUnreadable) as caught:
        read_json(output(data, total=total), "report.json")
    assert what in caught.value.message
    assert caught.value.hint == "Its last words were: last words"


def test_stream_that_is_missing_is_unreadable() -> None:
    with pytest.raises(OutputUnreadable, match=r"other\.json is missing.*exit code 3"):
        read_json(output(b"{}"), "other.json")


def test_bytes_that_are_not_utf8_do_not_stop_the_reading() -> None:
    assert read_json(output(b'["\xff"]'), "report.json") == ["�"]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers()), min_size=1, max_size=5), st.data())
def test_cut_json_lines_are_told_from_whole_ones(rows: list[dict[str, int]], data: st.DataObject) -> None:
    import json

    whole = "".join(json.dumps(row) + "\n" for row in rows).encode()
    length = data.draw(st.integers(1, len(whole) - 1))
    lines = read_json_lines(output(whole[:length]), "report.json")
    assert lines.is_cut or whole[length - 1 : length] == b"\n"
    assert read_json_lines(output(whole), "report.json").values == tuple(rows)
    assert read_json_lines(output(whole[:length], total=len(whole)), "report.json").is_cut


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b.py", "a/b.py"),
        ("./a/b.py", "a/b.py"),
        ("/root/app/a/b.py", "a/b.py"),
        ("a//b.py", "a/b.py"),
        ("a/../b.py", "b.py"),
        ("/etc/passwd", None),
        ("/root/app2/x", None),
        ("../x", None),
        ("a/../../x", None),
        ("/root/app/../x", None),
        (".", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_path_of_a_tool_becomes_a_path_of_the_subject_or_nothing(text: str, path: str | None) -> None:
    assert normalise_path(text, root="/root/app") == path


@given(st.text(alphabet="ab./\\-~ ", max_size=12))
def test_no_path_ever_leads_out_of_the_subject(text: str) -> None:
    path = normalise_path(text, root="/subject")
    assert path is None or (not path.startswith(("/", "../")) and ".." not in path.split("/"))


def test_absolute_path_without_a_known_root_is_refused() -> None:
    assert normalise_path("/subject/a.py") is None


@given(st.text(max_size=50), st.integers(2, 20))
def test_shortened_text_can_be_stored(text: str, limit: int) -> None:
    short = shorten(text + "\x00\udc80", limit=limit)
    assert len(short) <= limit
    assert "\x00" not in short
    short.encode("utf-8")


def test_coverage_counts_each_planned_file_once() -> None:
    coverage = build_file_coverage(
        ("a", "b", "c", "d"),
        unreadable={"a": "x", "zzz": "x"},
        skipped={"a": "y", "b": "y"},
        suppressed_count=2,
    )
    assert (coverage.examined_count, coverage.unreadable_count, coverage.skipped_count) == (2, 1, 1)
    assert [(hole.name, hole.kind) for hole in coverage.holes] == [("a", "unreadable"), ("b", "skipped")]
