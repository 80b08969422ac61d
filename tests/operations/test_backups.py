"""A backup taken under load, restored elsewhere: the same digests, and nothing that was acknowledged is missing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from referee.audit import DecisionDraft, DecisionKind, record_decision, verify_chain
from referee.audit.tables import DecisionRow
from referee.core.clock import SystemClock
from referee.core.errors import Conflict, IntegrityError, InvalidInput, NotFound
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import (
    ArtifactRow,
    Database,
    open_artifacts,
    open_database,
    record_artifacts,
)
from referee.operations.backups import back_up, read_backup, restore_whole


class Writer:
    """Writes an artifact and a decision that names it, again and again, and notes what was acknowledged."""

    def __init__(self, settings: Settings, database: Database, project_id: UUID) -> None:
        self.artifacts, self.database, self.project_id = open_artifacts(settings), database, project_id
        self.acknowledged: list[str] = []
        self.is_stopped = False

    async def write(self) -> None:
        artifact = await self.artifacts.put_bytes(f"bytes {len(self.acknowledged)}".encode(), "text/plain")
        async with self.database.transaction() as session:
            await record_artifacts(session, [artifact])
            draft = DecisionDraft(
                supervisor="tests", kind=DecisionKind.allowed, reason="Drill", subject_kind="artifact",
                subject_id=artifact.sha256, source_event_at=SystemClock().now(),
            )  # fmt: skip
            await record_decision(session, self.project_id, draft)
        self.acknowledged.append(artifact.sha256)

    async def keep_writing(self) -> None:
        while not self.is_stopped:
            await self.write()


async def test_drill_under_load_loses_nothing_that_was_acknowledged(
    database_settings: Settings, other_settings: Settings, tmp_path: Path
) -> None:
    database = await open_database(database_settings)
    writer = Writer(database_settings, database, (await get_project(database, "default")).project_id)
    results = database_settings.home / "results" / "m" / "app1"
    results.mkdir(parents=True)
    (results / "result.json").write_text("{}")
    (database_settings.home / "session.key").write_text("secret")
    await writer.write()
    load = asyncio.create_task(writer.keep_writing())
    await asyncio.sleep(0)
    before = list(writer.acknowledged)

    made = await back_up(database_settings, tmp_path / "backup")

    during_count = len(writer.acknowledged) - len(before)
    writer.is_stopped = True
    await load
    await database.close()
    restored, _ = await restore_whole(other_settings, tmp_path / "backup")

    assert during_count > 0
    assert made.files == restored.files == read_backup(tmp_path / "backup").files
    assert (other_settings.home / "results/m/app1/result.json").read_text() == "{}"
    assert (other_settings.home / "session.key").read_text() == "secret"
    artifacts, elsewhere = open_artifacts(other_settings), await open_database(other_settings)
    async with elsewhere.reading() as session:
        subjects = set(await session.scalars(select(DecisionRow.subject_id)))
        named = set(await session.scalars(select(ArtifactRow.sha256)))
        assert [problem async for problem in verify_chain(session, writer.project_id)] == []
    await elsewhere.close()
    assert set(before) <= subjects == named
    assert [await artifacts.check(sha256) for sha256 in named] == [None] * len(named)


async def test_dangerous_things_are_refused_in_clear_words(
    database_settings: Settings, other_settings: Settings, tmp_path: Path
) -> None:
    database = await open_database(database_settings)
    project_id = (await get_project(database, "default")).project_id
    writer = Writer(database_settings, database, project_id)
    await writer.write()
    made = await back_up(database_settings, tmp_path / "backup")

    with pytest.raises(Conflict, match="not an empty folder"):
        await back_up(database_settings, tmp_path / "backup")
    with pytest.raises(InvalidInput, match="within what is backed up"):
        await back_up(database_settings, database_settings.artifacts_dir / "backup")
    with pytest.raises(NotFound, match="not a finished backup"):
        await restore_whole(other_settings, tmp_path)
    with pytest.raises(Conflict, match="in use"):
        await restore_whole(database_settings, tmp_path / "backup")
    await writer.write()
    with pytest.raises(Conflict, match="never mixes"):
        await restore_whole(database_settings, tmp_path / "backup")
    await database.close()
    broken = made.folder / next(name for name in made.files if name.startswith("artifacts/"))
    broken.chmod(0o600)
    broken.write_bytes(b"other")
    with pytest.raises(IntegrityError, match="not what was backed up"):
        await restore_whole(other_settings, tmp_path / "backup")
    document = json.loads((made.folder / "backup.json").read_text())
    (made.folder / "backup.json").write_text(json.dumps({**document, "files": {"../x": {}}}))
    with pytest.raises(InvalidInput, match="outside"):
        await restore_whole(other_settings, tmp_path / "backup")


async def test_damaged_artifact_is_not_backed_up_in_silence(
    database_settings: Settings, tmp_path: Path
) -> None:
    artifact = await open_artifacts(database_settings).put_bytes(b"good", "text/plain")
    path = database_settings.artifacts_dir / artifact.sha256[:2] / artifact.sha256[2:4] / artifact.sha256
    path.chmod(0o600)
    path.write_bytes(b"evil")

    with pytest.raises(IntegrityError, match="not what was stored"):
        await back_up(database_settings, tmp_path / "backup")
    with pytest.raises(NotFound):
        read_backup(tmp_path / "backup")


def test_commands_back_up_and_restore(
    database_settings: Settings, other_settings: Settings, tmp_path: Path
) -> None:
    made = run(database_settings, "backup", str(tmp_path / "backup"))
    restored = run(other_settings, "restore", str(tmp_path / "backup"))
    nothing = run(other_settings, "restore", str(tmp_path / "none"))

    assert (made.returncode, restored.returncode, nothing.returncode) == (0, 0, 2), (
        made.stderr + restored.stderr
    )
    assert "Backed up" in made.stdout
    assert "is restored" in restored.stdout


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    return subprocess.run(
        [sys.executable, "-m", "referee", *arguments],
        env={**os.environ, "REFEREE_HOME": str(settings.home), "REFEREE_DATABASE_URL": settings.database_url},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
