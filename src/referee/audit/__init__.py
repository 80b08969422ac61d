"""Decisions of supervisors, each kept once in a chain that shows any change. This is the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.audit.queries import list_subject_decisions, verify_chain
    from referee.audit.recording import Decision, DecisionDraft, DecisionKind, record_decision

__all__ = [
    "Decision",
    "DecisionDraft",
    "DecisionKind",
    "list_subject_decisions",
    "record_decision",
    "verify_chain",
]

__getattr__ = open_door(
    __name__,
    {
        "queries": ("list_subject_decisions", "verify_chain"),
        "recording": ("Decision", "DecisionDraft", "DecisionKind", "record_decision"),
    },
)
