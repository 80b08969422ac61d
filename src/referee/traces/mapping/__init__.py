"""What span attributes mean: a versioned table of rules, and the function that applies it."""

from __future__ import annotations

from referee.traces.mapping.applying import MappedSpan, map_span
from referee.traces.mapping.rules import MAPPING_VERSION

__all__ = ["MAPPING_VERSION", "MappedSpan", "map_span"]
