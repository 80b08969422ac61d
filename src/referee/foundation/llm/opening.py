"""Opening the language model that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.foundation.llm.budget import Purse

if TYPE_CHECKING:
    from referee.foundation.llm.client import LlmClient
    from referee.foundation.settings import Settings

__all__ = ["open_llm"]


def open_llm(settings: Settings) -> LlmClient | None:
    """Return a client of the judge that the settings name, with a full purse; None when they name none.

    Its purse is the budget of one tool run: give each run ``client.with_full_purse()``.
    """
    if settings.judge_url is None:
        return None
    from referee.foundation.llm.client import LlmClient  # noqa: PLC0415 - only where a judge is configured

    key = settings.judge_api_key
    return LlmClient(
        settings.judge_url,
        settings.judge_model,
        key.get_secret_value() if key is not None else None,
        purse=Purse(settings.judge_max_tokens_count),
        timeout_s=settings.judge_timeout_s,
        max_attempts_count=settings.judge_max_attempts_count,
    )
