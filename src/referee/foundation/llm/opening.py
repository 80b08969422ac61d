"""Opening the language models that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from referee.foundation.llm.budget import Purse

if TYPE_CHECKING:
    from referee.foundation.llm.client import LlmClient
    from referee.foundation.settings import Settings

__all__ = ["open_generator", "open_llm"]

_NO_TOKENS_LIMIT: Final = 1_000_000_000
"""A generation is limited in dollars and in calls, and each call in tokens."""
_GENERATION_CALLS_COUNT: Final = 200
"""Requests of one generation, retries included: far above what its rounds and their retries can take."""


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


def open_generator(settings: Settings) -> LlmClient | None:
    """Return a client of the server whose models write apps; None when the settings name none.

    It asks no model yet: give each generation ``client.with_model(name)``, which shares the
    limit of requests per minute.
    """
    if settings.generator_url is None:
        return None
    from referee.foundation.llm.client import LlmClient  # noqa: PLC0415 - only where a generator is configured

    key = settings.generator_api_key
    return LlmClient(
        settings.generator_url,
        "",
        key.get_secret_value() if key is not None else None,
        purse=Purse(_NO_TOKENS_LIMIT, _GENERATION_CALLS_COUNT),
        timeout_s=settings.generator_timeout_s,
        max_attempts_count=settings.generator_max_attempts_count,
        setting_prefix="generator",
        requests_per_minute=settings.generator_requests_per_minute_count,
    )
