"""Traces: spans, sessions and events, from OTLP and from clients. This is the door.

Names are imported when first asked for: the command line must not pay for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.traces.charting import (
        BUCKETINGS,
        CHART_FUNCTIONS,
        CHART_METRICS,
        ChartData,
        ChartQuery,
        compute_chart,
    )
    from referee.traces.event_filters import EventFilter, parse_event_filters
    from referee.traces.events import Event, render_event
    from referee.traces.room import TracesRoom, estimate_cost, open_traces
    from referee.traces.service import (
        EventPage,
        create_events,
        get_event,
        list_events,
        list_events_by_id,
        list_run_events,
        start_session,
        update_event,
    )

__all__ = [
    "BUCKETINGS",
    "CHART_FUNCTIONS",
    "CHART_METRICS",
    "ChartData",
    "ChartQuery",
    "Event",
    "EventFilter",
    "EventPage",
    "TracesRoom",
    "compute_chart",
    "create_events",
    "estimate_cost",
    "get_event",
    "list_events",
    "list_events_by_id",
    "list_run_events",
    "open_traces",
    "parse_event_filters",
    "render_event",
    "start_session",
    "update_event",
]

__getattr__ = open_door(
    __name__,
    {
        "charting": (
            "BUCKETINGS",
            "CHART_FUNCTIONS",
            "CHART_METRICS",
            "ChartData",
            "ChartQuery",
            "compute_chart",
        ),
        "event_filters": ("EventFilter", "parse_event_filters"),
        "events": ("Event", "render_event"),
        "room": ("TracesRoom", "estimate_cost", "open_traces"),
        "service": (
            "EventPage",
            "create_events",
            "get_event",
            "list_events",
            "list_events_by_id",
            "list_run_events",
            "start_session",
            "update_event",
        ),
    },
)
