"""What `referee verify` reads again of spans: that sums are what the spans add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import text

from referee.core.integrity import IntegrityProblem, IntegrityTally
from referee.foundation.store import Database
from referee.traces.identity import format_uid

__all__ = ["check_spans"]

MAX_PROBLEMS: Final = 100
"""Of each kind; one wrong sum in a hundred sessions says enough."""

_SESSIONS: Final = text("""
SELECT coalesce(s.session_uid, t.session_uid)::text AS session_uid, coalesce(s.events_count, -1) AS summed_events,
  coalesce(t.events_count, 0) AS events, coalesce(s.total_tokens, -1) AS summed_tokens,
  coalesce(t.total_tokens, 0) AS tokens
FROM sessions s FULL JOIN (
  SELECT project_id, session_uid, count(*) FILTER (WHERE event_type <> 'session') AS events_count,
    coalesce(sum(total_tokens) FILTER (WHERE is_counted AND event_type <> 'session'), 0) AS total_tokens
  FROM spans GROUP BY project_id, session_uid
) t USING (project_id, session_uid)
WHERE s.events_count IS DISTINCT FROM coalesce(t.events_count, 0)
   OR s.total_tokens IS DISTINCT FROM coalesce(t.total_tokens, 0)
ORDER BY 1 LIMIT :limit
""")
_HOURS: Final = text("""
SELECT coalesce(h.hour, t.hour) AS hour, coalesce(h.spans_count, 0) AS summed, coalesce(t.spans_count, 0) AS spans
FROM (SELECT project_id, hour, sum(spans_count) AS spans_count, sum(traces_count) AS traces_count,
        sum(total_tokens) AS total_tokens
      FROM span_hours GROUP BY project_id, hour) h
FULL JOIN (
  SELECT project_id, div(start_ns, 3600000000000)::int8 AS hour, count(*) AS spans_count,
    count(*) FILTER (WHERE parent_uid IS NULL) AS traces_count,
    coalesce(sum(total_tokens) FILTER (WHERE is_counted), 0) AS total_tokens
  FROM spans WHERE event_type <> 'session' GROUP BY 1, 2
) t USING (project_id, hour)
WHERE coalesce(h.spans_count, 0) <> coalesce(t.spans_count, 0)
   OR coalesce(h.traces_count, 0) <> coalesce(t.traces_count, 0)
   OR coalesce(h.total_tokens, 0) <> coalesce(t.total_tokens, 0)
ORDER BY 1 LIMIT :limit
""")


async def check_spans(database: Database) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Compare what sessions and hours add up to with the spans there are."""
    async with database.reading() as session:
        for row in await session.execute(_SESSIONS, {"limit": MAX_PROBLEMS}):
            yield IntegrityProblem(
                "session.sums_differ",
                format_uid(row.session_uid.replace("-", "")),
                f"Its sums say {row.summed_events} events and {row.summed_tokens} tokens, its spans "
                f"{row.events} and {row.tokens}.",
            )
        for row in await session.execute(_HOURS, {"limit": MAX_PROBLEMS}):
            yield IntegrityProblem(
                "span_hour.sums_differ",
                f"hour {row.hour}",
                f"Its sums say {row.summed} spans, and there are {row.spans}; or their traces or tokens differ.",
            )
        count = await session.scalar(text("SELECT count(*) FROM spans"))
        yield IntegrityTally("spans", count or 0)
