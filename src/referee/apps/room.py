"""What the apps room works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from referee.core.errors import Unavailable
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database
from referee.tools.contract import InstallKit

if TYPE_CHECKING:
    from referee.foundation.llm import LlmClient

__all__ = ["AppsRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppsRoom:
    """Settings, stores, where Node.js comes from, and whose models write apps."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    install_kit: InstallKit
    generator: LlmClient | None = None
    """The server whose models write apps; None: none is configured."""

    @property
    def node(self) -> Path | None:
        """The Node.js program, None where there is none."""
        try:
            return self.install_kit.node
        except Unavailable:
            return None
