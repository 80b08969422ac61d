"""The ball of a delivery and the pitch as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from referee.videos.dumping import dump
from referee.videos.shapes import BallTrack, Pitch

__all__ = ["BallModel", "PitchModel", "ReleaseConsistencyModel"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PointModel(_Model):
    """A place in the picture."""

    x_px: float = Field(gt=-1e5, lt=1e5, allow_inf_nan=False)
    y_px: float = Field(gt=-1e5, lt=1e5, allow_inf_nan=False)


class PitchModel(_Model):
    """A rectangle of known size that is seen: on the ground, or from the side also upright below the ball's way."""

    points: list[PointModel] = Field(
        min_length=4,
        max_length=4,
        description="Top left, top right, bottom left, bottom right in the picture.",
    )
    across_m: float = Field(gt=0, le=200, allow_inf_nan=False, description="From the first to the second.")
    down_m: float = Field(gt=0, le=200, allow_inf_nan=False, description="From the first to the third.")

    @property
    def value(self) -> Pitch:
        """The pitch it describes."""
        a, b, c, d = ((one.x_px, one.y_px) for one in self.points)
        return Pitch((a, b, c, d), self.across_m, self.down_m)

    @classmethod
    def of(cls, pitch: Pitch) -> PitchModel:
        """Return the shape of a pitch."""
        points = [PointModel(x_px=x, y_px=y) for x, y in pitch.points_px]
        return cls(points=points, across_m=pitch.across_m, down_m=pitch.down_m)


class ReleasePointModel(_Model):
    """Where the ball leaves the hand, from the front ankle, in shares of the athlete's height."""

    t_s: float
    frame: int
    x_px: float
    y_px: float
    across_share: float
    height_share: float


class BallPointModel(_Model):
    """The ball on one frame."""

    t_s: float
    x_px: float
    y_px: float
    radius_px: float


class ReleaseConsistencyModel(_Model):
    """How much release points of several deliveries differ: 100 less their variances in (percent of height)²."""

    score: float
    low: float = Field(description="Of its 95 % interval.")
    high: float
    deliveries_count: int
    across_percent: float = Field(description="Standard deviation across.")
    height_percent: float


class BallModel(_Model):
    """The ball of a delivery, or why it could not be followed. Its points stand in the file `results`."""

    status: Literal["measured", "insufficient_data"]
    reason_code: str
    reason: str
    frames_expected_count: int
    frames_tracked_count: int
    coverage_share: float
    colour: str
    release: ReleasePointModel | None
    bounce: BallPointModel | None
    speed_px_s: float | None = Field(description="Pixels a second, from release to bounce.")
    speed_spread_px_s: float | None
    speed_m_s: float | None = Field(description="Only with the pitch that the coach pointed out.")
    speed_low_m_s: float | None
    speed_high_m_s: float | None
    speed_reason: str = Field(description="Why there is no speed in metres.")
    consistency: ReleaseConsistencyModel | None = Field(description="Over three deliveries or more.")

    @classmethod
    def of(cls, ball: BallTrack) -> BallModel:
        """Return the shape of a ball."""
        values = dump(ball)
        del values["points"]
        return cls.model_validate(values)
