"""An exported pipeline in another installation: the same numbers, all of it or nothing, and no trust in the file."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from tests.conftest import fresh_database
from tests.pipelines.conftest import RunPipeline, add_four_apps, wait_for_end
from tests.pipelines.test_existing import FOUR
from tests.web_site import open_site

from referee.app import Application, open_application
from referee.core.errors import Conflict, DamagedInput, InvalidInput, PayloadTooLarge, RefereeError
from referee.core.integrity import IntegrityProblem
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.settings import Settings, load_settings
from referee.foundation.store.server import ServerLease
from referee.pipelines import Pipeline, PipelineRequest, create_pipeline
from referee.pipelines.comparing.service import compare_pipeline
from referee.pipelines.exporting import stream_export
from referee.pipelines.import_surface import create_import_routes
from referee.pipelines.importing import import_pipeline
from referee.pipelines.models import CellModel, PipelineModel
from referee.pipelines.queries import list_cells

Change = Callable[[dict[str, bytes]], object]


@pytest.fixture
async def other(other_settings: Settings) -> AsyncIterator[Application]:
    """Another installation, which carries out no jobs."""
    async with open_application(other_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def pipeline(four_apps: Path, run_pipeline: RunPipeline) -> Pipeline:
    """Four cells that have ended, in the first installation."""
    return await run_pipeline(FOUR)


async def export(application: Application, pipeline_id: UUID) -> bytes:
    """Return the file of a pipeline."""
    project = await get_project(application.database, "default")
    pieces = stream_export(application.pipelines, project.project_id, "default", pipeline_id)
    return b"".join([piece async for piece in pieces])


@pytest.fixture(scope="module")
def exported(
    shared_server: ServerLease, tools_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, Path]:
    """The file of such a pipeline and the folder of its apps, made once for most tests."""
    base = tmp_path_factory.mktemp("exported")
    made = load_settings(home=base / "home", tools_dir=tools_dir, database_idle_stop_s=0.0)

    async def run(settings: Settings) -> bytes:
        async with open_application(settings, is_worker=True) as opened:
            project = await get_project(opened.database, "default")
            await add_four_apps(opened, project.project_id, base / "models")
            accepted = await create_pipeline(
                opened.pipelines, opened.engine, project.project_id, PipelineRequest(definition_text=FOUR)
            )
            await wait_for_end(opened, project.project_id, accepted.pipeline_id)
            return await export(opened, accepted.pipeline_id)

    with fresh_database(made, shared_server) as settings:
        return asyncio.run(run(settings)), base / "models"


@pytest.fixture
def file(exported: tuple[bytes, Path], tmp_path: Path) -> Path:
    """That file."""
    path = tmp_path / "pipeline.zip"
    path.write_bytes(exported[0])
    return path


async def take_in(application: Application, path: Path) -> Pipeline:
    project = await get_project(application.database, "default")
    return (await import_pipeline(application.pipelines, project.project_id, path)).pipeline


async def read_cells(application: Application, pipeline_id: UUID) -> list[dict[str, Any]]:
    async with application.database.reading() as session:
        page = await list_cells(session, pipeline_id)
    return [CellModel.of(cell).model_dump(mode="json") for cell in page.items]


async def read_comparison(application: Application, pipeline_id: UUID) -> str:
    project = await get_project(application.database, "default")
    return repr(await compare_pipeline(application.pipelines, project.project_id, pipeline_id))


async def list_problems(application: Application) -> list[IntegrityProblem]:
    return [
        said
        for check in application.integrity_checks
        async for said in check()
        if isinstance(said, IntegrityProblem)
    ]


async def count_everything(application: Application) -> dict[str, int]:
    tables = (
        "pipelines",
        "cells",
        "apps",
        "analyses",
        "tool_runs",
        "findings",
        "occurrences",
        "manifests",
        "artifacts",
    )
    async with application.database.reading() as session:
        return {
            table: (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()  # noqa: S608
            for table in tables
        }


def rewrite(path: Path, change: Change) -> Path:
    """Return a copy of an archive with some files changed and the digests made right again."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != "SHA256SUMS"}
    change(files)
    files["SHA256SUMS"] = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()
    ).encode()
    copy = path.with_name("changed.zip")
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return copy


