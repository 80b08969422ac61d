"""Rows in bulk, rows of artifacts, and cursors."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from referee.core.errors import InvalidInput
from referee.core.vocabulary import Severity
from referee.foundation.access import ApiKeyRow, ProjectRow
from referee.foundation.store import (
    Artifact,
    ArtifactRow,
    Database,
    copy_rows,
    decode_cursor,
    encode_cursor,
    record_artifacts,
)

json_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)

COLUMNS = ("project_id", "slug", "name", "created_at")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def project_rows(count: int) -> list[tuple[UUID, str, str, datetime]]:
    return [(uuid4(), f"p{number}", f'line\nbreak\ttab\\N "{number}"', NOW) for number in range(count)]


async def test_copied_rows_are_part_of_the_transaction(database: Database) -> None:
    rows = project_rows(1000)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            await copy_rows(session, ProjectRow.__table__, COLUMNS, rows)  # type: ignore[arg-type]
            raise ZeroDivisionError
    async with database.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(ProjectRow)) == 1
        assert await copy_rows(session, ProjectRow.__table__, COLUMNS, iter(rows)) == 1000  # type: ignore[arg-type]
        assert await session.scalar(select(func.count()).select_from(ProjectRow)) == 1001
    async with database.reading() as session:
        found = await session.scalar(select(ProjectRow).where(ProjectRow.slug == "p7"))
        assert found is not None
        assert (found.project_id, found.slug, found.name, found.created_at) == rows[7]


async def test_rows_added_before_in_the_session_are_there_for_copied_ones(database: Database) -> None:
    async with database.transaction() as session:
        session.add(ProjectRow(project_id=(owner := uuid4()), slug="owner", name="Owner"))
        columns = ("api_key_id", "project_id", "name", "prefix", "secret_digest", "scopes_json", "revoked_at")
        row = (uuid4(), owner, Severity.high, "rfr_", b"\x00" * 32, ["read", 'wri"te'], None)
        await copy_rows(session, ApiKeyRow.__table__, columns, [row])  # type: ignore[arg-type]
    async with database.reading() as session:
        key = await session.scalar(select(ApiKeyRow))
        assert key is not None
        assert (key.name, key.scopes_json, key.secret_digest, key.revoked_at) == (
            "high",
            ["read", 'wri"te'],
            b"\x00" * 32,
            None,
        )


@pytest.mark.parametrize("name", ["nul \x00", "half \udcff"])
async def test_copied_text_that_cannot_be_kept_is_invalid_input(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="projects"):
        async with database.transaction() as session:
            await copy_rows(session, ProjectRow.__table__, COLUMNS, [(uuid4(), "p", name, NOW)])  # type: ignore[arg-type]


async def test_artifact_is_recorded_once(database: Database) -> None:
    first, second = Artifact("a" * 64, 1, "text/plain"), Artifact("b" * 64, 2, "text/html")
    async with database.transaction() as session:
        await record_artifacts(session, [first, second, first])
    async with database.transaction() as session:
        await record_artifacts(session, [second])
        await record_artifacts(session, [])
    async with database.reading() as session:
        rows = (await session.scalars(select(ArtifactRow).order_by(ArtifactRow.sha256))).all()
        assert [(row.sha256, row.size_bytes, row.media_type) for row in rows] == [
            ("a" * 64, 1, "text/plain"),
            ("b" * 64, 2, "text/html"),
        ]


@given(sort=st.text(max_size=20), values=st.lists(json_scalars, max_size=4))
def test_cursor_gives_back_what_was_put_in(sort: str, values: list[str | int | float | bool | None]) -> None:
    cursor = encode_cursor(sort, values)
    assert cursor.isascii()
    assert cursor.replace("-", "a").replace("_", "a").isalnum()
    assert decode_cursor(cursor, sort) == values


@given(text=st.text() | st.text(alphabet="ABCDabcd0189-_=", max_size=40))
def test_text_that_is_no_cursor_is_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode_cursor(text, "findings")
    assert refusal.value.code == "page.cursor_invalid"


@given(
    values=st.lists(json_scalars, min_size=1, max_size=3),
    place=st.integers(0, 10_000),
    character=st.characters(),
)
def test_garbled_cursor_is_invalid_input_or_unchanged(
    values: list[str | int | float | bool | None], place: int, character: str
) -> None:
    cursor = encode_cursor("findings", values)
    place %= len(cursor)
    garbled = cursor[:place] + character + cursor[place + 1 :]
    try:
        assert decode_cursor(garbled, "findings") == values
    except InvalidInput as refusal:
        assert refusal.code == "page.cursor_invalid"


def test_cursor_of_another_sort_is_invalid_input() -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(encode_cursor("apps", [1]), "findings")
