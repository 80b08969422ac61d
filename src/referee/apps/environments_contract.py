"""What an environment is, and the one way in which making it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["AppEnvironment", "DependenciesFailed"]


class DependenciesFailed(Exception):
    """An app's dependencies could not be installed; ``lines`` are the last that the client printed."""

    def __init__(self, reason: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lines = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEnvironment:
    """What a component runs in."""

    program: Path
    """The ``python`` or ``node`` that stands for the first word of ``Component.argv``."""
    read_only: tuple[Path, ...]
    """Everything the sandbox must show for it, besides the app's own folder."""
    variables: Mapping[str, str] = field(default_factory=dict)
    node_modules: Path | None = None
    notices: tuple[str, ...] = ()
    """Such as "npm needed --legacy-peer-deps"."""
