"""A place of a running app, as findings and measurements name it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where in a running app something was seen: without host, port or run, so it is the same place next time."""

    target: str
    """Name of a ``Target``, such as ``backend``."""
    method: str = ""
    """Upper case; empty when it is about the target as a whole."""
    path: str = ""
    """Path without query, such as ``/api/tasks/:id``; as the template or the route writes it where one is known."""
    parameter: str = ""
    """Name of a query, body, cookie or header field; empty when none is meant."""

    def __str__(self) -> str:
        """Return how people read it: ``backend GET /api/tasks (q)``."""
        words = " ".join(word for word in (self.target, self.method, self.path) if word)
        return f"{words} ({self.parameter})" if self.parameter else words
