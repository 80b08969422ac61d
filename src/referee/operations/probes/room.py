"""What probes need of their process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from referee.analysis import AnalysisRoom
from referee.foundation.jobs import JobEngine
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.operations.probes.words import Probe
from referee.traces import TracesRoom

__all__ = ["GetProbesRoom", "ProbesRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbesRoom:
    """Everything that is tried out."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    engine: JobEngine
    traces: TracesRoom
    analysis: AnalysisRoom

    def get_interval_s(self, probe: Probe) -> int:
        """Return the time between two scheduled tries; 0: never."""
        settings = self.settings
        return {
            Probe.trace: settings.probe_trace_interval_s,
            Probe.artifact: settings.probe_artifact_interval_s,
            Probe.analysis: settings.probe_analysis_interval_s,
        }[probe]

    def get_timeout_s(self, probe: Probe) -> float:
        """Return the time after which a try has failed."""
        settings = self.settings
        return {
            Probe.trace: settings.probe_trace_timeout_s,
            Probe.artifact: settings.probe_artifact_timeout_s,
            Probe.analysis: settings.probe_analysis_timeout_s,
        }[probe]


GetProbesRoom: TypeAlias = Callable[[], ProbesRoom]
