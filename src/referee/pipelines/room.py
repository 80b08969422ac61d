"""What the pipelines room works with."""

from __future__ import annotations

from dataclasses import dataclass

from referee.analysis import AnalysisRoom
from referee.apps import AppsRoom
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database

__all__ = ["PipelinesRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinesRoom:
    """What the pipelines room works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    apps: AppsRoom
    analysis: AnalysisRoom
