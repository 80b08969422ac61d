"""One request to a language model's server: bounded, paid for, and tried again where that helps.

No redirect is followed, no more bytes are read than allowed, compressed
answers are not taken (a few bytes could become gigabytes), and no error
carries the key.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from referee.core.clock import Clock
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.web_addresses import read_web_address
from referee.foundation.llm.budget import Purse
from referee.foundation.llm.dialect import Dialect
from referee.foundation.llm.errors import LlmError
from referee.foundation.llm.messages import Completion, estimate_tokens, read_completion
from referee.foundation.llm.pacing import Pace
from referee.foundation.outgoing import GuardedTransport, OutgoingGuard, RefusedAddressError, find_proxy

__all__ = ["Answer", "Sender", "Tally"]

CONNECT_TIMEOUT_S: Final = 10.0
FIRST_WAIT_S: Final = 1.0
"""Before the first retry; doubled before each further one."""
MAX_WAIT_S: Final = 60.0
"""A server that wants a longer pause is given up, so that a tool run ends within its limits."""
_RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429})
_SECONDS: Final = re.compile(r"^\d{1,6}(?:\.\d{1,6})?$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered, whole."""

    status: int
    body: bytes
    retry_after: str | None
    prompt_estimate: int
    """About how many tokens the request had, for servers that do not count."""


@dataclass(slots=True)
class Tally:
    """What one question has cost so far, and the purse that pays."""

    purse: Purse
    attempts_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, completion: Completion, prompt_estimate: int) -> None:
        """Add an answer."""
        prompt_tokens, completion_tokens = completion.count_tokens(prompt_estimate)
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens


