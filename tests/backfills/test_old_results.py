"""Old results in every format become analyses of the same tables and pages as native ones."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.answers import CheckedApp
from tests.backfills.old_worlds import (
    MODEL,
    format_a,
    format_c,
    write_database,
    write_every_format,
    write_json,
    write_report_folder,
)
from tests.backfills.tool_outputs import TOOL_OUTPUTS

from referee.app import Application, open_application
from referee.backfills.old_results.assembling import AssembledTask, assemble
from referee.backfills.old_results.queries import list_items
from referee.backfills.old_results.service import import_now
from referee.backfills.old_results.sources import FoundFile, Problem, TaskFiles, open_source
from referee.backfills.old_results.spellings import Spellings
from referee.backfills.old_results.tool_files import read_tool_file
from referee.core.errors import InvalidInput
from referee.core.integrity import IntegrityProblem
from referee.foundation.access import create_project, find_local_principal, get_project
from referee.foundation.settings import Settings
from referee.web_app import create_web_app

_KEYS = st.sampled_from(
    ("results", "services", "tools", "tool_results", "payload", "analysis", "metadata", "task_id", "runs", "schema",
     "name", "bandit", "static", "issues", "status", "sarif_file", "python", "zap", "alerts", "file", "tool", "task")
) | st.text(max_size=3)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("universal"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)
"""Words of the formats in every order that they do not have."""


@pytest.fixture
async def client(database_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_web_app(database_settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(CheckedApp(app)), base_url="http://127.0.0.1:8765", timeout=60
        ) as opened,
    ):
        yield opened


@pytest.fixture
async def application(database_settings: Settings) -> AsyncIterator[Application]:
    """An application that imports in this process, and carries out no jobs."""
    async with open_application(database_settings, is_worker=False) as opened:
        yield opened


@pytest.fixture
async def project_id(application: Application) -> UUID:
    return (await get_project(application.database, "default")).project_id


async def read_all(application: Application, sql: str) -> list[tuple[Any, ...]]:
    async with application.database.reading() as session:
        return [tuple(row) for row in await session.execute(text(sql))]


LEDGER = (
    "SELECT subjects.name, tool_runs.tool, outcome, findings_count, tool_runs.service FROM tool_runs"
    " JOIN analyses USING (analysis_id) JOIN subjects USING (subject_id) ORDER BY 1, analyses.sequence, 2"
)
FOUND = (
    "SELECT tool_runs.tool, occurrences.rule_id, occurrences.severity, occurrences.message, occurrences.path,"
    " occurrences.start_line FROM occurrences JOIN tool_runs USING (tool_run_id)"
    " JOIN analyses ON analyses.analysis_id = tool_runs.analysis_id WHERE profile = '{}' ORDER BY 1, 2, 3, 4, 5, 6"
)


async def test_every_format_is_an_analysis_with_its_tools_and_findings(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    expected = write_every_format(old)
    (old / "results" / "notes.txt").write_text("not a result")
    (old / "results" / "odd.json").write_text('{"colour": "blue"}')
    answer = await client.post("/v1/result-imports", json={"source": str(old)})
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(60):
        while (done := (await client.get(answer.headers["location"])).json())["state"] not in (
            "finished",
            "failed",
        ):
            await asyncio.sleep(0.1)

    items = (await client.get(f"{answer.headers['location']}/items")).json()["items"]
    assert {i["format"]: i["findings_count"] for i in items if i["state"] == "imported"} == expected
    assert (done["imported_count"], done["quarantined_count"], done["reason"]) == (8, 2, "")
    aside = {i["place"]: i for i in items if i["state"] == "quarantined"}
    assert set(aside) == {"results/notes.txt", "results/odd.json"}
    assert "colour" in aside["results/odd.json"]["reason"]
    assert all(item["sha256"] for item in aside.values())
    imported = [item for item in items if item["analysis_id"] is not None]
    for item in imported:
        analysis = (await client.get(f"/v1/analyses/{item['analysis_id']}")).json()
        assert (analysis["profile"], analysis["findings"]["total"]) == ("imported", item["findings_count"])
    whole = next(item for item in imported if item["format"] == "B")["analysis_id"]
    page = await client.get(f"/ui/analyses/{whole}")
    tools = [run["tool"] for run in (await client.get(f"/v1/analyses/{whole}")).json()["tool_runs"]]
    assert (page.status_code, len(tools), [tool for tool in tools if tool not in page.text]) == (200, 9, [])
    shown = await client.get(f"/ui/result-imports/{done['result_import_id']}")
    assert (shown.status_code, "colour" in shown.text) == (200, True)
    retried = await client.post(f"/v1/analyses/{whole}/retry")
    assert (retried.status_code, retried.json()["code"]) == (409, "analysis.imported")


async def test_report_folder_shows_15_of_15_tasks_and_a_second_import_writes_nothing(
    application: Application, project_id: UUID, tmp_path: Path
) -> None:
    old = str(tmp_path / "old")
    tasks = write_report_folder(tmp_path / "old")
    dry, kept = await import_now(application.backfills, project_id, old, is_dry=True)
    assert (dry.imported_count, kept, await read_all(application, "SELECT 1 FROM analyses")) == (15, None, [])

    first, first_id = await import_now(application.backfills, project_id, old, is_dry=False)
    rows = await read_all(application, LEDGER)
    second, _ = await import_now(application.backfills, project_id, old, is_dry=False)
    own, _ = await import_now(
        application.backfills, project_id, str(application.settings.results_dir), is_dry=False
    )

    async with application.database.reading() as session:
        page = await list_items(session, project_id, first_id or UUID(int=0), limit=50)
    assert {item.task_id for item in page.items} == set(tasks)
    assert sum(len(item.services) == 1 for item in page.items) == 3
    assert sum(item.services == ("static", "dynamic", "performance", "ai") for item in page.items) == 12
    assert (first.imported_count, first.quarantined_count, first.findings_count) == (15, 0, 77)
    assert (first.findings_count, first.tools_count) == (dry.findings_count, dry.tools_count)
    assert [(one.imported_count, one.known_count) for one in (second, own)] == [(0, 15), (0, 15)]
    assert await read_all(application, LEDGER) == rows
    folders = {path.name for path in application.settings.results_dir.rglob("task_*") if path.is_dir()}
    assert len(folders) == 15


async def test_database_of_the_earlier_system_needs_no_file(
    application: Application, project_id: UUID, tmp_path: Path
) -> None:
    write_database(tmp_path / "old.db")
    before = (tmp_path / "old.db").read_bytes()
    counts, _ = await import_now(application.backfills, project_id, str(tmp_path / "old.db"), is_dry=False)

    assert (counts.imported_count, counts.findings_count) == (4, 6 + 8 + 5 + 4)
    assert [place for place, _ in counts.quarantined] == [
        "analysis_tasks/task_555555555555",
        "analysis_tasks/task_666666666666_static",
    ]
    assert (tmp_path / "old.db").read_bytes() == before
    ledger = await read_all(application, LEDGER)
    assert (f"{MODEL}/app3", "bandit", "succeeded", 3, "static") in ledger
    assert (f"{MODEL}/app1", "nmap", "failed", None, "dynamic") in ledger


async def test_what_referee_wrote_is_read_back_as_the_same_findings(
    application: Application, project_id: UUID, tmp_path: Path
) -> None:
    write_every_format(tmp_path / "old")
    await import_now(application.backfills, project_id, str(tmp_path / "old"), is_dry=False)
    copied = tmp_path / "copied"
    shutil.copytree(application.settings.results_dir, copied)
    first = await read_all(application, FOUND.format("imported"))
    measured = "SELECT name, value, unit FROM measurements ORDER BY 1, 2, 3"
    numbers = await read_all(application, measured)
    outcomes = await read_all(
        application, "SELECT tool, outcome, findings_count FROM tool_runs ORDER BY 1, 2, 3"
    )
    person = await find_local_principal(application.database)
    other_id = (await create_project(application.database, person, "other", "Other")).project_id
    again, _ = await import_now(application.backfills, other_id, str(copied), is_dry=False)

    assert again.quarantined == []
    assert sorted(first * 2, key=str) == sorted(
        await read_all(application, FOUND.format("imported")), key=str
    )
    assert sorted(numbers * 2) == sorted(await read_all(application, measured))
    everything = await read_all(
        application, "SELECT tool, outcome, findings_count FROM tool_runs ORDER BY 1, 2, 3"
    )
    assert sorted(outcomes * 2, key=str) == sorted(everything, key=str)
    said = [item for check in application.integrity_checks for item in [one async for one in check()]]
    assert [item for item in said if isinstance(item, IntegrityProblem)] == []


def hostile_zip(path: Path, name: str, *, mode: int = 0, data: bytes = b"{}") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "size", "code"),
    [
        ("../escape.json", 0, 2, "import.entry_refused"),
        ("/etc/escape.json", 0, 2, "import.entry_refused"),
        ("a/link.json", stat.S_IFLNK | 0o777, 2, "import.entry_refused"),
        ("/".join(["d"] * 40) + "/x.json", 0, 2, "import.entry_refused"),
        ("bomb.json", 0, 80 << 20, "import.unpacked_too_large"),
    ],
)
def test_hostile_archive_is_refused_before_anything_is_unpacked(
    tmp_path: Path, name: str, mode: int, size: int, code: str
) -> None:
    path = hostile_zip(tmp_path / "x.zip", name, mode=mode, data=b"0" * size)
    with pytest.raises(InvalidInput) as refused:
        open_source(path)
    assert refused.value.code == code


def test_hostile_folder_is_named_and_nothing_outside_of_it_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    write_json(secret, format_a("task_outside"))
    folder = tmp_path / "results" / MODEL / "app1" / "task_x"
    main = format_c("task_x")
    main["results"]["tools"]["bandit"]["sarif"]["sarif_file"] = "../../../../secret.json"
    write_json(folder / "main.json", main)
    (folder / "link.json").symlink_to(secret)
    os.mkfifo(folder / "pipe.json")
    write_json(folder / "deep.json", {"results": {}}).write_text('{"a":' * 5_000 + "1" + "}" * 5_000)
    (folder / "cut.json").write_bytes(b'{"results": {"tool_results": \0')

    source = open_source(tmp_path / "results")
    read = [one for group in source.groups.values() for one in assemble(group, Spellings())]

    problems = {one.place: one.reason for one in [*source.problems, *read] if isinstance(one, Problem)}
    assert {place.rsplit("/", 1)[1] for place in problems} == {
        "link.json",
        "pipe.json",
        "deep.json",
        "cut.json",
    }
    (task,) = [one for one in read if isinstance(one, AssembledTask)]
    bandit = next(run for run in task.analysis.runs if run.tool == "bandit")
    assert (bandit.outcome.value, bandit.report) == ("parse_error", None)
    assert "5" in bandit.reason


@pytest.mark.parametrize(
    ("spelled", "known", "slug"),
    [
        ("anthropic/claude-3.5-sonnet", "anthropic_claude-3.5-sonnet", "anthropic_claude-3.5-sonnet"),
        ("Anthropic-Claude-3-5-Sonnet", "anthropic_claude-3.5-sonnet", "anthropic_claude-3.5-sonnet"),
        ("claude-3.5-sonnet", "anthropic_claude-3.5-sonnet", "anthropic_claude-3.5-sonnet"),
        ("openai/gpt-4o", "anthropic_claude-3.5-sonnet", "openai_gpt-4o"),
        ("../../etc", "anthropic_claude-3.5-sonnet", "etc"),
    ],
)
def test_spellings_of_a_model_are_one(spelled: str, known: str, slug: str) -> None:
    assert Spellings([known]).find(spelled) == slug


@given(JSON_VALUES)
@settings(max_examples=100, deadline=None)
def test_any_json_is_read_or_set_aside_with_a_reason(document: Any) -> None:
    data = json.dumps(document).encode()
    group = TaskFiles("results", [FoundFile("results/x.json", len(data), lambda: data)])
    for one in assemble(group, Spellings()):
        assert isinstance(one, AssembledTask) or one.reason


@pytest.mark.parametrize(("tool", "output", "expected"), TOOL_OUTPUTS, ids=[one[0] for one in TOOL_OUTPUTS])
def test_output_of_a_tool_is_read(tmp_path: Path, tool: str, output: str, expected: list[str]) -> None:
    path = tmp_path / "output"
    path.write_text(output)
    (run,) = read_tool_file(path, tool, name="shop").analysis.runs
    assert run.report is not None
    places = [one.location for one in run.report.findings]
    found = [
        f"{one.severity} {one.rule_id} {place.path if place else ''}:{(place and place.start_line) or ''}"
        for one, place in zip(run.report.findings, places, strict=True)
    ]
    assert [*found, *(f"{one.name}={one.value:g}" for one in run.report.measurements)] == expected
