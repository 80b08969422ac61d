"""Where an app under test answers, as tools see it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address of a running app."""

    name: str
    """Name of the component that answers there: ``backend``, ``frontend``, or what its description calls it."""
    url: str
    """Where it answers, without a slash at the end: ``http://127.0.0.1:5001``."""
    port: int
    framework: str = ""
    """What it is built with, as its source tells: ``flask``, ``fastapi``, ``express``, ``vite``; empty: unknown."""
