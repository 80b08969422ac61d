"""What the alerts room needs of its process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from referee.alerts.sealing import Sealer
from referee.core.errors import InvalidInput
from referee.foundation.outgoing import OutgoingGuard
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web.values import ValueSource

__all__ = ["AlertsRoom", "GetRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsRoom:
    """Settings, database, what can be watched, who may be told, and what secrets are sealed with."""

    settings: Settings
    database: Database
    sources: Mapping[str, ValueSource]
    guard: OutgoingGuard
    sealer: Sealer

    @property
    def root_url(self) -> str:
        """Where this server is, for links in messages."""
        given = self.settings.public_url
        return given.rstrip("/") if given else f"http://{self.settings.host}:{self.settings.port}"

    def find_source(self, name: str) -> ValueSource:
        """Return a source of values.

        Raises:
            InvalidInput: There is none of that name.
        """
        if name not in self.sources:
            raise InvalidInput(
                "alert.source_unknown",
                f"There are no values called {name[:80]!r}.",
                f"Use one of: {', '.join(self.sources)}.",
            )
        return self.sources[name]


GetRoom: TypeAlias = Callable[[], AlertsRoom]
