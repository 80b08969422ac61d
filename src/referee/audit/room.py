"""What the audit room works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from referee.foundation.settings import Settings
from referee.foundation.store import Database

__all__ = ["AuditRoom", "GetRoom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRoom:
    """What the audit room works with."""

    settings: Settings
    database: Database


GetRoom: TypeAlias = Callable[[], AuditRoom]
"""How routes reach the room, which is opened after they are made."""
