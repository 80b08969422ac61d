"""Runs of backfills as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from referee.backfills.states import RunState

__all__ = ["BackfillRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRun:
    """A run, or dry run, that this server was asked for."""

    backfill_run_id: UUID
    sequence: int
    project_id: UUID
    backfill: str
    database: str
    is_dry: bool
    request: Mapping[str, Any]
    state: RunState
    reason: str
    run: Mapping[str, Any] | None
    """As ``local.dump_run`` gives it, or a plan's ``dump`` for a dry run; None before it began."""
    progress: Mapping[str, Any] | None
    job_id: UUID | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Whether it changes by itself."""
        return self.state in (RunState.queued, RunState.running, RunState.undoing)

    @property
    def counts(self) -> Mapping[str, Any] | None:
        """What became of rows so far; predicted ones for a dry run."""
        if self.run is None:
            return None
        found: Mapping[str, Any] | None = self.run.get("predicted" if self.is_dry else "counts")
        return found

    @property
    def rows_count(self) -> int | None:
        """Rows that it came to so far; None when that is not known."""
        return self._count("seen_count", "done_count")

    @property
    def failed_count(self) -> int | None:
        """Rows that could not be processed so far; None when that is not known."""
        return self._count("failed_count", "failed_count")

    def _count(self, name: str, progress_name: str) -> int | None:
        """Return a count: while it works as its progress says, else as the target says; 0 before it began."""
        if self.progress is not None and self.is_active:
            return int(self.progress[progress_name])
        if self.counts is not None:
            return int(self.counts[name])
        return 0 if self.is_active else None

    @property
    def done_share(self) -> float | None:
        """How much is done, 0 to 1; None when that is not known."""
        if self.progress is not None and self.is_active:
            return float(self.progress["done_share"])
        if self.run is None:
            return None
        return 1.0 if self.is_dry else float(self.run["done_share"])
