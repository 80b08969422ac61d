"""``referee verify`` names whatever was deleted, cut or altered, and says nothing of what is as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import text
from tests.analysis.conftest import FLAWED, Analyse

from referee.analysis import Analysis
from referee.app import Application
from referee.core.ids import format_id
from referee.core.integrity import IntegrityReport
from referee.foundation.settings import Settings
from referee.operations.integrity import verify_everything

PARTS = ("measurements", "occurrences", "tool_run_attempts")
"""Tables with rows of a tool run."""

Tamper: TypeAlias = Callable[[Application, Analysis], Awaitable[None]]


async def test_every_kind_of_damage_is_found_and_named(
    application: Application, analyse: Analyse, tmp_path: Path
) -> None:
    analyses = {}
    for number, (name, (tamper, _)) in enumerate(DAMAGES.items()):
        analyses[name] = await analyse_one(analyse, tmp_path / f"subject-{number}", number)
        await tamper(application, analyses[name])

    report = await verify_everything(application.integrity_checks)

    found = await find_damaged(application, analyses, report)
    assert found == {name: codes for name, (_, codes) in DAMAGES.items()}


async def test_command_ends_with_0_when_all_is_well_and_with_7_when_not(
    application: Application, analyse: Analyse, subject: Path, database_settings: Settings
) -> None:
    analysis, _ = await analyse(subject, "bandit")
    clean = verify(database_settings)
    await alter_result_file(application, analysis)
    damaged = verify(database_settings)

    assert (clean.returncode, clean.stdout) == (0, "Everything is as it was recorded.\n")
    assert damaged.returncode == 7
    assert format_id("analysis", analysis.analysis_id) in damaged.stdout
    assert "was altered" in damaged.stdout
    assert "1 problems." in damaged.stdout


def verify(settings: Settings) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    return subprocess.run(
        [sys.executable, "-m", "referee", "verify"],
        env={**os.environ, "REFEREE_HOME": str(settings.home), "REFEREE_DATABASE_URL": settings.database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def analyse_one(analyse: Analyse, folder: Path, number: int) -> Analysis:
    folder.mkdir()
    (folder / "main.py").write_text(f"{FLAWED}\nSUBJECT = {number}\n")
    analysis, _ = await analyse(folder, "radon", "vulture")
    return analysis


async def find_damaged(
    application: Application, analyses: dict[str, Analysis], report: IntegrityReport
) -> dict[str, set[str]]:
    """Return the codes of a report by the damage that they are about."""
    found: dict[str, set[str]] = {name: set() for name in DAMAGES}
    by_id = {format_id("analysis", analysis.analysis_id): name for name, analysis in analyses.items()}
    by_artifact = await map_artifacts(application, analyses)
    for problem in report.problems:
        noun, _, rest = problem.subject.partition(" ")
        key = by_artifact[rest] if noun == "artifact" else by_id[problem.subject.split(":")[0]]
        found[key].add(problem.code)
    return found


async def map_artifacts(application: Application, analyses: dict[str, Analysis]) -> dict[str, str]:
    """Return digest → name of the damage, for result files and manifests, of which no two are equal."""
    statement = """
        SELECT sha256, analysis_id FROM manifest_entries WHERE name LIKE 'files/%'
        UNION ALL SELECT sha256, analysis_id FROM manifests"""
    async with application.database.reading() as session:
        rows = (await session.execute(text(statement))).all()
    names = {analysis.analysis_id: name for name, analysis in analyses.items()}
    return {sha256: names[analysis_id] for sha256, analysis_id in rows}


def sql(statement: str) -> Tamper:
    """Return a tampering with the rows of an analysis."""

    async def tamper(application: Application, analysis: Analysis) -> None:
        condition = "analysis_id = :analysis_id"
        joined = f"{statement} {'AND' if 'WHERE' in statement else 'WHERE'} {condition}"
        async with application.database.transaction() as session:
            await session.execute(text("SET LOCAL session_replication_role = replica"))  # past the guards
            await session.execute(text(joined), {"analysis_id": analysis.analysis_id})

    return tamper


async def untouched(_: Application, __: Analysis) -> None:
    """Do nothing."""


async def delete_artifact(application: Application, analysis: Analysis) -> None:
    (await find_artifact(application, analysis)).unlink()


async def cut_artifact(application: Application, analysis: Analysis) -> None:
    path = await find_artifact(application, analysis)
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)


async def alter_artifact(application: Application, analysis: Analysis) -> None:
    path = await find_artifact(application, analysis)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def delete_manifest_file(application: Application, analysis: Analysis) -> None:
    async with application.database.reading() as session:
        sha256 = await session.scalar(
            text("SELECT sha256 FROM manifests WHERE analysis_id = :analysis_id"),
            {"analysis_id": analysis.analysis_id},
        )
    path_of(application, str(sha256)).unlink()


async def delete_result_file(application: Application, analysis: Analysis) -> None:
    (folder_of(application, analysis) / "manifest.json").unlink()


async def alter_result_file(application: Application, analysis: Analysis) -> None:
    with (folder_of(application, analysis) / "manifest.json").open("a") as writer:
        writer.write(" ")


async def delete_result_folder(application: Application, analysis: Analysis) -> None:
    shutil.rmtree(folder_of(application, analysis))


async def delete_tool_run(application: Application, analysis: Analysis) -> None:
    of_run = "tool_run_id IN (SELECT tool_run_id FROM tool_runs WHERE analysis_id = :analysis_id AND tool = 'radon')"
    await execute(
        application,
        analysis,
        *(f"DELETE FROM {name} WHERE {of_run}" for name in PARTS),  # noqa: S608 - our own names
        "DELETE FROM tool_runs WHERE analysis_id = :analysis_id AND tool = 'radon'",
    )  # fmt: skip


async def delete_manifest(application: Application, analysis: Analysis) -> None:
    await execute(
        application,
        analysis,
        "DELETE FROM manifest_entries WHERE analysis_id = :analysis_id",
        "DELETE FROM manifests WHERE analysis_id = :analysis_id",
    )


async def delete_analysis(application: Application, analysis: Analysis) -> None:
    of_run = "tool_run_id IN (SELECT tool_run_id FROM tool_runs WHERE analysis_id = :analysis_id)"
    await delete_manifest(application, analysis)
    await execute(
        application,
        analysis,
        "DELETE FROM finding_events WHERE analysis_id = :analysis_id",
        *(f"DELETE FROM {name} WHERE {of_run}" for name in PARTS),  # noqa: S608 - our own names
        "DELETE FROM tool_runs WHERE analysis_id = :analysis_id",
        "DELETE FROM findings WHERE first_analysis_id = :analysis_id",
        "DELETE FROM analyses WHERE analysis_id = :analysis_id",
    )  # fmt: skip


async def execute(application: Application, analysis: Analysis, *statements: str) -> None:
    async with application.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement), {"analysis_id": analysis.analysis_id})


async def find_artifact(application: Application, analysis: Analysis) -> Path:
    """Return where the primary result document lies in the artifact store."""
    statement = (
        "SELECT sha256 FROM manifest_entries WHERE analysis_id = :analysis_id AND name LIKE 'files/%task_%'"
    )
    async with application.database.reading() as session:
        sha256 = await session.scalar(text(statement), {"analysis_id": analysis.analysis_id})
    return path_of(application, str(sha256))


def path_of(application: Application, sha256: str) -> Path:
    return application.settings.artifacts_dir / sha256[:2] / sha256[2:4] / sha256


def folder_of(application: Application, analysis: Analysis) -> Path:
    assert analysis.results_path is not None
    return application.settings.results_dir / analysis.results_path


DAMAGES: dict[str, tuple[Tamper, set[str]]] = {
    "nothing": (untouched, set()),
    "artifact deleted": (delete_artifact, {"artifact.broken", "manifest.entry_broken"}),
    "artifact cut": (cut_artifact, {"artifact.broken", "manifest.entry_broken"}),
    "artifact altered": (alter_artifact, {"artifact.broken", "manifest.entry_broken"}),
    "manifest deleted from disk": (delete_manifest_file, {"artifact.broken", "manifest.unreadable"}),
    "result file deleted": (delete_result_file, {"file.missing"}),
    "result file altered": (alter_result_file, {"file.altered"}),
    "result folder deleted": (delete_result_folder, {"file.missing"}),
    "occurrence altered": (sql("UPDATE occurrences SET message = 'x' WHERE ordinal = 0"), {"findings.altered"}),
    "occurrence deleted": (sql("DELETE FROM occurrences WHERE ordinal = 0"), {"findings.altered"}),
    "count altered": (sql("UPDATE tool_runs SET findings_count = 0"), {"tool_run.altered"}),
    "reason altered": (sql("UPDATE tool_runs SET reason = 'x', version = '9'"), {"tool_run.altered"}),
    "measurement altered": (sql("UPDATE measurements SET value = value + 1"), {"tool_run.altered"}),
    "measurement deleted": (sql("DELETE FROM measurements"), {"tool_run.altered"}),
    "tool run deleted": (delete_tool_run, {"tool_run.altered"}),
    "analysis altered": (sql("UPDATE analyses SET profile = 'deep'"), {"analysis.altered"}),
    "files hidden": (sql("UPDATE analyses SET results_path = NULL"), {"analysis.altered"}),
    "analysis deleted": (delete_analysis, {"analysis.missing"}),
    "entry deleted": (sql("DELETE FROM manifest_entries WHERE name = 'listing.json'"), {"manifest.entry_missing"}),
    "entry altered": (sql("UPDATE manifest_entries SET media_type = 'x' WHERE name = 'listing.json'"),
                      {"manifest.entry_altered"}),
    "manifest deleted": (delete_manifest, {"manifest.missing"}),
}  # fmt: skip
"""Name → how to do the damage, and the codes by which it is found. Twenty faults, and none."""
