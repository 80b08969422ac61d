"""The providers that metrics may name, and what each project may still spend on them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID

from referee.foundation.llm import Purse
from referee.foundation.settings import LlmProvider, Settings

if TYPE_CHECKING:
    from referee.foundation.llm import LlmClient

__all__ = ["JudgeBook", "NoJudgeError"]

JUDGE_NAME: Final = "judge"
"""Name of the judge of the settings, where no provider of that name is set."""
_CALLS_COUNT: Final = 100
"""Requests of one evaluation, retries included: far above what a question can take."""


class NoJudgeError(Exception):
    """No model can be asked; its text is one sentence that says why."""


class JudgeBook:
    """Opens each provider once, when first asked for. For one event loop; close it when done.

    Args:
        settings: Name the providers.
        variables: Environment that holds their keys.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._variables = os.environ if variables is None else variables
        self._clients: dict[str, LlmClient] = {}
        self._held: dict[UUID, int] = {}

    def open_judge(self, provider: str | None, model: str | None, tokens_count: int) -> LlmClient:
        """Return a client that asks a model of a provider, with so many tokens to spend.

        Args:
            provider: Its name in the settings; None: the only one, else the judge.
            model: As the provider calls it; None: the one that its setting names.
            tokens_count: Of questions and answers together.

        Raises:
            NoJudgeError: There is no such provider, its key is not there, or no model is named.
        """
        name, found = self._find(provider)
        chosen = model or found.model
        if not chosen:
            raise NoJudgeError(f"The metric names no model, and neither does the setting of {name!r}.")
        if name not in self._clients:
            self._clients[name] = self._open(name, found)
        client = self._clients[name].with_model(chosen)
        client.purse = Purse(tokens_count, _CALLS_COUNT)
        return client

    def count_held(self, project_id: UUID) -> int:
        """Return the tokens that running questions of a project may still use."""
        return self._held.get(project_id, 0)

    @contextmanager
    def hold(self, project_id: UUID, tokens_count: int) -> Iterator[None]:
        """Set tokens of a project aside while a question is on its way."""
        self._held[project_id] = self.count_held(project_id) + tokens_count
        try:
            yield
        finally:
            self._held[project_id] -= tokens_count

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _find(self, provider: str | None) -> tuple[str, LlmProvider]:
        known = dict(self._settings.evaluator_providers)
        settings = self._settings
        if settings.judge_url is not None and JUDGE_NAME not in known:
            known[JUDGE_NAME] = LlmProvider(
                url=settings.judge_url, timeout_s=settings.judge_timeout_s, model=settings.judge_model
            )
        if provider:
            by_lower = {name.lower(): name for name in known}
            name = by_lower.get(provider.lower())
            if name is None:
                raise NoJudgeError(f"No provider {provider[:80]!r} is named in the settings.")
            return name, known[name]
        if not known:
            raise NoJudgeError("No provider of language models is named in the settings.")
        name = next(iter(known)) if len(known) == 1 else JUDGE_NAME
        if name not in known:
            raise NoJudgeError("The metric names no provider, and the settings name several.")
        return name, known[name]

    def _open(self, name: str, provider: LlmProvider) -> LlmClient:
        from referee.foundation.llm import LlmClient  # noqa: PLC0415 - only where a metric asks a model

        key = self._variables.get(provider.key_variable, "") if provider.key_variable else ""
        if provider.key_variable and not key:
            raise NoJudgeError(f"The key of {name!r} is not there: {provider.key_variable} is not set.")
        settings = self._settings
        if name == JUDGE_NAME and name not in settings.evaluator_providers and settings.judge_api_key:
            key = settings.judge_api_key.get_secret_value()
        return LlmClient(
            provider.url,
            provider.model,
            key or None,
            purse=Purse(0, 0),
            timeout_s=provider.timeout_s,
            max_attempts_count=settings.evaluator_max_attempts_count,
            setting_prefix="evaluator",
        )
