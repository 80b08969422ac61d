"""What the API's description says of itself: an introduction, and a sentence for each group of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["API_DESCRIPTION", "API_TAGS"]

API_DESCRIPTION: Final = """\
Everything that Referee's pages and commands show and do.

Errors are problem details (RFC 9457) with a stable `code`. Lists are paged: `limit`, `cursor`, `next_cursor` and a
`Link` header. A 2xx answer means that what was sent is on disk and that every later read shows it. Instants are UTC,
and the unit of a number is in its name.

Operations without `/v1` in their address are those that telemetry clients call. The deprecated ones among them are
the addresses of older clients; new programs use the ones with `/v1`.
"""

API_TAGS: Final[Mapping[str, str]] = {
    "access": "Projects, and the keys that programs sign in with.",
    "alerts": "Rules that watch numbers, what they came to, channels and deliveries.",
    "analyses": "One execution each that judges a subject with a set of tools: state, results, exports.",
    "analyzers": "Machines that run tools for this server, and the bytes they exchange with it.",
    "app runs": "Starting and stopping generated apps, and their logs.",
    "apps": "Generated web apps, their versions, sources and bills of materials.",
    "audit": "Decisions of supervisors, their lag and their traces, and what lead scans found.",
    "backfills": "Runs that fill in columns of old rows, their plans, progress and counts.",
    "charts": "Saved charts over events.",
    "configurations": "Named settings of prompts and models, with versions.",
    "datapoints": "Cases of datasets: inputs and what is expected.",
    "datasets": "Named sets of datapoints with versions, their import and export.",
    "events": "Sessions and events as telemetry clients send and read them.",
    "findings": "Places where a rule matched, their state and history.",
    "functions": "Function tools that a model may call, as configurations name them.",
    "generations": "Apps in the making: prompts, answers and attempts.",
    "jobs": "Durable units of background work.",
    "metrics": "What judges an event, with versions, and trying one out.",
    "models": "Language models by their slug, with prices.",
    "operations": "Health, readiness, Referee's own metrics and integrity.",
    "otlp": "Spans as OpenTelemetry exporters send them.",
    "pipelines": "Models × templates: planning, running, comparing, exporting.",
    "queues": "Queues of events that people annotate.",
    "reports": "Documents for people, made from pipelines and analyses.",
    "result imports": "Results of earlier systems taken in as analyses, and what was set aside.",
    "runs": "Executions over a dataset, their results and comparisons.",
    "services": "Families of tools, and whether they are taken out of service.",
    "templates": "Requirements that an app is asked to meet.",
    "tools": "The analysis tools that can be asked for.",
    "traces": "Traces, spans and sessions as they were stored.",
    "videos": "Clips of athletes: upload, passes, metrics with intervals, findings, reports, goals.",
}
