"""Questions to a language model, answered as checked JSON. This is the door.

Names are imported when first asked for, so that a room which only names the
client's type pays nothing for the HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.llm.budget import Purse
    from referee.foundation.llm.client import LlmClient
    from referee.foundation.llm.errors import LlmError, LlmErrorKind
    from referee.foundation.llm.messages import ChatMessage, LlmReply
    from referee.foundation.llm.opening import open_generator, open_llm

__all__ = [
    "ChatMessage",
    "LlmClient",
    "LlmError",
    "LlmErrorKind",
    "LlmReply",
    "Purse",
    "open_generator",
    "open_llm",
]

__getattr__ = open_door(
    __name__,
    {
        "budget": ("Purse",),
        "client": ("LlmClient",),
        "errors": (
            "LlmError",
            "LlmErrorKind",
        ),
        "messages": (
            "ChatMessage",
            "LlmReply",
        ),
        "opening": ("open_generator", "open_llm"),
    },
)
