"""A coach's limits of metrics, for one player or for all, and how far a revision meets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.ids import new_id
from referee.videos.room import VideosRoom
from referee.videos.shapes import Discipline, MetricCode, Target
from referee.videos.tables import VideoTargetRow
from referee.videos.views import Metric

__all__ = [
    "LEVEL_SHARES",
    "Compliance",
    "PlayerTarget",
    "compute_compliance",
    "find_targets",
    "list_targets",
    "put_targets",
]

LEVEL_SHARES: Final = {"low": 1.0, "medium": 0.5, "high": 0.0}
"""How far a goal is met by the level of its metric: one scale for all metrics, whatever their units."""
MAX_TARGETS_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerTarget:
    """Limits of a metric for a player in a discipline; an empty player stands for everybody."""

    player: str
    discipline: Discipline
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Compliance:
    """How far the goals of a revision are met. Shares from 0 to 1; what cannot be measured counts nowhere."""

    share: float | None
    """Mean over the goals that could be measured; None: none could."""
    shares: dict[str, float | None]
    """By metric; None: not measurable."""


async def find_targets(
    session: AsyncSession, project_id: UUID, player: str, discipline: Discipline
) -> tuple[Target, ...]:
    """Return the limits that hold for a player: his own, else those for everybody."""
    rows = await session.scalars(
        select(VideoTargetRow)
        .where(
            VideoTargetRow.project_id == project_id,
            VideoTargetRow.player.in_({"", player}),
            VideoTargetRow.discipline == discipline.value,
        )
        .order_by(VideoTargetRow.player, VideoTargetRow.code)
    )
    # The empty name comes first, so a player's own limits overwrite everybody's.
    found = {row.code: Target(MetricCode(row.code), row.low, row.high) for row in rows}
    return tuple(found[code.value] for code in MetricCode if code.value in found)


async def list_targets(
    session: AsyncSession, project_id: UUID, *, player: str | None = None
) -> tuple[PlayerTarget, ...]:
    """Return the limits of a project, by player, discipline and metric."""
    statement = (
        select(VideoTargetRow)
        .where(VideoTargetRow.project_id == project_id)
        .order_by(VideoTargetRow.player, VideoTargetRow.discipline, VideoTargetRow.code)
        .limit(MAX_TARGETS_COUNT)
    )
    if player is not None:
        statement = statement.where(VideoTargetRow.player == player)
    return tuple(
        PlayerTarget(
            player=row.player,
            discipline=Discipline(row.discipline),
            target=Target(MetricCode(row.code), row.low, row.high),
        )
        for row in await session.scalars(statement)
    )


async def put_targets(
    room: VideosRoom, project_id: UUID, player: str, discipline: Discipline, targets: Sequence[Target]
) -> tuple[PlayerTarget, ...]:
    """Replace the limits of a player in a discipline. Revisions that exist keep theirs; analyse again to use them.

    Raises:
        InvalidInput: A metric is named twice, or there are too many players.
    """
    codes = [target.code for target in targets]
    if len(set(codes)) != len(codes):
        raise InvalidInput("video.target_twice", "A metric has two targets.", "Give each metric one.")
    player = " ".join(player.split())
    async with room.database.transaction() as session:
        count = await session.scalar(
            select(func.count()).select_from(VideoTargetRow).where(VideoTargetRow.project_id == project_id)
        )
        if (count or 0) + len(codes) > MAX_TARGETS_COUNT:
            raise InvalidInput(
                "video.targets_many",
                f"A project has at most {MAX_TARGETS_COUNT:,} targets.",
                "Remove targets of players who left.",
            )
        await session.execute(
            delete(VideoTargetRow).where(
                VideoTargetRow.project_id == project_id,
                VideoTargetRow.player == player,
                VideoTargetRow.discipline == discipline.value,
            )
        )
        if targets:
            await session.execute(
                insert(VideoTargetRow),
                [
                    {
                        "target_id": new_id(),
                        "project_id": project_id,
                        "player": player,
                        "discipline": discipline.value,
                        "code": target.code.value,
                        "low": target.low,
                        "high": target.high,
                    }
                    for target in targets
                ],
            )
        return await list_targets(session, project_id, player=player)


def compute_compliance(targets: Sequence[Target], metrics: Sequence[Metric]) -> Compliance:
    """Return how far a revision meets its targets. Its levels were computed with them."""
    levels = {metric.code: metric.level for metric in metrics}
    shares: dict[str, float | None] = {}
    for target in targets:
        level = levels.get(target.code.value)
        shares[target.code.value] = None if level is None else LEVEL_SHARES[level]
    known = [share for share in shares.values() if share is not None]
    return Compliance(share=sum(known) / len(known) if known else None, shares=shares)
