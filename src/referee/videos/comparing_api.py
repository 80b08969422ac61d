"""Comparison, trend and summary of videos as JSON routes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from referee.core.ids import parse_id
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.openapi_problems import answers_with
from referee.videos.ball_models import ReleaseConsistencyModel
from referee.videos.comparing import Comparison, PlayerSummary, compare_videos, summarise_player
from referee.videos.models import VideoModel
from referee.videos.room import GetRoom
from referee.videos.shapes import Discipline, EventName

__all__ = ["create_comparing_api"]

VideoReference = Annotated[str, Query(max_length=80, description="Id of a video.")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MetricChangeModel(_Model):
    """A metric of two videos; a difference whose interval holds 0 is no change."""

    code: str
    unit: str
    baseline: float | None
    candidate: float | None
    difference: float | None = Field(description="Candidate less baseline.")
    low: float | None
    high: float | None
    verdict: Literal["better", "worse", "unchanged", "not_comparable"]
    reason: str


class ComparisonModel(_Model):
    """Two videos side by side, synchronised on an event."""

    baseline: VideoModel
    candidate: VideoModel
    sync_event: str | None = Field(description="Null: they share no event, and begin together.")
    baseline_t_s: float
    candidate_t_s: float
    changes: list[MetricChangeModel]
    persistent: list[str] = Field(description="Codes of findings that both have.")

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonModel:
        """Return the shape of a comparison."""
        return cls(
            baseline=VideoModel.of(comparison.baseline),
            candidate=VideoModel.of(comparison.candidate),
            sync_event=comparison.sync_event,
            baseline_t_s=comparison.baseline_t_s,
            candidate_t_s=comparison.candidate_t_s,
            changes=[_load(MetricChangeModel, asdict(one)) for one in comparison.changes],
            persistent=list(comparison.persistent),
        )


class TrendPointModel(_Model):
    """One metric of one video."""

    video_id: UUID
    title: str
    at: datetime
    code: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    level: str | None
    reason: str


class FindingCountModel(_Model):
    """In how many videos a finding is."""

    code: str
    videos_count: int


class PlayerSummaryModel(_Model):
    """What a player's videos say together."""

    player: str
    videos_count: int
    analysed_count: int
    findings: list[FindingCountModel]
    improved: list[str] = Field(description="Metrics whose level got lower from the first to the last video.")
    worsened: list[str]
    compliance_share: float | None = Field(description="Of the last video with targets, 0 to 1.")
    release_consistency: ReleaseConsistencyModel | None = Field(
        default=None, description="Over three deliveries or more that are filmed alike."
    )
    trend: list[TrendPointModel] = Field(description="Oldest first.")

    @classmethod
    def of(cls, summary: PlayerSummary) -> PlayerSummaryModel:
        """Return the shape of a summary."""
        return cls(
            player=summary.player,
            videos_count=summary.videos_count,
            analysed_count=summary.analysed_count,
            findings=[FindingCountModel(code=code, videos_count=count) for code, count in summary.worst],
            improved=list(summary.improved),
            worsened=list(summary.worsened),
            compliance_share=summary.compliance_share,
            release_consistency=None
            if summary.consistency is None
            else _load(ReleaseConsistencyModel, asdict(summary.consistency)),
            trend=[_load(TrendPointModel, asdict(one)) for one in summary.trend],
        )


def create_comparing_api(room: GetRoom) -> APIRouter:
    """Return the routes of comparison and trend."""
    router = APIRouter(prefix="/v1", tags=["videos"])

    @router.get("/video-comparison", responses=answers_with(404))
    async def compare_two_videos(
        baseline: VideoReference,
        candidate: VideoReference,
        principal: PrincipalParameter,
        event: Annotated[EventName | None, Query(description="To synchronise on.")] = None,
    ) -> ComparisonModel:
        """Compare a video with another one, synchronised on an event that both have."""
        comparison = await compare_videos(
            room(),
            principal.project_id,
            parse_id(baseline, "video"),
            parse_id(candidate, "video"),
            event=event,
        )
        return ComparisonModel.of(comparison)

    @router.get("/video-players")
    async def get_player_summary(
        principal: PrincipalParameter,
        player: Annotated[str, Query(max_length=200, description="Empty: videos without a name.")] = "",
        discipline: Annotated[Discipline | None, Query(description="Else all.")] = None,
    ) -> PlayerSummaryModel:
        """Return what a player's videos say together, with the trend of each metric."""
        summary = await summarise_player(room(), principal.project_id, player, discipline=discipline)
        return PlayerSummaryModel.of(summary)

    return router


def _load(model: Any, values: dict[str, Any]) -> Any:
    return model.model_validate(values)
