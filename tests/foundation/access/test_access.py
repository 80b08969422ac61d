"""Projects and keys: what a key opens, and when it stops doing so."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from referee.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from referee.foundation.access import (
    LOCAL_SCOPES,
    Principal,
    Project,
    authenticate,
    confirm_principal,
    create_key,
    create_project,
    find_local_principal,
    get_project,
    list_keys,
    list_projects,
    revoke_key,
)
from referee.foundation.access.commands import app
from referee.foundation.settings import Settings
from referee.foundation.store import Database


@pytest.fixture
async def project(database: Database) -> Project:
    return await get_project(database, "default")


async def test_key_stands_for_its_project_and_scopes(database: Database, project: Project) -> None:
    view, secret = await create_key(database, project, " CI runner ", ["read", "write"])
    expected = Principal(project.project_id, "default", view.api_key_id, frozenset({"read", "write"}))
    assert await authenticate(database, secret) == expected
    assert await authenticate(database, f"Bearer {secret}") == expected
    assert view.name == "CI runner"
    assert secret.startswith(view.prefix)
    assert len(view.prefix) < len(secret) / 3


async def test_secret_is_nowhere_in_the_database(database: Database, project: Project) -> None:
    _, secret = await create_key(database, project, "key", ["read"])
    async with database.reading() as session:
        row = await session.scalar(text("SELECT CAST(to_jsonb(api_keys) AS text) FROM api_keys"))
    assert secret[10:] not in str(row)


async def test_revoked_key_is_refused_by_the_next_request(database: Database, project: Project) -> None:
    view, secret = await create_key(database, project, "key", ["admin"])
    principal = await authenticate(database, secret)
    await confirm_principal(database, principal)
    revoked = await revoke_key(database, project, view.api_key_id)
    with pytest.raises(Unauthorized, match="revoked"):
        await authenticate(database, secret)
    with pytest.raises(Unauthorized, match="revoked"):
        await confirm_principal(database, principal)
    assert (await revoke_key(database, project, view.api_key_id)).revoked_at == revoked.revoked_at


async def test_expired_key_is_refused(database: Database, project: Project) -> None:
    view, secret = await create_key(database, project, "key", ["read"], datetime.now(UTC) + timedelta(days=1))
    await authenticate(database, secret)
    async with database.transaction() as session:
        await session.execute(text("UPDATE api_keys SET expires_at = now()"))
    with pytest.raises(Unauthorized, match="expired"):
        await authenticate(database, secret)
    assert view.expires_at is not None


@pytest.mark.parametrize(
    "bearer", ["", "Bearer ", "rfr_short_000000", "hunter2", "rfr_" + "a" * 32 + "_000000", "\x00\ud800"]
)
async def test_what_is_no_key_is_refused(database: Database, bearer: str) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await authenticate(database, bearer)
    assert refusal.value.code == "access.key_malformed"


async def test_key_nobody_made_is_refused(database: Database) -> None:
    from referee.foundation.access import make_secret

    with pytest.raises(Unauthorized) as refusal:
        await authenticate(database, make_secret())
    assert refusal.value.code == "access.key_unknown"


async def test_last_use_is_noted_at_most_once_a_minute(database: Database, project: Project) -> None:
    _, secret = await create_key(database, project, "key", ["read"])
    await asyncio.gather(*(authenticate(database, secret) for _ in range(10)))
    (first,) = (await list_keys(database, project)).items
    await authenticate(database, secret)
    (second,) = (await list_keys(database, project)).items
    assert first.last_used_at is not None
    assert second.last_used_at == first.last_used_at
    async with database.transaction() as session:
        await session.execute(text("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'"))
    await authenticate(database, secret)
    (third,) = (await list_keys(database, project)).items
    assert third.last_used_at is not None
    assert third.last_used_at > first.last_used_at


async def test_key_of_another_project_cannot_be_revoked(database: Database, project: Project) -> None:
    other = await create_project(database, await find_local_principal(database), "other", "Other")
    view, secret = await create_key(database, other, "key", ["read"])
    with pytest.raises(NotFound):
        await revoke_key(database, project, view.api_key_id)
    with pytest.raises(NotFound):
        await revoke_key(database, project, uuid4())
    assert (await authenticate(database, secret)).project_slug == "other"


@pytest.mark.parametrize(
    ("held", "allowed"),
    [("read", {"read"}), ("write", {"read", "write"}), ("admin", {"read", "write", "admin"})],
)
def test_each_scope_includes_the_ones_before(held: str, allowed: set[str]) -> None:
    principal = Principal(uuid4(), "default", None, frozenset({held}))
    assert {scope for scope in ("read", "write", "admin") if principal.can(scope)} == allowed


async def test_creating_a_project_needs_admin(database: Database) -> None:
    local = await find_local_principal(database)
    assert (local.key_id, local.scopes) == (None, LOCAL_SCOPES)
    writer = Principal(local.project_id, "default", uuid4(), frozenset({"write"}))
    with pytest.raises(Forbidden, match="admin"):
        await create_project(database, writer, "mine", "Mine")
    made = await create_project(database, local, "mine", "Mine")
    assert await get_project(database, "mine") == made
    with pytest.raises(Conflict):
        await create_project(database, local, "mine", "Mine again")


@pytest.mark.parametrize("slug", ["", "-a", "Upper", "a" * 64, "a b", "ä", "a\n"])
async def test_slug_out_of_form_is_invalid_input(database: Database, slug: str) -> None:
    with pytest.raises(InvalidInput):
        await create_project(database, await find_local_principal(database), slug, "Name")


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [
        ("", ["read"], None),
        ("x" * 201, ["read"], None),
        ("bell \a", ["read"], None),
        ("key", [], None),
        ("key", ["root"], None),
        ("key", ["read"], datetime.now(UTC) - timedelta(seconds=1)),
        ("key", ["read"], datetime(2999, 1, 1)),  # noqa: DTZ001 - that the zone is missing is the point
    ],
)
async def test_key_out_of_form_is_invalid_input_and_not_made(
    database: Database, project: Project, name: str, scopes: list[str], expires_at: datetime | None
) -> None:
    with pytest.raises(InvalidInput):
        await create_key(database, project, name, scopes, expires_at)
    assert (await list_keys(database, project)).total_count == 0


async def test_lists_come_in_pages_without_gap_or_overlap(database: Database, project: Project) -> None:
    local = await find_local_principal(database)
    made = [(await create_key(database, project, f"key {number}", ["read"]))[0] for number in range(5)]
    slugs = [
        "default",
        *[(await create_project(database, local, f"p{number}", "P")).slug for number in range(4)],
    ]

    first = await list_keys(database, project, limit=2)
    second = await list_keys(database, project, limit=2, cursor=first.next_cursor)
    third = await list_keys(database, project, limit=2, cursor=second.next_cursor)
    assert [*first.items, *second.items, *third.items] == made[::-1]
    assert (first.total_count, third.next_cursor) == (5, None)

    projects = await list_projects(database, limit=3)
    rest = await list_projects(database, limit=3, cursor=projects.next_cursor)
    assert [found.slug for found in (*projects.items, *rest.items)] == slugs
    with pytest.raises(InvalidInput):
        await list_projects(database, cursor=first.next_cursor)
    with pytest.raises(InvalidInput):
        await list_keys(database, project, limit=1001)


def test_key_is_made_listed_and_revoked_on_the_command_line(
    database_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFEREE_HOME", str(database_settings.home))
    monkeypatch.setenv("REFEREE_DATABASE_URL", str(database_settings.database_url))
    runner = CliRunner()

    made = json.loads(runner.invoke(app, ["create", "laptop", "--scope", "admin", "--json"]).stdout)
    listed = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    revoked = runner.invoke(app, ["revoke", f"key_{made['api_key_id'].replace('-', '')}"])
    table = runner.invoke(app, ["list"]).stdout

    assert made.pop("secret").startswith(made["prefix"])
    assert listed == {"items": [made], "total_count": 1, "limit": 50, "next_cursor": None}
    assert revoked.stdout == f"Revoked key_{made['api_key_id'].replace('-', '')} (laptop).\n"
    assert "revoked" in table
    assert "laptop" in table
