"""What the evaluators work with."""

from __future__ import annotations

from dataclasses import dataclass

from referee.experiments.evaluators.judges import JudgeBook
from referee.experiments.room import ExperimentsRoom
from referee.foundation.settings import Settings
from referee.foundation.store import Database

__all__ = ["EvaluatorsRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorsRoom:
    """What the evaluators work with."""

    experiments: ExperimentsRoom
    judges: JudgeBook

    @property
    def settings(self) -> Settings:
        """Of this process."""
        return self.experiments.settings

    @property
    def database(self) -> Database:
        """Where metrics and evaluations are."""
        return self.experiments.database
