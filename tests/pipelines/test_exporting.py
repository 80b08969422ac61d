"""A pipeline as one zip file: everything in it, with the counts that every other surface says."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from tests.pipelines.conftest import RunPipeline
from tests.pipelines.test_existing import FOUR

from referee.app import Application
from referee.core.errors import IntegrityError
from referee.pipelines.archives import ZipStream
from referee.pipelines.exporting import stream_export


async def pack(application: Application, project_id: UUID, pipeline_id: UUID) -> zipfile.ZipFile:
    pieces = [
        piece async for piece in stream_export(application.pipelines, project_id, "default", pipeline_id)
    ]
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


async def test_export_holds_every_result_and_app_and_says_four(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    pipeline = await run_pipeline(FOUR)

    archive = await pack(application, project_id, pipeline.pipeline_id)

    assert archive.testzip() is None
    names = archive.namelist()
    metadata = json.loads(archive.read("export_metadata.json"))
    statistics = metadata["statistics"]
    assert (statistics["cells_count"], statistics["apps_count"], statistics["analyses_count"]) == (4, 4, 4)
    assert (statistics["valid_cells_count"], statistics["apps_with_source_count"]) == (4, 4)
    assert len([name for name in names if name.endswith("/manifest.json")]) == 4
    cells = [json.loads(line) for line in archive.read("cells.jsonl").splitlines()]
    assert len(cells) == 4
    assert sum(cell["findings_count"] for cell in cells) == statistics["findings_count"] >= 4
    assert archive.read("pipeline.yaml").decode() == FOUR
    source = archive.read("generated/apps/beta/app2/main.py").decode()
    assert source == (four_apps / "beta" / "app2" / "main.py").read_text()
    sums = [line.split("  ", 1) for line in archive.read("SHA256SUMS").decode().splitlines()]
    assert {name for _, name in sums} == set(names) - {"SHA256SUMS"}
    assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest for digest, name in sums)


async def test_app_that_changed_since_is_left_out_and_said_so(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    pipeline = await run_pipeline(FOUR)
    (four_apps / "alpha" / "app1" / "main.py").write_text("changed = True\n")

    archive = await pack(application, project_id, pipeline.pipeline_id)

    assert json.loads(archive.read("export_metadata.json"))["statistics"]["apps_with_source_count"] == 3
    assert not [name for name in archive.namelist() if name.startswith("generated/apps/alpha/app1/")]
    assert [name for name in archive.namelist() if name.startswith("results/alpha/app1/")]


async def test_folder_that_may_not_be_read_for_others_is_left_out(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline, tmp_path: Path
) -> None:
    pipeline = await run_pipeline(FOUR)
    for settings in (
        application.settings.model_copy(update={"host": "0.0.0.0"}),  # noqa: S104 - that others reach it is the case
        application.settings.model_copy(update={"allowed_roots": [tmp_path / "elsewhere"]}),
    ):
        room = replace(application.pipelines, settings=settings)
        pieces = [piece async for piece in stream_export(room, project_id, "default", pipeline.pipeline_id)]
        with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
            names = archive.namelist()
            counts = json.loads(archive.read("export_metadata.json"))["statistics"]
        assert not [name for name in names if name.startswith("generated/")]
        assert (counts["apps_with_source_count"], counts["analyses_count"]) == (0, 4)


async def test_altered_result_breaks_the_export(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    pipeline = await run_pipeline(FOUR)
    stored = application.settings.home / "artifacts"
    raw = max((path for path in stored.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    raw.chmod(0o600)
    raw.write_bytes(raw.read_bytes()[:-1] + b"?")

    with pytest.raises(IntegrityError):
        await pack(application, project_id, pipeline.pipeline_id)


async def pack_entries(*entries: tuple[str, bytes]) -> bytes:
    archive = ZipStream()
    pieces = [piece for name, data in entries async for piece in archive.add(name, data)]
    return b"".join([*pieces, archive.close()])


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "a\\b", "", "new\nline"])
async def test_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="no name of a file"):
        await pack_entries((name, b""))


async def test_same_things_are_packed_to_the_same_bytes() -> None:
    things = ("a", b"1" * 1000), ("b/c", b"2")
    assert await pack_entries(*things) == await pack_entries(*things)


async def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(IntegrityError, match="Two files"):
        await pack_entries(("a", b"1"), ("a", b"2"))


async def test_names_that_some_systems_read_otherwise_stay_apart(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    for name in ("a\\b.py", "a%5Cb.py"):
        (four_apps / "alpha" / "app1" / name).write_text(f"NAME = {name!r}\n")
    pipeline = await run_pipeline(FOUR)

    archive = await pack(application, project_id, pipeline.pipeline_id)

    packed = [name for name in archive.namelist() if name.startswith("generated/apps/alpha/app1/")]
    assert len(packed) == 3
    assert not [name for name in packed if "\\" in name]
