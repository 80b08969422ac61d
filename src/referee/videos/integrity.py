"""What ``referee verify`` reads again of videos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import RefereeError
from referee.core.ids import format_id
from referee.core.integrity import IntegrityProblem, IntegrityTally
from referee.videos import result_queries
from referee.videos.dumping import dump
from referee.videos.queries import view_revision
from referee.videos.room import VideosRoom
from referee.videos.shapes import VideoState
from referee.videos.tables import VideoRevisionRow, VideoRow
from referee.videos.views import VideoResults

__all__ = ["check_videos"]

_BATCH = 200


async def check_videos(room: VideosRoom) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Compare every revision with its artifacts: bytes, findings, report; and every whole clip with its digest.

    That all recorded artifacts are intact is another check's; this one finds what is not recorded or differs.
    """
    last, count = (0, 0), 0
    while True:
        async with room.database.reading() as session:
            rows = (
                await session.execute(
                    select(VideoRow.sequence, VideoRevisionRow)
                    .join(VideoRevisionRow, VideoRevisionRow.video_id == VideoRow.video_id)
                    .where(tuple_(VideoRow.sequence, VideoRevisionRow.number) > last)
                    .order_by(VideoRow.sequence, VideoRevisionRow.number)
                    .limit(_BATCH)
                )
            ).all()
            problems = [problem for _, row in rows for problem in await _check(session, room, row)]
        for problem in problems:
            yield problem
        if not rows:
            break
        last, count = (rows[-1][0], rows[-1][1].number), count + len(rows)
    yield IntegrityTally("video revisions", count)


async def _check(session: AsyncSession, room: VideosRoom, row: VideoRevisionRow) -> list[IntegrityProblem]:
    name = f"{format_id('video', row.video_id)} revision {row.number}"
    passes = await result_queries.list_passes(session, row.revision_id)
    revision = view_revision(row)
    problems = []
    if revision.state is VideoState.done:
        missing = result_queries.find_missing(revision, passes)
        if missing:
            problems.append(
                IntegrityProblem("video.incomplete", name, f"It is done and lacks: {', '.join(missing)}.")
            )
    for kind in passes:
        results = await result_queries.find_results(session, row.revision_id, kind)
        if results is not None:
            problems += await _compare(room, f"{name}, {kind} pass", results)
    return problems


async def _compare(room: VideosRoom, name: str, results: VideoResults) -> list[IntegrityProblem]:
    """Hold the rows of a pass against the results that were stored with them."""
    try:
        stored = json.loads(await room.artifacts.read_bytes(results.done.artifacts["results"]))
    except (RefereeError, ValueError) as error:
        return [IntegrityProblem("video.results_unreadable", name, f"Its results cannot be read: {error}")]
    told = {
        "findings": ([dump(one) for one in results.findings], stored["findings"]),
        "report": (None if results.done.report is None else dump(results.done.report), stored["report"]),
        "events": (
            sorted(_digest(dump(one)) for one in results.events),
            sorted(_digest(one) for one in stored["measurement"]["events"]),
        ),
        "ball": (
            None if results.done.ball is None else dump(results.done.ball),
            _without_points(stored["measurement"].get("ball")),
        ),
        "metrics": (
            {one.code: one.value for one in results.metrics},
            {one["code"]: one.get("value") for one in stored["measurement"]["metrics"]},
        ),
    }
    return [
        IntegrityProblem("video.altered", name, f"Its {part} in the database are not those of its results.")
        for part, (rows, kept) in told.items()
        if _digest(rows) != _digest(kept)
    ]


def _without_points(ball: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if ball is None else {**ball, "points": []}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
