"""Backfills and their runs as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.backfills.contract import Backfill
from referee.backfills.states import RunState
from referee.backfills.views import BackfillRun

__all__ = ["BackfillModel", "BackfillRunModel", "BackfillRunRequestModel", "BackfillTuningModel"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BackfillModel(_Model):
    """A backfill there is."""

    name: str
    title: str
    summary: str
    version: int = Field(description="Raised whenever it computes something else than before.")
    table: str
    columns: list[str] = Field(description="What is filled where it is NULL.")
    rules: list[str] = Field(description="What may give a value.")
    reasons: dict[str, str] = Field(description="Why a row may be left, each with a sentence.")
    parameters: dict[str, dict[str, Any]] = Field(description="Default, range and meaning of each.")

    @classmethod
    def of(cls, backfill: type[Backfill]) -> BackfillModel:
        """Return the shape of a backfill."""
        return cls(
            name=backfill.name,
            title=backfill.title,
            summary=backfill.summary,
            version=backfill.version,
            table=backfill.table,
            columns=list(backfill.columns),
            rules=list(backfill.rules),
            reasons=dict(backfill.reasons),
            parameters={
                name: {
                    "default": one.default,
                    "low": one.low,
                    "high": one.high,
                    "description": one.description,
                }
                for name, one in backfill.parameters.items()
            },
        )


class BackfillTuningModel(_Model):
    """How a run works from its next batch on."""

    batch_size: int | None = Field(default=None, ge=1, le=100_000, description="Rows a transaction.")
    throttle_ms: int | None = Field(default=None, ge=0, le=60_000, description="Rest after each batch.")
    max_failure_share: float | None = Field(default=None, ge=0, le=1, description="Stop above it.")


class BackfillRunRequestModel(_Model):
    """A run, or dry run, to accept."""

    backfill: str = Field(max_length=100, description="Its name.")
    database: str = Field(
        max_length=2_000,
        description="Absolute path of a SQLite file, postgresql:// address without a password, "
        "env:REFEREE_BACKFILL_NAME, or own.",
    )
    parameters: dict[str, int] = Field(default_factory=dict, max_length=20)
    is_dry: bool = Field(default=False, description="Compute everything and write nothing.")
    scope: Literal["all", "dead_letters"] = "all"
    batch_size: int = Field(default=1_000, ge=1, le=100_000)
    throttle_ms: int = Field(default=0, ge=0, le=60_000)
    max_failure_share: float = Field(default=0.2, ge=0, le=1)
    plan_run_id: str | None = Field(default=None, max_length=80, description="Dry run that it has to match.")
    is_difference_accepted: bool = False
    has_backup: bool = Field(default=True, description="Copy a SQLite file before.")


class BackfillRunModel(_Model):
    """A run, or dry run."""

    backfill_run_id: UUID
    backfill: str
    database: str
    is_dry: bool
    state: RunState
    reason: str
    request: dict[str, Any]
    run: dict[str, Any] | None = Field(description="As it last stood in the target: counts, checks, plan.")
    progress: dict[str, Any] | None = Field(description="Rows, rate and time left while it works.")
    done_share: float | None = Field(description="0 to 1; null: not known.")
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, run: BackfillRun) -> BackfillRunModel:
        """Return the shape of a run."""
        return cls(
            backfill_run_id=run.backfill_run_id,
            backfill=run.backfill,
            database=run.database,
            is_dry=run.is_dry,
            state=run.state,
            reason=run.reason,
            request=dict(run.request),
            run=None if run.run is None else dict(run.run),
            progress=None if run.progress is None else dict(run.progress),
            done_share=run.done_share,
            job_id=run.job_id,
            created_at=run.created_at,
            finished_at=run.finished_at,
        )
