"""What a recipe says: the components of an app, their start and their dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["PAGE_PROBE", "SERVER_PROBE", "Component", "ComponentKind", "Dependencies", "Recipe"]

ComponentKind = Literal["python", "node", "static"]

SERVER_PROBE: Final = ("/health", "/api/health", "/")
PAGE_PROBE: Final = ("/",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What has to be installed before a component can start."""

    manager: Literal["uv", "npm"]
    folder: str
    """Folder of the dependency files, relative to the snapshot's root; empty for the root."""
    files: tuple[str, ...]
    """Files that say what to install, relative to the snapshot's root, lock file first."""
    digest: str
    """SHA-256 over the names and contents of ``files``: equal digests share one environment."""
    extra: tuple[str, ...] = ()
    """Packages besides, such as ``uvicorn`` where the source needs it and no file names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One process of an app."""

    name: str
    """``backend``, ``frontend``, or the name in the app's own description."""
    kind: ComponentKind
    framework: str
    """``flask fastapi django express vite node static``; empty: unknown."""
    folder: str
    """Where it starts, relative to the snapshot's root; empty for the root."""
    argv: tuple[str, ...]
    """Program and arguments. The first word ``python`` or ``node`` stands for that of the environment; ``{port}``,
    ``{host}`` and ``{backend_url}`` are filled in. Paths are relative to ``folder``."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, with the same words filled in. PORT and HOST are always set."""
    port: int | None = None
    """The port that the source fixes; None: it takes the one it is given."""
    build: tuple[tuple[str, ...], ...] = ()
    """Commands that run once before the start, in the same sandbox, such as ``vite build``."""
    probe_paths: tuple[str, ...] = SERVER_PROBE
    """Where an answer of any kind below 500 shows that it is up, tried in order."""
    dependencies: Dependencies | None = None
    reason: str = ""
    """One sentence: from what it was recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an app is started: its components in the order of their start."""

    components: tuple[Component, ...]
    notices: tuple[str, ...] = ()
    """What was noticed while reading it, such as two possible entry files."""
