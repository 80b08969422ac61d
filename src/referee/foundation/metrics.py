"""The registry of Referee's own metrics.

Each room declares its metrics at module level with ``registry=REGISTRY`` and
names them ``referee_<room>_<noun>_<unit>``, such as
``referee_store_artifact_writes_total`` or ``referee_tools_run_seconds``: room
first, base units (seconds, bytes), ``_total`` for counters. Labels take words
from a fixed vocabulary only, never an id, a path or a message, so that the
number of series stays small. ``/-/metrics`` renders this registry.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE", "REGISTRY", "render_metrics"]

REGISTRY = CollectorRegistry(auto_describe=True)
"""An own registry: a library that registers into the default one adds nothing to our page."""

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render_metrics() -> bytes:
    """Return the present values in the Prometheus text format."""
    return generate_latest(REGISTRY)
