"""The trace context of a request."""

from __future__ import annotations

from referee.core.trace_context import make_traceparent, parse_traceparent

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_trace_context_is_passed_on_only_in_its_own_form() -> None:
    assert parse_traceparent(TRACEPARENT) == TRACEPARENT
    for text in (
        None,
        "",
        TRACEPARENT.upper(),
        TRACEPARENT + "\n",
        TRACEPARENT.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        f"{TRACEPARENT};LD_PRELOAD=x",
    ):
        assert parse_traceparent(text) is None


def test_new_traces_differ_and_are_well_formed() -> None:
    made = {make_traceparent() for _ in range(100)}
    assert len(made) == 100
    assert all(parse_traceparent(text) == text for text in made)
