"""How much a language model may be used: tokens and requests, held before they are spent.

A request is paid in advance with the most it can cost, and what it did not
use comes back when the answer says so. So a purse is never overdrawn by
requests that are on their way at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from referee.foundation.llm.errors import LlmError

__all__ = ["Purse"]


@dataclass(slots=True)
class Purse:
    """Tokens and requests that one purpose, such as one tool run, may use. For one event loop."""

    tokens_count: int
    """Tokens of prompts and answers together."""
    calls_count: int = 1_000
    """Requests, retries included."""
    spent_tokens_count: int = field(default=0, init=False)
    spent_calls_count: int = field(default=0, init=False)
    _held_tokens_count: int = field(default=0, init=False, repr=False)

    @property
    def free_tokens_count(self) -> int:
        """Tokens that are neither spent nor held for a request on its way."""
        return max(0, self.tokens_count - self.spent_tokens_count - self._held_tokens_count)

    def hold(self, tokens_count: int) -> None:
        """Set tokens and one request aside for what is about to be sent.

        Raises:
            LlmError: ``over_budget``; nothing was set aside.
        """
        if self.spent_calls_count >= self.calls_count:
            raise LlmError(
                "over_budget",
                f"The budget of {self.calls_count:,} requests to the language model is used up.",
                "Ask for less at once.",
            )
        if tokens_count > self.free_tokens_count:
            raise LlmError(
                "over_budget",
                f"A request of about {tokens_count:,} tokens does not fit into the "
                f"{self.free_tokens_count:,} that are left of {self.tokens_count:,}.",
                "Raise REFEREE_JUDGE_MAX_TOKENS_COUNT, or ask for less at once.",
                needed_tokens_count=tokens_count,
                free_tokens_count=self.free_tokens_count,
            )
        self._held_tokens_count += tokens_count
        self.spent_calls_count += 1

    def settle(self, held_tokens_count: int, used_tokens_count: int) -> None:
        """Give back what was held and take what was used."""
        self._held_tokens_count -= held_tokens_count
        self.spent_tokens_count += used_tokens_count