class Sender:
    """Sends requests to one server. Arguments as those of ``LlmClient``."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout_s: float,
        max_attempts_count: int,
        max_response_bytes: int,
        wait: Callable[[float], Awaitable[None]],
        clock: Clock,
        setting_prefix: str,
        requests_per_minute: float | None,
    ) -> None:
        self._variable = f"REFEREE_{setting_prefix.upper()}"
        _check_url(base_url, self._variable)
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self.dialect = Dialect()
        """How the server wants to be asked, as far as it has said."""
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._max_attempts_count = max_attempts_count
        self._max_response_bytes = max_response_bytes
        self._wait = wait
        self._clock = clock
        self._pace = (
            None if requests_per_minute is None else Pace(requests_per_minute, wait=wait, clock=clock)
        )
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if api_key:
            headers["authorization"] = f"Bearer {_check_key(api_key, self._variable)}"
        self._http = httpx.AsyncClient(
            headers=headers,
            follow_redirects=False,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            # A proxy of the environment is how companies reach a provider; it is asked for the name itself.
            transport=None if find_proxy(base_url) else GuardedTransport(OutgoingGuard().allowing(base_url)),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def send(self, body: dict[str, JsonValue], max_tokens: int, tally: Tally) -> Answer:
        """Send one request, again where that helps, and return the answer: success or a refusal for good.

        Raises:
            LlmError: ``over_budget`` before anything is sent; ``unreachable``, ``rate_limited`` after the
                last attempt; ``timeout``; ``malformed`` when the answer is larger than what is read.
        """
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", errors="replace")
        wait_s = FIRST_WAIT_S
        attempt = 1
        while True:
            retry_after = None
            if self._pace is not None:
                await self._pace.wait_for_turn()
            try:
                answer = await self._send_once(content, max_tokens, tally)
                failure = self._describe_busy(answer)
                if failure is None:
                    return answer
                retry_after = answer.retry_after
            except RefusedAddressError as error:
                raise LlmError("refused", error.reason.message, f"Check {self._variable}_URL.") from error
            except httpx.HTTPError as error:
                failure = LlmError(
                    "unreachable",
                    f"The language model's server at {self.url} cannot be reached ({type(error).__name__}).",
                    f"Check {self._variable}_URL and that the server runs.",
                )
            pause_s = self._read_retry_after(retry_after, default_s=wait_s)
            if attempt >= self._max_attempts_count or pause_s > MAX_WAIT_S:
                raise failure
            await self._wait(pause_s)
            wait_s *= 2
            attempt += 1

    def require_success(self, answer: Answer) -> None:
        """Raise ``refused`` unless the answer is a success."""
        if httpx.codes.is_success(answer.status):
            return
        if httpx.codes.is_redirect(answer.status):
            raise LlmError(
                "refused",
                f"The language model's server answered with a redirect ({answer.status}), which is never followed.",
                f"Set {self._variable}_URL to the address that it leads to.",
                status=answer.status,
            )
        is_about_key = answer.status in (401, 403)
        raise LlmError(
            "refused",
            f"The language model's server refused the request ({answer.status}): {self._read_reason(answer.body)}.",
            f"Check {self._variable}_API_KEY."
            if is_about_key
            else f"Check the name of the model and {self._variable}_URL.",
            status=answer.status,
        )

    async def _send_once(self, content: bytes, max_tokens: int, tally: Tally) -> Answer:
        """Send and read one answer. Pays what was used, and all that was held when nobody knows."""
        prompt_estimate = estimate_tokens(content)
        held = used = prompt_estimate + max_tokens
        tally.purse.hold(held)
        tally.attempts_count += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._http.build_request(
                    "POST", self.url, content=content, headers={"content-type": "application/json"}
                )
                response = await self._http.send(request, stream=True)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
            answer = Answer(response.status_code, body, response.headers.get("retry-after"), prompt_estimate)
            used = _compute_used(answer, held)
            return answer
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise LlmError(
                "timeout",
                f"The language model gave no whole answer within {self._timeout_s:g} seconds.",
                f"Raise {self._variable}_TIMEOUT_S, or use a faster model.",
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            used = 0
            raise
        finally:
            tally.purse.settle(held, used)

    async def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise LlmError(
                "malformed", "The language model's server sent a compressed answer, which is not taken."
            )
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_response_bytes:
                raise LlmError(
                    "malformed",
                    f"The language model's server answered with more than {self._max_response_bytes:,} bytes.",
                    f"Check that {self._variable}_URL is the address of an OpenAI-compatible API.",
                )
        return bytes(body)

    def _describe_busy(self, answer: Answer) -> LlmError | None:
        """Return the failure to raise when trying again was of no use; None when the answer is for good."""
        if answer.status not in _RETRIED_STATUSES and answer.status < 500:
            return None
        reason = self._read_reason(answer.body)
        if answer.status == 429:
            return LlmError(
                "rate_limited",
                f"The language model's server takes no more requests for now: {reason}.",
                "Try again later, or ask the provider for a higher limit.",
            )
        return LlmError(
            "unreachable",
            f"The language model's server failed ({answer.status}): {reason}.",
            "Try again later.",
            status=answer.status,
        )

    def _read_retry_after(self, text: str | None, *, default_s: float) -> float:
        """Return the seconds a server asks to wait.

        Source:
            RFC 9110, section 10.2.3: seconds or a date.
        """
        if text is None:
            return min(default_s, MAX_WAIT_S)
        if _SECONDS.match(text.strip()):
            return float(text)
        try:
            return max(0.0, (parsedate_to_datetime(text) - self._clock.now()).total_seconds())
        except (TypeError, ValueError):  # no date, or one without a zone
            return min(default_s, MAX_WAIT_S)

    def _read_reason(self, body: bytes) -> str:
        """Return the provider's own words, short and without the key, for an error."""
        try:
            document = json.loads(body[:20_000].decode("utf-8", errors="replace"))
        except (ValueError, RecursionError):
            document = None
        error = document.get("error") if isinstance(document, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        text = message if isinstance(message, str) and message.strip() else "it gave no reason"
        if self._api_key:
            text = text.replace(self._api_key, "[hidden]")
        return " ".join(text.split())[:300].rstrip(".")


def _check_url(base_url: str, variable: str) -> None:
    try:
        url = httpx.URL(read_web_address(base_url).url)
    except (InvalidInput, httpx.InvalidURL):
        url = httpx.URL("?")
    if url.query or url.fragment or not url.host:
        raise InvalidInput(
            "llm.url_invalid",
            "The address of the language model's server is no plain http or https address.",
            f"Write it as http://127.0.0.1:8080/v1; a key goes into {variable}_API_KEY.",
        )


def _check_key(api_key: str, variable: str) -> str:
    """Return a key that a header can carry; a library's own complaint would repeat it."""
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise InvalidInput(
            "llm.key_invalid",
            "The key of the language model's server holds white space or characters that no key has.",
            f"Set {variable}_API_KEY to the key alone.",
        )
    return api_key


def _compute_used(answer: Answer, held: int) -> int:
    """Return the tokens to pay: none for a refusal, all that was held for a success that does not say."""
    if not httpx.codes.is_success(answer.status):
        return 0
    try:
        return sum(read_completion(answer.body).count_tokens(answer.prompt_estimate))
    except LlmError:
        return held
