"""Record what a load generator of ours sees, for ``run_aiohttp.py`` and ``run_locust.py``.

Times are whole microseconds since the load of an address began. The record of an
address is one JSON line of parallel lists, written as soon as the address is
done, so a run that is stopped keeps the addresses before it.
"""

# mypy: ignore-errors
# It runs in the tools' environments, not in ours.

from __future__ import annotations

import json
import time

TICK_S = 0.02
"""How often the generator's loop says how late it is: 50 times a second costs it nothing."""
_SHORTEST_S = 0.25
"""In less a slow address may not answer once."""
_MAX_LAGS_COUNT = 10_000


class Recording:
    """Samples of one address. ``begin`` starts the measured time; what was sent before does not count."""

    def __init__(self, index, limit):
        self.index = index
        self._limit = limit
        self._start_s = None
        self._start_cpu_s = 0.0
        self._ended, self._latencies, self._results, self._lags = [], [], [], []
        self._errors = []

    @property
    def is_full(self):
        """Whether no more samples are kept."""
        return len(self._ended) >= self._limit

    def begin(self):
        """Start the measured time."""
        self._start_s, self._start_cpu_s = time.perf_counter(), time.process_time()

    def add(self, sent_s, ended_s, status, error):
        """Keep a request: its status, or the kind of its error when no answer came."""
        if self._start_s is None or sent_s < self._start_s or self.is_full:
            return
        self._ended.append(_microseconds(ended_s - self._start_s))
        self._latencies.append(_microseconds(ended_s - sent_s))
        self._results.append(status if status else -1 - self._find_error(error))

    def add_lag(self, lag_s):
        """Keep how late the loop was."""
        if self._start_s is not None and len(self._lags) < _MAX_LAGS_COUNT:
            self._lags.append(_microseconds(max(0.0, lag_s)))

    def write(self, *, cpu_s, is_warned=False):
        """Print the record as one line; ``cpu_s`` is the CPU time up to the end of the load."""
        record = {
            "kind": "address",
            "index": self.index,
            "cpu_us": _microseconds(max(0.0, cpu_s - self._start_cpu_s)),
            "is_warned": is_warned,
            "is_full": self.is_full,
            "errors": self._errors,
            "ended_us": self._ended,
            "latency_us": self._latencies,
            "results": self._results,
            "lags_us": self._lags,
        }
        print(json.dumps(record, separators=(",", ":")), flush=True)

    def _find_error(self, kind):
        if kind not in self._errors:
            self._errors.append(kind)
        return self._errors.index(kind)


def share_time(job):
    """Yield number, address and time of each load, until the time for all is used up."""
    end_s = time.monotonic() + job["time_budget_s"]
    urls = job["urls"]
    for index, target in enumerate(urls):
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            return
        yield index, target, max(_SHORTEST_S, min(job["run_time_s"], left_s / (len(urls) - index)))


def print_end():
    """Say that nothing is missing."""
    print(json.dumps({"kind": "end"}), flush=True)


def name_error(error):
    """Return the kind of an error, the same word for the same trouble whichever library raised it."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        # geventhttpclient keeps what happened beside the chain that Python keeps.
        error = getattr(error, "original", None) or error.__cause__ or error.__context__
    for one in seen:
        if isinstance(one, TimeoutError) or "timeout" in type(one).__name__.lower():
            return "timeout"
        if isinstance(one, ConnectionRefusedError):
            return "connection_refused"
        if isinstance(one, (ConnectionResetError, BrokenPipeError)):
            return "connection_reset"
    return next(
        (_NAMES[name] for name in (type(one).__name__ for one in seen) if name in _NAMES), "other_error"
    )


_NAMES = {
    "ServerDisconnectedError": "no_answer",
    "HTTPConnectionClosed": "no_answer",
    "RemoteDisconnected": "no_answer",
    "ClientPayloadError": "answer_cut",
    "HTTPProtocolViolationError": "answer_malformed",
    "HTTPParseError": "answer_malformed",
    "ClientResponseError": "answer_malformed",
    "ClientConnectorError": "connection_failed",
    "ClientOSError": "connection_failed",
}
"""Kinds by the class of aiohttp's and geventhttpclient's errors."""


def _microseconds(seconds):
    return round(seconds * 1_000_000)
