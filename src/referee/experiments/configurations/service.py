"""Verbs and reads of configurations: each change is a version that stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.configurations.tables import ConfigurationRow, ConfigurationVersionRow
from referee.experiments.configurations.views import Configuration, ConfigurationVersion
from referee.experiments.creations import claim_creation
from referee.experiments.identifiers import make_not_found
from referee.experiments.listing import list_newest
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "CONFIGURATION_FIELDS",
    "count_configurations",
    "create_configuration",
    "delete_configuration",
    "get_configuration",
    "list_configuration_versions",
    "list_configurations",
    "update_configuration",
]


CONFIGURATION_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:support"),
    "provider": FilterField("text", "Part of its provider.", is_searched=True),
    "model": FilterField("text", "Part of its model's name.", is_searched=True, example="model:small"),
    "type": FilterField("enum", "What it is of.", ("LLM", "pipeline")),
    "created": FilterField("time", "When it was created.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": ConfigurationRow.__table__.c.name,
    "provider": ConfigurationRow.__table__.c.provider,
    "model": ConfigurationRow.__table__.c.parameters_json["model"].astext,
    "type": ConfigurationRow.__table__.c.kind,
    "created": ConfigurationRow.__table__.c.created_at,
}


async def list_configurations(
    session: AsyncSession,
    project_id: UUID,
    *,
    name: str | None = None,
    env: str | None = None,
    tags: Sequence[str] = (),
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Configuration]:
    """Return configurations, newest first.

    Args:
        session: To read with.
        project_id: Whose.
        name: Only those of exactly this name.
        env: Only those used in this environment.
        tags: Only those that carry all of these.
        where: Only those that match.
        cursor: Of the page before.
        limit: Rows at most.
    """
    conditions: list[ColumnElement[bool]] = [ConfigurationRow.project_id == project_id]
    if name is not None:
        conditions.append(ConfigurationRow.name == name)
    if env is not None:
        conditions.append(ConfigurationRow.env_json.contains([env]))
    if tags:
        conditions.append(ConfigurationRow.tags_json.contains(list(tags)))
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    page = await list_newest(
        session, ConfigurationRow, ConfigurationRow.configuration_id, conditions, cursor=cursor, limit=limit
    )
    return page.map(_view)


async def get_configuration(session: AsyncSession, project_id: UUID, configuration_id: UUID) -> Configuration:
    """Return a configuration.

    Raises:
        NotFound: The project has none of that id.
    """
    return _view(await _get_row(session, project_id, configuration_id))


async def count_configurations(session: AsyncSession, project_id: UUID) -> int:
    """Return how many configurations a project has."""
    statement = (
        select(func.count()).select_from(ConfigurationRow).where(ConfigurationRow.project_id == project_id)
    )
    return await session.scalar(statement) or 0


async def list_configuration_versions(
    session: AsyncSession, project_id: UUID, configuration_id: UUID, *, limit: int = DEFAULT_LIMIT
) -> list[ConfigurationVersion]:
    """Return a configuration's newest versions, newest first."""
    statement = (
        select(ConfigurationVersionRow)
        .where(
            ConfigurationVersionRow.project_id == project_id,
            ConfigurationVersionRow.configuration_id == configuration_id,
        )
        .order_by(ConfigurationVersionRow.version.desc())
        .limit(limit)
    )
    return [
        ConfigurationVersion(version=row.version, content=row.content_json, created_at=row.created_at)
        for row in (await session.scalars(statement)).all()
    ]


async def create_configuration(
    session: AsyncSession, project_id: UUID, content: dict[str, Any], *, idempotency_key: str | None = None
) -> UUID:
    """Create a configuration. Returns its id.

    Args:
        session: In a transaction.
        project_id: Whose.
        content: Name, type, provider, parameters, env, tags and user properties, checked.
        idempotency_key: The client's name for this creation.

    Raises:
        Conflict: The key was used for another creation.
    """
    configuration_id, is_new = await claim_creation(
        session, project_id, "configuration", idempotency_key, content
    )
    if is_new:
        session.add(
            ConfigurationRow(
                configuration_id=configuration_id, project_id=project_id, version=1, **_columns(content)
            )
        )
        await session.flush()
        session.add(_make_version(project_id, configuration_id, 1, content))
        await session.flush()
    return configuration_id


async def update_configuration(
    session: AsyncSession, project_id: UUID, configuration_id: UUID, changes: dict[str, Any]
) -> bool:
    """Change what is given, as the next version. Returns whether anything differs.

    Raises:
        NotFound: There is no such configuration.
    """
    row = await _get_row(session, project_id, configuration_id, is_locked=True)
    before = _content(row)
    content = {**before, **changes}
    if content == before:
        return False
    row.version += 1
    for name, value in _columns(content).items():
        setattr(row, name, value)
    row.updated_at = func.clock_timestamp()
    session.add(_make_version(project_id, configuration_id, row.version, content))
    await session.flush()
    return True


async def delete_configuration(session: AsyncSession, project_id: UUID, configuration_id: UUID) -> None:
    """Delete a configuration with its versions.

    Raises:
        NotFound: There is no such configuration.
    """
    gone = await session.scalar(
        delete(ConfigurationRow)
        .where(
            ConfigurationRow.project_id == project_id,
            ConfigurationRow.configuration_id == configuration_id,
        )
        .returning(ConfigurationRow.configuration_id)
    )
    if gone is None:
        raise make_not_found("configuration", configuration_id)


async def _get_row(
    session: AsyncSession, project_id: UUID, configuration_id: UUID, *, is_locked: bool = False
) -> ConfigurationRow:
    statement = select(ConfigurationRow).where(
        ConfigurationRow.project_id == project_id, ConfigurationRow.configuration_id == configuration_id
    )
    if is_locked:
        statement = statement.with_for_update()
    row = await session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise make_not_found("configuration", configuration_id)
    return row


def _columns(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": content["name"],
        "kind": content["type"],
        "provider": content["provider"],
        "parameters_json": content["parameters"],
        "env_json": content["env"],
        "tags_json": content["tags"],
        "user_properties_json": content["user_properties"],
    }


def _content(row: ConfigurationRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "type": row.kind,
        "provider": row.provider,
        "parameters": row.parameters_json,
        "env": row.env_json,
        "tags": row.tags_json,
        "user_properties": row.user_properties_json,
    }


def _make_version(
    project_id: UUID, configuration_id: UUID, version: int, content: dict[str, Any]
) -> ConfigurationVersionRow:
    return ConfigurationVersionRow(
        configuration_id=configuration_id, version=version, project_id=project_id, content_json=content
    )


def _view(row: ConfigurationRow) -> Configuration:
    return Configuration(
        configuration_id=row.configuration_id,
        project_id=row.project_id,
        version=row.version,
        content=_content(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
