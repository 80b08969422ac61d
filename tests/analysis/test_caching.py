"""When an earlier answer of a tool is still true: what its key is made of, and what is never reused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import select
from tests.analysis.conftest import FLAWED, Analyse
from tests.analysis.planned import plan
from tests.analysis.reports import make_report, make_result

from referee.analysis import set_finding_link
from referee.analysis.caching import compute_cache_key, find_cached_runs, load_cached_result
from referee.analysis.finding_queries import list_findings
from referee.analysis.recording import load_occurrence_rows, record_tool_run
from referee.analysis.tables import OccurrenceRow, ToolRunRow
from referee.analysis.views import Finding
from referee.app import Application, open_application
from referee.apps.sources import SourceLimits, take_snapshot
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import AnalysisState, Outcome
from referee.foundation.settings import Settings
from referee.foundation.store.artifacts import FolderArtifacts
from referee.operations.integrity import verify_everything
from referee.tools.contract import ToolDescription, ToolPlan
from referee.tools.registry import TOOL_NAMES, get_tool

LIMITS = SourceLimits(files_count=100, total_bytes=1_000_000, file_bytes=100_000)
BANDIT = get_tool("bandit").describe()


def take(tmp_path: Path, files: dict[str, str], name: str = "app") -> SourceSnapshot:
    folder = tmp_path / name
    folder.mkdir()
    for path, text in files.items():
        (folder / path).write_text(text)
    return take_snapshot(folder, tmp_path / "snapshots", LIMITS, name=name)


def make_plan(**changes: object) -> ToolPlan:
    plan = ToolPlan(
        parameters={"skips": ("B101",), "level": "low"}, files=("a.py",), details={"advisories": "1"}
    )
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of the plan


@pytest.fixture
def snapshot(tmp_path: Path) -> SourceSnapshot:
    return take(tmp_path, {"a.py": "a = 1\n"})


Key: TypeAlias = Callable[[SourceSnapshot, Path], str]


def key(
    snapshot: SourceSnapshot,
    *,
    description: ToolDescription = BANDIT,
    lock: str = "1",
    version: str = "1.0",
    plan: ToolPlan | None = None,
) -> str:
    computed = compute_cache_key(description, lock, version, plan or make_plan(), snapshot)
    assert computed is not None
    return computed


def test_answer_about_a_running_app_has_no_key_and_is_never_reused(snapshot: SourceSnapshot) -> None:
    description = get_tool("curl").describe()

    assert compute_cache_key(description, "1", "1.0", make_plan(), snapshot) is None


CHANGES: dict[str, Key] = {
    "the tool": lambda snapshot, _: key(snapshot, description=get_tool("ruff").describe()),
    "its adapter": lambda snapshot, _: key(
        snapshot, description=replace(BANDIT, adapter_version=BANDIT.adapter_version + 1)
    ),
    "its version": lambda snapshot, _: key(snapshot, version="1.1"),
    "its pinned environment": lambda snapshot, _: key(snapshot, lock="2"),
    "a parameter": lambda snapshot, _: key(snapshot, plan=make_plan(parameters={"level": "high"})),
    "the advisories": lambda snapshot, _: key(snapshot, plan=make_plan(details={"advisories": "2"})),
    "the planned files": lambda snapshot, _: key(snapshot, plan=make_plan(files=("a.py", "b.py"))),
    "the source": lambda _, folder: key(take(folder, {"a.py": "a = 2\n"}, "changed")),
    "a file's name": lambda _, folder: key(take(folder, {"b.py": "a = 1\n"}, "renamed")),
    "another file": lambda _, folder: key(take(folder, {"a.py": "a = 1\n", "b.txt": ""}, "grown")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_key_changes_with_all_that_an_answer_depends_on(
    snapshot: SourceSnapshot, tmp_path: Path, change: Key
) -> None:
    assert change(snapshot, tmp_path) != key(snapshot)


SAME: dict[str, Key] = {
    "the folder's place and name": lambda _, folder: key(take(folder, {"a.py": "a = 1\n"}, "elsewhere")),
    "the order of parameters": lambda snapshot, _: key(
        snapshot, plan=make_plan(parameters={"level": "low", "skips": ("B101",)})
    ),
    "a tuple or a list": lambda snapshot, _: key(
        snapshot, plan=make_plan(parameters={"skips": ["B101"], "level": "low"})
    ),
    "the tool's summary": lambda snapshot, _: key(
        snapshot, description=replace(BANDIT, summary="Other words.")
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_key_does_not_change_with_what_an_answer_does_not_depend_on(
    snapshot: SourceSnapshot, tmp_path: Path, change: Key
) -> None:
    assert change(snapshot, tmp_path) == key(snapshot)


async def test_repeated_result_is_the_first_one_in_every_row(
    analyse: Analyse, subject: Path, application: Application
) -> None:
    (subject / "main.py").write_text(f"{FLAWED}\nhashlib.sha1(b'')  # nosec\n")
    _, first = await analyse(subject, "bandit")
    again, runs = await analyse(subject, "bandit")

    repeated = runs["bandit"]
    assert again.state is AnalysisState.completed
    assert repeated.cached_from_tool_run_id == first["bandit"].tool_run_id
    assert repeated.suppressed_count == first["bandit"].suppressed_count == 1
    same = (
        "outcome",
        "findings_count",
        "suppressed_count",
        "findings_digest",
        "version",
        "coverage",
        "notices",
        "raw",
    )
    assert {name: getattr(repeated, name) for name in same} == {
        name: getattr(first["bandit"], name) for name in same
    }
    async with application.database.reading() as session:
        assert await load_occurrence_rows(session, repeated.tool_run_id) == await load_occurrence_rows(
            session, first["bandit"].tool_run_id
        )
        assert await load_cached_result(session, repeated.tool_run_id) == await load_cached_result(
            session, first["bandit"].tool_run_id
        )
    report = await verify_everything(application.integrity_checks)
    assert list(report.problems) == []


async def test_repeated_result_names_the_original_never_another_repetition(
    analyse: Analyse, subject: Path
) -> None:
    _, first = await analyse(subject, "bandit")
    await analyse(subject, "bandit")
    _, third = await analyse(subject, "bandit")

    assert third["bandit"].cached_from_tool_run_id == first["bandit"].tool_run_id


async def test_equal_source_in_another_folder_is_answered_from_the_cache(
    analyse: Analyse, subject: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "main.py").write_text((subject / "main.py").read_text())
    _, first = await analyse(subject, "bandit")
    other, runs = await analyse(copy, "bandit")

    assert runs["bandit"].cached_from_tool_run_id == first["bandit"].tool_run_id
    assert other.severities.total == first["bandit"].findings_count


async def test_caller_may_refuse_the_cache(analyse: Analyse, subject: Path) -> None:
    await analyse(subject, "bandit")
    _, runs = await analyse(subject, "bandit", is_cache_allowed=False)

    assert runs["bandit"].cached_from_tool_run_id is None


async def test_only_success_is_reused(database_settings: Settings, subject: Path) -> None:
    pairs = list(zip(Outcome, TOOL_NAMES, strict=False))
    async with open_application(database_settings, is_worker=False) as application:
        planned = await plan(application, subject, *(tool for _, tool in pairs))
        async with application.database.transaction() as session:
            for outcome, tool in pairs:
                result = replace(make_result(make_report()), outcome=outcome, cache_key=outcome.value)
                assert await record_tool_run(session, planned.keys[tool], result)
            found = await find_cached_runs(
                session, [outcome.value for outcome in Outcome], project_id=planned.project_id
            )

    assert found == {"succeeded": planned.keys[dict(pairs)[Outcome.succeeded]].tool_run_id}


@pytest.mark.parametrize(("which", "damage"), [("sarif", "deleted"), ("raw", "cut"), ("source", "altered")])
async def test_answer_with_a_broken_artifact_is_asked_again_and_healed(
    analyse: Analyse, subject: Path, application: Application, which: str, damage: str
) -> None:
    _, first = await analyse(subject, "bandit")
    store = application.artifacts
    assert isinstance(store, FolderArtifacts)
    async with application.database.reading() as session:
        row = (
            await session.execute(
                select(ToolRunRow.sarif_sha256, ToolRunRow.raw_json, OccurrenceRow.source_sha256)
                .join(OccurrenceRow, OccurrenceRow.tool_run_id == ToolRunRow.tool_run_id)
                .limit(1)
            )
        ).one()
    raw = row.raw_json["report.json"]
    digests = {"sarif": row.sarif_sha256, "raw": raw["sha256"], "source": row.source_sha256}
    DAMAGES[damage](store.path_of(digests[which]))

    again, runs = await analyse(subject, "bandit")

    assert again.state is AnalysisState.completed
    assert runs["bandit"].cached_from_tool_run_id is None
    assert runs["bandit"].findings_count == first["bandit"].findings_count


def _cut(path: Path) -> None:
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1])


def _alter(path: Path) -> None:
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


DAMAGES: dict[str, Callable[[Path], None]] = {"deleted": Path.unlink, "cut": _cut, "altered": _alter}


async def test_finding_that_was_linked_again_rejoins_from_the_cache(
    analyse: Analyse, application: Application, project_id: UUID, subject: Path
) -> None:
    await analyse(subject, "bandit")
    taken_out = next(found for found in await _list(application, project_id) if found.cluster_id is not None)
    for is_linked in (False, True):
        await set_finding_link(
            application.analysis, project_id, taken_out.finding_id, is_linked=is_linked, actor="somebody"
        )
    _, runs = await analyse(subject, "bandit")

    assert runs["bandit"].cached_from_tool_run_id is not None
    rejoined = next(
        found for found in await _list(application, project_id) if found.finding_id == taken_out.finding_id
    )
    assert rejoined.cluster_id == taken_out.cluster_id


async def test_finding_that_moved_and_came_back_is_linked_by_its_place_of_now(
    analyse: Analyse, application: Application, project_id: UUID, subject: Path
) -> None:
    flawed = (subject / "main.py").read_text()
    await analyse(subject, "bandit")
    before = {found.fingerprint: found.cluster_id for found in await _list(application, project_id)}
    (subject / "main.py").write_text(f"# moved\n\n{flawed}")
    await analyse(subject, "bandit")
    (subject / "main.py").write_text(flawed)
    _, runs = await analyse(subject, "bandit")

    assert runs["bandit"].cached_from_tool_run_id is not None
    assert {found.fingerprint: found.cluster_id for found in await _list(application, project_id)} == before


async def _list(application: Application, project_id: UUID) -> tuple[Finding, ...]:
    async with application.database.reading() as session:
        return (await list_findings(session, project_id, limit=1000)).items
