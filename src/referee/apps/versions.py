"""The versions of an app: its source digests over time, from its analyses and its runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.judgements import AppJudgements, AppVersion
from referee.apps.tables import AppRunRow
from referee.core.errors import NotFound
from referee.foundation.store import ArtifactStore

__all__ = ["AppSourceTree", "ListedFile", "list_versions", "read_source_tree"]

_VERSIONS_MAX_COUNT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """One file of a version."""

    path: str
    language: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSourceTree:
    """The files of one version, and what tools do not see of it."""

    version: AppVersion
    files: tuple[ListedFile, ...]
    """By path."""
    excluded: tuple[Mapping[str, Any], ...]
    """``path``, ``reason`` and ``files_count`` of what was left out."""

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


async def list_versions(
    session: AsyncSession, judgements: AppJudgements, project_id: UUID, app_id: UUID, *, limit: int = 50
) -> tuple[AppVersion, ...]:
    """Return the versions of an app, last seen first."""
    versions = {
        version.source_digest: version
        for version in await judgements.list_versions(session, project_id, app_id, limit=_VERSIONS_MAX_COUNT)
    }
    for run in await _list_run_versions(session, project_id, app_id):
        known = versions.get(run.source_digest)
        versions[run.source_digest] = run if known is None else _merge(known, run)
    return tuple(sorted(versions.values(), key=lambda version: version.last_seen_at, reverse=True)[:limit])


async def read_source_tree(artifacts: ArtifactStore, versions: Sequence[AppVersion]) -> AppSourceTree | None:
    """Return the files of the version that was seen last; None when there is none or its listing is gone."""
    if not versions:
        return None
    try:
        data = await artifacts.read_bytes(versions[0].listing_sha256)
    except NotFound:
        return None
    listing: dict[str, Any] = await asyncio.to_thread(json.loads, data)
    return AppSourceTree(
        version=versions[0],
        files=tuple(
            ListedFile(
                path=str(file["path"]),
                language=str(file["language"]),
                size_bytes=int(file["size_bytes"]),
                sha256=str(file["sha256"]),
            )
            for file in listing["files"]
        ),
        excluded=tuple(listing["excluded"]),
    )


async def _list_run_versions(session: AsyncSession, project_id: UUID, app_id: UUID) -> list[AppVersion]:
    first_at: Any = func.min(AppRunRow.created_at)
    last_at: Any = func.max(AppRunRow.created_at)
    rows = await session.execute(
        select(AppRunRow.source_digest, func.max(AppRunRow.listing_sha256), first_at, last_at, func.count())
        .where(AppRunRow.project_id == project_id, AppRunRow.app_id == app_id)
        .group_by(AppRunRow.source_digest)
        .order_by(last_at.desc())
        .limit(_VERSIONS_MAX_COUNT)
    )
    return [
        AppVersion(
            source_digest=digest,
            listing_sha256=str(listing),
            first_seen_at=first,
            last_seen_at=last,
            runs_count=count,
        )
        for digest, listing, first, last, count in rows
    ]


def _merge(analysed: AppVersion, run: AppVersion) -> AppVersion:
    return replace(
        analysed,
        first_seen_at=min(analysed.first_seen_at, run.first_seen_at),
        last_seen_at=max(analysed.last_seen_at, run.last_seen_at),
        runs_count=run.runs_count,
    )
