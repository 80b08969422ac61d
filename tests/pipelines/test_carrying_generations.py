"""Pipelines whose apps were written by models, carried to another installation with all that was said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.pipelines.test_generating import TWO_BY_TWO, OpenKitchen, open_kitchen, write_apps
from tests.pipelines.test_importing import change_row, export, list_problems, rewrite, take_in

from referee.app import Application, open_application
from referee.apps import ModelEntry, get_model, import_models
from referee.core.errors import DamagedInput, RefereeError
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.pipelines import Pipeline

__all__ = ["open_kitchen"]

Change = Callable[[dict[str, bytes]], object]


@pytest.fixture
async def other(other_settings: Settings) -> AsyncIterator[Application]:
    """Another installation, which carries out no jobs."""
    async with open_application(other_settings, is_worker=False) as opened:
        yield opened


async def read_table(application: Application, statement: str) -> list[tuple[Any, ...]]:
    async with application.database.reading() as session:
        return [tuple(row) for row in await session.execute(text(statement))]


GENERATIONS = "SELECT to_jsonb(g) - 'project_id' - 'job_id' FROM generations AS g ORDER BY generation_id"
MODELS = "SELECT to_jsonb(m) - 'project_id' - 'model_id' FROM models AS m WHERE slug <> 'deca' ORDER BY slug"
ARTIFACTS = "SELECT sha256, size_bytes, media_type FROM artifacts ORDER BY 1"


async def read_records(application: Application) -> list[dict[str, Any]]:
    """Return the record of each generation."""
    digests = await read_table(
        application, "SELECT record_sha256 FROM generations WHERE record_sha256 IS NOT NULL ORDER BY 1"
    )
    return [json.loads(await application.artifacts.read_bytes(sha256)) for (sha256,) in digests]


async def test_everything_of_a_generation_travels_once(
    open_kitchen: OpenKitchen, other: Application, tmp_path: Path
) -> None:
    path = tmp_path / "pipeline.zip"
    async with open_kitchen(write_apps) as kitchen:
        pipeline = await kitchen.run(TWO_BY_TWO)
        path.write_bytes(await export(kitchen.application, pipeline.pipeline_id))
        home = {
            name: await read_table(kitchen.application, name) for name in (GENERATIONS, MODELS, ARTIFACTS)
        }

    await take_in(other, path)
    there = {name: await read_table(other, name) for name in home}

    assert there == home
    assert (len(there[GENERATIONS]), len(there[MODELS])) == (4, 2)
    records = await read_records(other)
    for record in records:
        trace = json.loads(await other.artifacts.read_bytes(record["trace_sha256"]))
        (scope,) = trace["resourceSpans"][0]["scopeSpans"]
        assert [span["spanId"] for span in scope["spans"][1:]] == [
            call["span_id"] for call in record["calls"]
        ]
    assert await list_problems(other) == []

    await take_in(other, path)

    assert {name: await read_table(other, name) for name in home} == there


@pytest.fixture
async def carried(open_kitchen: OpenKitchen, tmp_path: Path) -> tuple[Path, Pipeline]:
    """The file of one generated app."""
    path = tmp_path / "pipeline.zip"
    async with open_kitchen(write_apps) as kitchen:
        pipeline = await kitchen.run(
            "name: one\ngenerate: {models: [pico], templates: [notes]}\nanalysis: {tools: [vulture]}\n"
        )
        path.write_bytes(await export(kitchen.application, pipeline.pipeline_id))
    return path, pipeline


def find_trace(files: dict[str, bytes]) -> str:
    """Return the entry that is the trace of the generation."""
    return next(name for name, data in files.items() if b'"resourceSpans"' in data)


def drop_trace(files: dict[str, bytes]) -> None:
    name = find_trace(files)
    lines = files["rows.jsonl"].splitlines(keepends=True)
    files["rows.jsonl"] = b"".join(
        line for line in lines if name.encode().removeprefix(b"artifacts/") not in line
    )
    del files[name]
    statistics = json.loads(files["export_metadata.json"])
    statistics["statistics"]["rows_count"] -= 1
    files["export_metadata.json"] = json.dumps(statistics).encode()


def change_trace(files: dict[str, bytes]) -> None:
    files[find_trace(files)] += b" "


ALTERATIONS: dict[str, tuple[Change, type[RefereeError], str]] = {
    "its trace is gone": (drop_trace, DamagedInput, "has not all that the record"),
    "its trace is another one": (change_trace, DamagedInput, "no file with the digest"),
    "its record is another one's": (
        lambda files: change_row(files, "generations", version=2), DamagedInput, "is of another one"),
    "a slug that leads out of the folder of apps": (
        lambda files: change_row(files, "models", slug="../../up"), DamagedInput, "cannot be a folder's name"),
    "a price beyond numbers": (
        lambda files: change_row(files, "models", input_usd_per_mtok="Infinity"), DamagedInput, "no number"),
    "a name with a line end": (
        lambda files: change_row(files, "models", name="a\nb"), DamagedInput, "a name that is none"),
}  # fmt: skip


async def test_altered_generation_is_refused_and_leaves_nothing(
    other: Application, carried: tuple[Path, Pipeline]
) -> None:
    path, _ = carried
    for what, (change, kind, said) in ALTERATIONS.items():
        with pytest.raises(kind, match=said):
            await take_in(other, rewrite(path, change))
        left = await read_table(
            other, "SELECT count(*) FROM generations UNION ALL SELECT count(*) FROM models"
        )
        assert left == [(0,), (0,)], what


async def test_model_that_is_known_here_stays_as_it_is_known(
    other: Application, carried: tuple[Path, Pipeline]
) -> None:
    path, _ = carried
    project_id = (await get_project(other.database, "default")).project_id
    mine = ModelEntry(
        model_name="elsewhere/pico", slug="pico", input_usd_per_mtok=9.0, output_usd_per_mtok=9.0
    )
    async with other.database.transaction() as session:
        await import_models(session, project_id, [mine], source="csv")

    await take_in(other, path)

    async with other.database.reading() as session:
        assert (await get_model(session, project_id, "pico")).model_name == "elsewhere/pico"


async def test_file_of_the_first_version_is_taken_without_what_it_left_out(
    other: Application, carried: tuple[Path, Pipeline]
) -> None:
    path, pipeline = carried

    def make_older(files: dict[str, bytes]) -> None:
        drop_trace(files)
        lines = (
            files["rows.jsonl"].replace(b'"schema_version":"1.1"', b'"schema_version":"1.0"', 1).splitlines()
        )
        kept = [line for line in lines if b'"table":"models"' not in line]
        files["rows.jsonl"] = b"\n".join(kept) + b"\n"
        metadata = json.loads(files["export_metadata.json"])
        metadata["statistics"]["rows_count"] -= len(lines) - len(kept)
        files["export_metadata.json"] = json.dumps(metadata).encode()

    imported = await take_in(other, rewrite(path, make_older))

    assert imported.counts == pipeline.counts
    assert await read_table(other, "SELECT count(*) FROM models") == [(0,)]
