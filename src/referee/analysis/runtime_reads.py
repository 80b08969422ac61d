"""Reads that the pages and the answers about running apps share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from referee.analysis import queries
from referee.analysis.finding_queries import list_stored_sources
from referee.analysis.load_views import LoadRow, build_load_rows
from referee.analysis.reparsing import RereadRun, reread_runs
from referee.analysis.requirement_views import RequirementRow, build_requirement_rows
from referee.analysis.running import AnalysisRoom
from referee.analysis.views import Analysis
from referee.core.errors import NotFound
from referee.core.vocabulary import Service

__all__ = ["SourcePart", "read_loads", "read_requirements", "read_source"]

_CONTEXT_LINES: Final = 30
_MAX_LINES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """Lines of a file as it was analysed."""

    paths: tuple[str, ...]
    """Files whose text is kept."""
    path: str | None = None
    first_line: int = 1
    marked: tuple[int, int] | None = None
    """First and last line that were asked for."""
    lines: tuple[str, ...] = ()


async def read_loads(
    room: AnalysisRoom, project_id: UUID, analysis_id: UUID
) -> tuple[Analysis, tuple[LoadRow, ...], tuple[RereadRun, ...]]:
    """Return an analysis, how its addresses answered under load, and the runs that this was read from.

    Raises:
        NotFound: The project has no such analysis.
    """
    async with room.database.reading() as session:
        analysis = await queries.get_analysis(session, project_id, analysis_id)
        runs = await queries.list_tool_runs(session, analysis_id)
    reread = await reread_runs(room.artifacts, runs, (Service.performance,))
    return analysis, build_load_rows(reread), reread


async def read_requirements(
    room: AnalysisRoom, project_id: UUID, analysis_id: UUID
) -> tuple[Analysis, tuple[RequirementRow, ...], tuple[RereadRun, ...]]:
    """Return an analysis, how its requirements were judged, and the runs that this was read from.

    Raises:
        NotFound: The project has no such analysis.
    """
    async with room.database.reading() as session:
        analysis = await queries.get_analysis(session, project_id, analysis_id)
        runs = await queries.list_tool_runs(session, analysis_id)
    reread = await reread_runs(room.artifacts, runs, (Service.ai,))
    return analysis, build_requirement_rows(reread), reread


async def read_source(
    room: AnalysisRoom, analysis_id: UUID, path: str | None, line: int, end_line: int | None
) -> SourcePart:
    """Return the lines around a place of a file whose text is kept, or only which files those are.

    Args:
        room: Of analyses.
        analysis_id: One that may be read.
        path: Path of the file; None: only which files there are.
        line: First line that is wanted, from 1.
        end_line: Last one; None: the same.

    Raises:
        NotFound: The text of that file is not kept.
    """
    async with room.database.reading() as session:
        stored = await list_stored_sources(session, analysis_id)
    if path is None:
        return SourcePart(paths=tuple(stored))
    if path not in stored:
        raise NotFound(
            "source.not_kept",
            f"The text of {path[:200]!r} is not kept.",
            "Only files in which a finding stands are; open the app's own folder.",
        )
    data = await room.artifacts.read_bytes(stored[path])
    lines = await asyncio.to_thread(lambda: data.decode("utf-8", "replace").splitlines())
    first = max(1, min(line, len(lines)) - _CONTEXT_LINES)
    last = max(line, min(end_line or line, line + _MAX_LINES))
    return SourcePart(
        paths=tuple(stored),
        path=path,
        first_line=first,
        marked=(line, last),
        lines=tuple(lines[first - 1 : min(last + _CONTEXT_LINES, first + _MAX_LINES)]),
    )
