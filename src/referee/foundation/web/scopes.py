"""Which scope a request needs before its handler asks for more.

Reading needs ``read``, changing needs ``write``; sending telemetry and drawing
charts need less, so that keys which may do only that are let through. The
handler's own ``require`` has the last word.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["find_scope"]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
BROWSER_STATE_PATHS: Final = frozenset({"/ui/theme", "/ui/project", "/ui/login", "/ui/logout"})
"""What they change is a cookie of this browser, so reading is enough."""

_INGESTION: Final = re.compile(
    r"POST (?:/opentelemetry)?/v1/traces"
    r"|POST /session/start|POST /v1/sessions?(?:/start)?"
    r"|POST (?:/v1)?/sessions?/[^/]+/traces|POST (?:/v1)?/sessions?/[^/]+/events/batch"
    r"|(?:POST|PUT) (?:/v1)?/events|PUT (?:/v1)?/events/[^/]+"
    r"|POST (?:/v1)?/events(?:/model)?(?:/batch)?"
)
_ASKING: Final = re.compile(r"POST (?:/v1)?/events/(?:export|search)|(?:POST|PUT|DELETE) (?:/v1)?/projects")
"""Questions too long for an address; and changes of projects, which only their handlers refuse."""
_CHARTS: Final = re.compile(r"/v1/projects/[^/]+/charts(?:/.*)?")


def find_scope(method: str, path: str) -> str:
    """Return the word of the scope that a request needs."""
    is_change = not (
        method in SAFE_METHODS or path in BROWSER_STATE_PATHS or _ASKING.fullmatch(f"{method} {path}")
    )
    if _CHARTS.fullmatch(path):
        return "charts_write" if is_change else "charts_read"
    if is_change and _INGESTION.fullmatch(f"{method} {path}"):
        return "ingest"
    return "write" if is_change else "read"
