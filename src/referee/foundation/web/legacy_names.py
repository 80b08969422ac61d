"""Names that older clients still send: taken under today's name, counted, and never sent back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter

from referee.foundation.metrics import REGISTRY

__all__ = ["LEGACY_NAMES", "rename_legacy"]

LEGACY_NAMES = Counter(
    "referee_web_legacy_names",
    "Members of requests under a name that only older clients send, by that name.",
    ("name",),
    registry=REGISTRY,
)


def rename_legacy(value: Any, names: Mapping[str, str], *, wrapper: str | None = None) -> Any:
    """Return a body with its old member names replaced; a member of today's name wins over an old one.

    Args:
        value: The body as it came.
        names: Old name → today's. Known words only, since each is counted under its name.
        wrapper: Member that older clients put the whole body into.
    """
    if not isinstance(value, dict):
        return value
    if wrapper is not None and isinstance(value.get(wrapper), dict):
        LEGACY_NAMES.labels(wrapper).inc()
        value = value[wrapper]
    if not names.keys() & value.keys():
        return value
    renamed = dict(value)
    for old, new in names.items():
        if old in renamed:
            LEGACY_NAMES.labels(old).inc()
            renamed.setdefault(new, renamed.pop(old))
    return renamed
