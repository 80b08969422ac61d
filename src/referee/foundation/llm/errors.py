"""Why a language model gave no answer that can be used."""

from __future__ import annotations

from typing import Literal, TypeAlias

from referee.core.errors import Unavailable

__all__ = ["LlmError", "LlmErrorKind"]

LlmErrorKind: TypeAlias = Literal[
    "refused", "rate_limited", "timeout", "truncated", "malformed", "over_budget", "unreachable"
]
"""``refused``: the provider or the model said no, and would again. ``rate_limited``: too many requests, also
after waiting. ``timeout``: no whole answer in time. ``truncated``: the answer did not fit into its tokens.
``malformed``: not the JSON that was asked for, also after a repair. ``over_budget``: not sent, the purse is
empty. ``unreachable``: no connection, or the provider failed."""


class LlmError(Unavailable):
    """No answer that can be used; ``kind`` says why. Its code is ``llm.<kind>``.

    Nothing of it holds the key or the text of a prompt.
    """

    title = "Language model gave no answer"

    def __init__(self, kind: LlmErrorKind, message: str, hint: str = "", **context: object) -> None:
        super().__init__(f"llm.{kind}", message, hint, **context)
        self.kind: LlmErrorKind = kind
