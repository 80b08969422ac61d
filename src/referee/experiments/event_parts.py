"""The parts of an event as JSON text, for pages that show one event whole."""

from __future__ import annotations

import json
from typing import Final

from referee.traces import Event

__all__ = ["list_event_parts"]

MAX_PART_CHARACTERS: Final = 20_000
"""Of one part on a page; the event's own page has more, its JSON all."""


def list_event_parts(event: Event) -> list[tuple[str, str, bool]]:
    """Return the parts of an event that say something: title, JSON, and whether it was cut."""
    parts = (
        ("Inputs", event.inputs),
        ("Outputs", event.outputs),
        ("Metrics", event.metrics),
        ("Feedback", event.feedback),
    )
    texts = [
        (title, json.dumps(value, indent=2, ensure_ascii=False))
        for title, value in parts
        if value or title in ("Inputs", "Outputs")
    ]
    return [(title, text[:MAX_PART_CHARACTERS], len(text) > MAX_PART_CHARACTERS) for title, text in texts]
