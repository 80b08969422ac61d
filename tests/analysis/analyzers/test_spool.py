"""What is on the analyzer's disk survives a restart, and half of a result does not count."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from tests.analysis.analyzers.site import make_output

from referee.analysis.analyzers.spool import Spool, SpooledResult
from referee.core.errors import StorageFull
from referee.core.ids import new_id


def put(spool: Spool, transfer_id: UUID | None = None) -> SpooledResult:
    return spool.put(
        transfer_id=transfer_id or new_id(),
        request_id=new_id(),
        tool_run_id=new_id(),
        service="static",
        output=make_output("bandit", 5_000),
    )


def test_results_wait_for_the_next_process_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.open() == []
    results = [put(spool) for _ in range(3)]
    assert Spool(tmp_path / "spool").open() == results
    assert b"".join(
        spool.read(results[0], start, 1_000) for start in range(0, results[0].total_bytes, 1_000)
    ) == (spool.path_of(results[0]).read_bytes())


def test_half_of_a_result_is_removed_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    spool.open()
    whole, headless, bodiless = put(spool), put(spool), put(spool)
    (folder / f"{headless.transfer_id.hex}.json").unlink()
    (folder / f"{bodiless.transfer_id.hex}.bundle").unlink()
    (folder / "0.json").write_text("not a result")
    assert Spool(folder).open() == [whole]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{whole.transfer_id.hex}.bundle",
        f"{whole.transfer_id.hex}.json",
    ]


def test_removed_result_is_gone_and_may_be_removed_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open()
    result = put(spool)
    spool.remove(result)
    spool.remove(result)
    assert spool.open() == []


def test_result_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "absent" / "spool")
    with pytest.raises(StorageFull, match="could not be kept"):
        put(spool)
