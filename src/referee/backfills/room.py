"""What the backfills room needs of its process."""

from __future__ import annotations

from dataclasses import dataclass

from referee.analysis import AnalysisRoom
from referee.foundation.settings import Settings
from referee.foundation.store import Database

__all__ = ["BackfillsRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillsRoom:
    """Settings, the server's own database, and the room that imported analyses become part of."""

    settings: Settings
    database: Database
    analysis: AnalysisRoom