def change_row(files: dict[str, bytes], table: str, **values: object) -> None:
    """Change columns of the first row of a table."""
    lines = [json.loads(line) for line in files["rows.jsonl"].splitlines()]
    row = next(line["row"] for line in lines if line.get("table") == table)
    row.update(values)
    files["rows.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()


def change_json(files: dict[str, bytes], name: str, **values: object) -> None:
    """Change values of a document."""
    files[name] = json.dumps({**json.loads(files[name]), **values}).encode()


def damage(path: Path, share: float) -> None:
    """Change a byte in the middle of what one entry was packed to."""
    with zipfile.ZipFile(path) as archive:
        packed = [info for info in archive.infolist() if info.compress_size > 20]
    entry = packed[int(len(packed) * share)]
    data = bytearray(path.read_bytes())
    name_bytes, extra_bytes = struct.unpack_from("<HH", data, entry.header_offset + 26)
    data[entry.header_offset + 30 + name_bytes + extra_bytes + entry.compress_size // 2] ^= 0xFF
    path.write_bytes(data)


async def test_imported_pipeline_has_the_numbers_of_the_exported_one(
    application: Application, other: Application, pipeline: Pipeline, tmp_path: Path
) -> None:
    path = tmp_path / "pipeline.zip"
    path.write_bytes(await export(application, pipeline.pipeline_id))

    imported = await take_in(other, path)

    here = PipelineModel.of(pipeline).model_dump(mode="json", exclude={"job_id"})
    there = PipelineModel.of(imported).model_dump(mode="json", exclude={"job_id"})
    assert there == here
    assert await read_cells(other, imported.pipeline_id) == await read_cells(
        application, pipeline.pipeline_id
    )
    assert await read_comparison(other, imported.pipeline_id) == await read_comparison(
        application, pipeline.pipeline_id
    )
    counts = await count_everything(application)
    assert counts["findings"] >= 4
    assert await count_everything(other) == counts
    assert await list_problems(other) == []


async def test_imported_app_has_its_source_and_no_folder_of_the_machine_it_came_from(
    other: Application, file: Path, exported: tuple[bytes, Path]
) -> None:
    await take_in(other, file)

    async with other.database.reading() as session:
        rows = await session.execute(text("SELECT path FROM apps WHERE model = 'beta' AND number = 2"))
        path = Path(rows.scalar_one())
    assert path.is_relative_to(other.settings.generated_dir)
    assert (path / "main.py").read_bytes() == (exported[1] / "beta" / "app2" / "main.py").read_bytes()


async def test_result_of_another_installation_answers_no_analysis_of_this_one(
    other: Application, file: Path
) -> None:
    await take_in(other, file)

    async with other.database.reading() as session:
        rows = await session.execute(text("SELECT count(*) FROM tool_runs WHERE cache_key IS NOT NULL"))
        assert rows.scalar_one() == 0


async def test_same_file_twice_is_one_pipeline(other: Application, file: Path) -> None:
    project = await get_project(other.database, "default")
    first = await import_pipeline(other.pipelines, project.project_id, file)
    counts = await count_everything(other)

    second = await import_pipeline(other.pipelines, project.project_id, file)

    assert (first.is_new, second.is_new) == (True, False)
    assert second.pipeline == first.pipeline
    assert await count_everything(other) == counts


async def test_pipeline_is_not_imported_where_it_is_at_home(
    application: Application, pipeline: Pipeline, tmp_path: Path
) -> None:
    path = tmp_path / "pipeline.zip"
    path.write_bytes(await export(application, pipeline.pipeline_id))

    with pytest.raises(Conflict, match="here already"):
        await take_in(application, path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_damaged_file_leaves_nothing(other: Application, file: Path, share: float) -> None:
    before = await count_everything(other)
    damage(file, share)

    with pytest.raises(RefereeError):
        await take_in(other, file)

    assert await count_everything(other) == before
    assert not list(other.settings.results_dir.rglob("task_*"))


async def test_cut_file_is_told_as_damaged(other: Application, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])

    with pytest.raises(DamagedInput, match="damaged"):
        await take_in(other, file)


ALTERATIONS: dict[str, tuple[Change, type[RefereeError]]] = {
    "a finding's message": (
        lambda files: change_row(files, "occurrences", message="Nothing to see."), DamagedInput),
    "a tool's outcome": (lambda files: change_row(files, "tool_runs", reason="It was perfect."), DamagedInput),
    "an analysis of another pipeline": (
        lambda files: change_row(files, "cells", analysis_id="01900000-0000-7000-8000-000000000000"), DamagedInput),
    "result files elsewhere": (
        lambda files: change_row(files, "analyses", results_path="../../elsewhere/task_0"), DamagedInput),
    "a valid cell less": (
        lambda files: change_row(files, "cells", is_valid=False), DamagedInput),
    "a number that is none": (lambda files: change_row(files, "cells", position="first"), DamagedInput),
    "a pipeline that goes on": (
        lambda files: change_row(files, "pipelines", state="running", finished_at=None), Conflict),
    "another source": (
        lambda files: files.update({"generated/apps/beta/app2/main.py": b"print('harmless')\n"}), DamagedInput),
    "a source less": (lambda files: files.pop("generated/apps/beta/app2/main.py"), DamagedInput),
    "rows that are gone": (lambda files: files.update({"rows.jsonl": files["rows.jsonl"][:-70]}), DamagedInput),
    "an event less": (
        lambda files: files.update({"rows.jsonl": b"".join(files["rows.jsonl"].splitlines(keepends=True)[:-1])}),
        DamagedInput),
    "a row of others": (
        lambda files: change_row(files, "occurrences", finding_id="01900000-0000-7000-8000-000000000000"),
        DamagedInput),
    "no rows": (lambda files: files.pop("rows.jsonl"), DamagedInput),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERATIONS)
async def test_altered_file_with_right_digests_leaves_nothing(
    other: Application, file: Path, what: str
) -> None:
    before = await count_everything(other)
    change, error = ALTERATIONS[what]

    with pytest.raises(error):
        await take_in(other, rewrite(file, change))

    assert await count_everything(other) == before
    assert not list(other.settings.results_dir.rglob("task_*"))
    assert not list(other.settings.generated_dir.rglob("main.py"))


def find_result(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith("/files/manifest.json"))


UNKNOWN: dict[str, Change] = {
    "export_metadata.json": lambda files: change_json(files, "export_metadata.json", schema_version="9.0"),
    "rows.jsonl": lambda files: files.update(
        {"rows.jsonl": files["rows.jsonl"].replace(b'"schema_version":"1.1"', b'"schema_version":"9.0"', 1)}
    ),
    "manifest.json": lambda files: change_json(files, find_result(files), schema_version="9.0"),
    "a column": lambda files: files.update(
        {"rows.jsonl": files["rows.jsonl"].replace(b'"row":{', b'"row":{"not_yet":1,', 1)}
    ),
    "a table": lambda files: files.update(
        {"rows.jsonl": files["rows.jsonl"] + b'{"table":"not_yet","row":{}}\n'}
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
async def test_unknown_schema_is_put_aside_with_the_reason(other: Application, file: Path, what: str) -> None:
    before = await count_everything(other)
    changed = rewrite(file, UNKNOWN[what])

    with pytest.raises(InvalidInput) as caught:
        await take_in(other, changed)

    assert caught.value.code == "import.schema_unknown"
    (kept,) = (other.settings.home / "quarantine").glob("*.zip")
    assert kept.read_bytes() == changed.read_bytes()
    assert caught.value.message in kept.with_suffix(".txt").read_text()
    assert str(kept) in caught.value.hint
    assert await count_everything(other) == before


def write_zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def make_link(name: str) -> zipfile.ZipInfo:
    link = zipfile.ZipInfo(name)
    link.external_attr = 0o120777 << 16
    return link


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "results/../../up", "a\\b"])
async def test_name_that_leads_out_is_refused(other: Application, tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedInput, match="no name of a file"):
        await take_in(other, write_zip(tmp_path / "hostile.zip", (name, b"x")))


async def test_link_is_refused(other: Application, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a link"):
        await take_in(other, write_zip(tmp_path / "hostile.zip", (make_link("link"), b"/etc/passwd")))


async def test_archive_that_unpacks_to_far_more_is_refused_before_it_is_unpacked(
    other: Application, tmp_path: Path
) -> None:
    bomb = write_zip(tmp_path / "hostile.zip", ("zeros", bytes(200 << 20)))

    with pytest.raises(PayloadTooLarge, match="would unpack to"):
        await take_in(other, bomb)


async def test_size_that_an_entry_lies_about_is_found(other: Application, tmp_path: Path) -> None:
    small = write_zip(tmp_path / "hostile.zip", ("SHA256SUMS", b"x" * 1000))
    data = small.read_bytes()
    at = data.index(b"PK\x01\x02") + 24  # the unpacked size in the table of contents
    small.write_bytes(data[:at] + struct.pack("<I", 10) + data[at + 4 :])

    with pytest.raises(DamagedInput):
        await take_in(other, small)


async def test_file_larger_than_allowed_is_refused(other: Application, file: Path) -> None:
    project = await get_project(other.database, "default")
    settings = other.settings.model_copy(update={"max_import_bytes": 1_000})

    with pytest.raises(PayloadTooLarge, match=r"at most 1,000 are imported"):
        await import_pipeline(replace(other.pipelines, settings=settings), project.project_id, file)


async def test_file_that_is_no_export_says_so(other: Application, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no exported pipeline"):
        await take_in(other, write_zip(tmp_path / "photos.zip", ("photo", b"x")))


async def test_file_is_taken_by_the_operation_and_by_the_form(other: Application, file: Path) -> None:
    routes = create_import_routes(lambda: other.pipelines)
    async with open_site(other.settings, other.database, *routes) as site:
        first = await _post(site, file)
        second = await _post(site, file)
        form = await site.post(
            "/ui/pipelines/import", files={"file": ("p.zip", io.BytesIO(file.read_bytes()))}
        )

    assert (first.status_code, second.status_code, form.status_code) == (201, 200, 303)
    assert second.json() == first.json()
    assert form.headers["location"] == f"/ui/pipelines/{first.json()['pipeline_id']}"


async def _post(site: httpx.AsyncClient, file: Path) -> httpx.Response:
    return await site.post(
        "/v1/pipelines/import", content=file.read_bytes(), headers={"Content-Type": "application/zip"}
    )


async def test_app_that_is_here_as_another_one_is_not_mixed_with_it(
    other: Application, file: Path, tmp_path: Path
) -> None:
    project = await get_project(other.database, "default")
    await add_four_apps(other, project.project_id, tmp_path / "mine")
    before = await count_everything(other)

    with pytest.raises(Conflict, match="An app of the same model and number is here already"):
        await take_in(other, file)

    assert await count_everything(other) == before


async def test_rows_of_another_project_are_not_touched(other: Application, file: Path) -> None:
    await take_in(other, file)
    elsewhere = await create_project(
        other.database, await find_local_principal(other.database, "default"), "elsewhere", "Elsewhere"
    )
    before = await count_everything(other)

    with pytest.raises(Conflict, match="is here already"):
        await import_pipeline(other.pipelines, elsewhere.project_id, file)

    assert await count_everything(other) == before
