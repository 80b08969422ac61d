"""Settings of videos; a part of ``Settings``, in a module of its own so that neither grows too long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

__all__ = ["VideoSettings"]

_MEGABYTE = 1_000_000


class VideoSettings(BaseSettings):
    """How large clips may be, how long uploads are kept, and how many are analysed at once."""

    video_max_bytes: int = Field(
        default=4_000 * _MEGABYTE, ge=1, le=1_000_000 * _MEGABYTE, description="Bytes one clip may have."
    )
    video_quota_bytes: int = Field(
        default=25_000 * _MEGABYTE,
        ge=1,
        le=1_000_000_000 * _MEGABYTE,
        description="Bytes that the clips of one project may have together.",
    )
    video_upload_ttl_s: float = Field(
        default=3600.0, ge=1.0, le=604_800.0, description="Seconds the address for an upload is taken."
    )
    video_upload_keep_days: float = Field(
        default=2.0,
        ge=0.01,
        le=365.0,
        description="Days an upload that nobody goes on with is kept; then the video has failed.",
    )
    video_slots_count: int = Field(
        default=2,
        ge=1,
        le=256,
        description="Passes and chunks of clips that one worker analyses at the same time.",
    )
    video_wording: Literal["rules", "model"] = Field(
        default="rules",
        description="Who words a video's report: rules, or the judge's model, which may only put the rules' sentences "
        "differently. Those sentences are then sent to the judge's server, never names or notes.",
    )
    video_wording_timeout_s: float = Field(
        default=60.0,
        ge=1.0,
        le=600.0,
        description="Seconds the rewording of one report may take; then the rules' sentences stay.",
    )
    video_wording_max_tokens_count: int = Field(
        default=20_000,
        ge=1_000,
        le=1_000_000,
        description="Tokens, of question and answer together, that the rewording of one report may spend.",
    )
