"""``referee verify --repair`` mends what a recorded digest proves, says so, and leaves the rest to be named."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from tests.analysis.conftest import Analyse, analyse, application, project_id
from tests.analysis.test_verify import DAMAGES, analyse_one, find_damaged, untouched

from referee.app import Application
from referee.core.ids import format_id
from referee.operations.integrity import repair_everything, verify_everything
from referee.operations.references import check_references

__all__ = ["analyse", "application", "project_id"]  # fixtures

MENDED = {
    "artifact deleted": {"artifact.restored"},
    "artifact cut": {"artifact.restored"},
    "artifact altered": {"artifact.restored"},
    "manifest deleted from disk": {"manifest.restored"},
    "result file deleted": {"file.restored"},
    "result file altered": {"file.restored"},
    "result folder deleted": {"file.restored"},
    "files hidden": {"analysis.path_restored"},
    "entry deleted": {"manifest.entry_restored"},
    "entry altered": {"manifest.entry_restored"},
}


async def test_each_of_twenty_faults_is_mended_or_named(
    application: Application, analyse: Analyse, tmp_path: Path
) -> None:
    assert len(DAMAGES) - 1 == 20
    analyses = {}
    for number, (name, (tamper, _)) in enumerate(DAMAGES.items()):
        analyses[name] = await analyse_one(analyse, tmp_path / f"subject-{number}", number)
        await tamper(application, analyses[name])

    done = await repair_everything(application.repair_steps)
    rest = await verify_everything(application.integrity_checks)

    by_id = {format_id("analysis", one.analysis_id): name for name, one in analyses.items()}
    mended: dict[str, set[str]] = {}
    for one in done:
        mended.setdefault(by_id[one.subject.split(":")[0]], set()).add(one.code)
    assert mended == MENDED
    found = await find_damaged(application, analyses, rest)
    assert found == {
        name: set() if name in MENDED or tamper is untouched else codes
        for name, (tamper, codes) in DAMAGES.items()
    }
    assert await repair_everything(application.repair_steps) == []


async def test_rows_that_name_what_is_gone_are_found(application: Application) -> None:
    async with application.database.transaction() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        await session.execute(
            text(
                "INSERT INTO decision_chains (project_id, decisions_count, head_hash) "
                "VALUES (gen_random_uuid(), 0, repeat('0', 64))"
            )
        )

    found = [one async for one in check_references(application.database)]

    assert [getattr(one, "subject", "") for one in found[:-1]] == ["decision_chains (project_id)"]
