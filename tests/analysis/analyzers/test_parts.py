"""A result that arrives in pieces of any size, through cuts at any offset, is the same bytes in the same files."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from referee.analysis.analyzers.bundles import write_bundle
from referee.analysis.analyzers.parts import PartFiles, remove_part
from referee.analysis.running import ToolOutput
from referee.core.ids import new_id
from referee.tools.contract import RawOutput, ToolPlan

OWN_FILE_BYTES = 500


def write_result(sizes: list[int]) -> bytes:
    """Return a result with streams of these sizes."""
    streams = {f"part{number}": os.urandom(size) for number, size in enumerate(sizes)}
    raw = RawOutput(
        streams=streams,
        total_bytes={name: len(data) for name, data in streams.items()},
        end="exited",
        exit_code=0,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )
    file = io.BytesIO()
    write_bundle(file, new_id(), ToolOutput(raw=raw, plan=ToolPlan(parameters={}), version="1"))
    return file.getvalue()


def find_offset(data: bytes, size: int) -> int:
    """Return where the last stream, of this size, begins."""
    return len(data) - size


def open_part(folder: Path, data: bytes) -> PartFiles:
    return PartFiles(folder / "transfer.part", len(data), own_file_bytes=OWN_FILE_BYTES)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 7, 499, 500, 501, 2_000]), min_size=1, max_size=5),
    piece_bytes=st.integers(50, 3_000),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
def test_bytes_are_the_same_after_cuts_and_restarts(
    sizes: list[int], piece_bytes: int, cuts: list[float]
) -> None:
    data = write_result(sizes)
    with tempfile.TemporaryDirectory() as folder:
        received = 0
        for share in [*sorted(cuts), 1.0]:
            files = open_part(Path(folder), data)  # as after a restart: everything is read again
            known_bytes, digests = files.open(received)
            assert known_bytes == received
            until = int(share * len(data))
            while received < until:
                piece = data[received : min(received + piece_bytes, until)]
                digests = files.write(received, piece, digests)
                received += len(piece)
            files.flush()
            received = max(0, received - int(share * 300)) if share < 1 else received
        with files.open_whole() as file:
            assert file.read() == data
        assert digests.whole.hexdigest() == hashlib.sha256(data).hexdigest()
        own = sorted(Path(folder).glob("*.part.*"))
        assert [path.stat().st_size for path in own] == [size for size in sizes if size >= OWN_FILE_BYTES]
        remove_part(Path(folder) / "transfer.part")
        assert list(Path(folder).iterdir()) == []


def test_stream_of_its_own_file_is_told_with_its_digest(tmp_path: Path) -> None:
    data = write_result([10, 2_000])
    files = open_part(tmp_path, data)
    _, digests = files.open(0)
    digests = files.write(0, data, digests)
    found = files.find_file(find_offset(data, 2_000), 2_000, digests)
    assert found is not None
    assert found.path.read_bytes() == data[-2_000:]
    assert found.sha256 == hashlib.sha256(data[-2_000:]).hexdigest()
    assert files.find_file(find_offset(data, 2_000) + 1, 1_999, digests) is None


def test_file_that_has_become_an_artifact_is_never_changed(tmp_path: Path) -> None:
    data = write_result([2_000])
    files = open_part(tmp_path, data)
    _, digests = files.open(0)
    files.write(0, data, digests)
    os.link(tmp_path / "transfer.part.0", tmp_path / "artifact")
    known_bytes, digests = open_part(tmp_path, data).open(len(data) - 100)
    assert known_bytes == find_offset(data, 2_000)
    assert (tmp_path / "artifact").read_bytes() == data[-2_000:]
    assert (tmp_path / "transfer.part.0").read_bytes() == b""  # another file, to be written anew


def test_what_the_disk_lost_is_asked_for_again(tmp_path: Path) -> None:
    data = write_result([2_000, 2_000])
    files = open_part(tmp_path, data)
    _, digests = files.open(0)
    files.write(0, data, digests)
    os.truncate(tmp_path / "transfer.part.0", 700)
    known_bytes, digests = open_part(tmp_path, data).open(len(data))
    assert known_bytes == len(data) - 2_000 - 8 - 2_000 + 700
    assert digests.whole.hexdigest() == hashlib.sha256(data[:known_bytes]).hexdigest()


@pytest.mark.parametrize(
    "data", [b"x" * 5_000, b"RFRBUND1\xff\xff\xff\xff" + b"x" * 5_000, b"RFRBUND1" + bytes(5_000)]
)
def test_what_is_no_result_lies_in_one_file(tmp_path: Path, data: bytes) -> None:
    files = open_part(tmp_path, data)
    _, digests = files.open(0)
    files.write(0, data, digests)
    assert [path.name for path in tmp_path.iterdir()] == ["transfer.part"]
    assert (tmp_path / "transfer.part").read_bytes() == data
