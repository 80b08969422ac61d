"""What the pipelines room works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from referee.analysis import AnalysisRoom
from referee.apps import AppsRoom
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.pipelines.arrivals import Arrivals
from referee.pipelines.comparing.desk import ComparisonDesk
from referee.pipelines.views import Pipeline

__all__ = ["PipelinesRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinesRoom:
    """What the pipelines room works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    apps: AppsRoom
    analysis: AnalysisRoom
    arrivals: Arrivals[Pipeline] = field(default_factory=Arrivals)
    """Pipelines that are being accepted."""
    comparisons: ComparisonDesk = field(default_factory=ComparisonDesk)
