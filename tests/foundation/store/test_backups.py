"""Backups before an upgrade, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from referee.core.errors import Conflict, InvalidInput, NotFound, StorageFull
from referee.foundation.settings import Settings
from referee.foundation.store import (
    current_revision,
    list_backups,
    open_database,
    restore_backup,
    upgrade_database,
)
from referee.foundation.store.backups import KEPT_COUNT, make_backup
from referee.foundation.store.database import read_database_url
from referee.foundation.store.migrating import downgrade, find_head


@pytest.fixture
def conninfo(database_settings: Settings) -> str:
    return read_database_url(database_settings.database_url or "")


async def set_name(settings: Settings, name: str) -> None:
    database = await open_database(settings, migrate=False)
    async with database.transaction() as session:
        await session.execute(text("UPDATE projects SET name = :name"), {"name": name})
    await database.close()


async def get_name(settings: Settings) -> str:
    database = await open_database(settings, migrate=False)
    async with database.reading() as session:
        name = await session.scalar(text("SELECT name FROM projects"))
    await database.close()
    return str(name)


async def test_upgrade_makes_a_backup_first_that_can_be_restored(
    database_settings: Settings, conninfo: str
) -> None:
    downgrade(conninfo, "0001_foundation")
    await set_name(database_settings, "before the upgrade")
    upgrade = await upgrade_database(database_settings)
    assert (upgrade.from_revision, upgrade.to_revision) == ("0001_foundation", find_head())
    assert upgrade.backup is not None
    assert upgrade.backup.name.endswith("-0001_foundation.dump")
    await set_name(database_settings, "after the upgrade")

    replaced = await restore_backup(database_settings, upgrade.backup)

    assert await get_name(database_settings) == "before the upgrade"
    restored = await open_database(database_settings, migrate=False)
    assert await current_revision(restored) == "0001_foundation"
    async with restored.transaction() as session:
        names = (await session.execute(text("SELECT datname FROM pg_database"))).scalars().all()
        assert replaced in names
    await restored.close()
    async with (again := await open_database(database_settings)).reading() as session:
        assert await session.scalar(text("SELECT version_num FROM alembic_version")) == find_head()
    await again.close()


async def test_opening_an_older_schema_backs_up_before_it_migrates(
    database_settings: Settings, conninfo: str
) -> None:
    downgrade(conninfo, "0001_foundation")
    await (await open_database(database_settings)).close()
    assert [path.name.partition("-")[2] for path in list_backups(database_settings)] == [
        "0001_foundation.dump"
    ]


async def test_nothing_to_upgrade_makes_no_backup(database_settings: Settings) -> None:
    upgrade = await upgrade_database(database_settings)
    assert upgrade.backup is None
    assert list_backups(database_settings) == []


async def test_upgrade_without_backup_is_possible_when_asked_for(
    database_settings: Settings, conninfo: str
) -> None:
    downgrade(conninfo, "0001_foundation")
    upgrade = await upgrade_database(database_settings, backup=False)
    assert (upgrade.to_revision, upgrade.backup) == (find_head(), None)


def test_only_the_newest_backups_stay(database_settings: Settings, conninfo: str) -> None:
    made = [make_backup(database_settings, conninfo) for _ in range(KEPT_COUNT + 2)]
    assert list_backups(database_settings) == made[:1:-1]
    assert {path.suffix for path in database_settings.backups_dir.iterdir()} == {".dump"}


async def test_backup_that_is_cut_is_refused_and_changes_nothing(
    database_settings: Settings, conninfo: str
) -> None:
    whole = make_backup(database_settings, conninfo)
    cut = whole.with_name("cut.dump")
    cut.write_bytes(whole.read_bytes()[:500])
    await set_name(database_settings, "untouched")
    with pytest.raises(InvalidInput):
        await restore_backup(database_settings, cut)
    with pytest.raises(NotFound):
        await restore_backup(database_settings, Path("/nonexistent.dump"))
    assert await get_name(database_settings) == "untouched"


async def test_database_in_use_is_not_replaced(database_settings: Settings, conninfo: str) -> None:
    backup = make_backup(database_settings, conninfo)
    await set_name(database_settings, "in use")
    database = await open_database(database_settings)
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(Conflict) as refusal:
            await restore_backup(database_settings, backup)
    await database.close()
    assert refusal.value.code == "database.in_use"
    assert await get_name(database_settings) == "in use"


def test_backup_on_a_full_disk_is_told_and_leaves_nothing(
    database_settings: Settings, conninfo: str, tiny_disk: Path
) -> None:
    home = tiny_disk / "home"
    home.mkdir()
    (home / "filler").write_bytes(b"x" * (4 * 1024 * 1024 - 12 * 1024))
    full = database_settings.model_copy(update={"home": home})
    with pytest.raises(StorageFull):
        make_backup(full, conninfo)
    assert list(full.backups_dir.iterdir()) == []
