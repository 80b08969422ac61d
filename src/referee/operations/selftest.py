"""``referee selftest``: does this installation keep what it promises? Asked over HTTP, as any client would.

Each check is a row: what was looked at, what was measured, what was expected. A check that cannot be made because
an earlier one failed says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

import httpx

from referee.tools.load_report import compute_percentile

__all__ = ["CheckRow", "SelfTest", "SelfTestOptions", "open_clients"]

_REQUEST_TIMEOUT_S: Final = 60.0
_LOOK_S: Final = 0.5
_PROBES_COUNT: Final = 20
_HEALTH_LIMIT_MS: Final = 500.0
_CREATION_LIMIT_MS: Final = 500.0
_CELLS_COUNT: Final = 4
_FEWEST_CASES_COUNT: Final = 20
"""A rate of fewer cases is shown and not judged."""
_RATE_LIMITS: Final = {"static": 0.95, "dynamic": 0.85, "pipelines": 0.90}
"""Least share of successes without help, by kind."""
_RATE_DAYS_COUNT: Final = 30
_MAX_ARTIFACTS_COUNT: Final = 200
_ANALYSIS_LINK: Final = re.compile(r"/ui/analyses/([0-9a-f-]{36})")

Verdict = Literal["ok", "failed", "not judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestOptions:
    """What is asked for."""

    rounds_count: int = 1
    submitters_count: int = 40
    """Clients that send the same pipeline at the same time, in each round."""
    is_app_run: bool = True
    round_timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of the table."""

    check: str
    verdict: Verdict
    measured: str
    expected: str
    """What was expected, or what to do."""


@dataclass(frozen=True, slots=True)
class _Round:
    ids: Sequence[str]
    """Of the pipeline, one from each submitter that was answered."""
    refusals: Sequence[str]
    answers_ms: Sequence[float]


@asynccontextmanager
async def open_clients(
    url: str, key: str | None, project: str, *, count: int
) -> AsyncIterator[Sequence[httpx.AsyncClient]]:
    """Give clients of a server, each with a pool of its own.

    Many requests at once through one pool keep each other waiting: it costs 200 of them 6 ms of processor time each,
    against 1 ms with a pool for each, and that would be told as the server's time.

    Args:
        url: Of the server.
        key: Bearer key; None on the machine itself.
        project: Slug of the project that a request without a key means.
        count: Clients.
    """
    trusted = httpx.create_ssl_context(trust_env=False)  # made once: it reads every certificate of the list
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=url.rstrip("/"),
                    headers={"Authorization": f"Bearer {key}"} if key else {},
                    cookies={} if key else {"referee_project": project},
                    timeout=_REQUEST_TIMEOUT_S,
                    verify=trusted,
                    trust_env=False,
                )
            )
            for _ in range(count)
        ]


class SelfTest:
    """The checks on one server, in their order.

    Args:
        clients: Of the server, one for each submitter and at least one; the first one asks everything else.
        options: What is asked for.
        tell: Called with a sentence whenever something that takes long begins.
    """

    def __init__(
        self, clients: Sequence[httpx.AsyncClient], options: SelfTestOptions, tell: Callable[[str], None]
    ) -> None:
        self._client, self._submitters = clients[0], clients[: options.submitters_count]
        self._options = options
        self._tell = tell
        self.rows: list[CheckRow] = []
        self._answers_ms: list[float] = []
        self._doubles: list[str] = []
        self._rounds: list[dict[str, Any]] = []
        self._round_faults: list[str] = []

    @property
    def has_failed(self) -> bool:
        """Whether a check failed."""
        return any(row.verdict == "failed" for row in self.rows)

    async def run(self) -> list[CheckRow]:
        """Make every check; what goes wrong becomes a row."""
        if not await self._check_health():
            for name in ("pipeline", "duplicates", "creation time", "hand-over", "success rates"):
                self._add(name, "failed", "not made", "The server has to be well first.")
            return self.rows
        await self._check_services()
        for number in range(1, self._options.rounds_count + 1):
            self._tell(f"Round {number} of {self._options.rounds_count}: {_CELLS_COUNT} apps")
            await self._guard("pipeline", self._run_round)
        self._judge_rounds()
        await self._guard("hand-over", self._check_hand_over)
        await self._guard("success rates", self._check_rates)
        return self.rows

    def _add(self, check: str, verdict: Verdict, measured: str, expected: str) -> None:
        self.rows.append(CheckRow(check, verdict, measured, expected))

    async def _guard(self, check: str, function: Callable[[], Any]) -> None:
        """Turn an answer that is no success, or none at all, into a row."""
        try:
            await function()
        except (httpx.HTTPError, LookupError, ValueError, TypeError) as error:
            self._add(check, "failed", _explain(error), "an answer of the known form")

    async def _get(self, path: str, **query: str | int) -> Any:
        answer = await self._client.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def _check_health(self) -> bool:
        times_ms: list[float] = []
        try:
            for _ in range(_PROBES_COUNT):
                started = time.monotonic()
                health = await self._client.get("/health")
                times_ms.append((time.monotonic() - started) * 1_000)
            ready = await self._client.get("/ready")
            bad = [
                f"{name}: {one['detail']}"
                for answer in (health, ready)
                for name, one in answer.json()["checks"].items()
                if one["status"] == "fail"
            ]
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            hint = "A Referee server has to answer there; start one with `referee up`."
            self._add("health", "failed", _explain(error), hint)
            return False
        p95_ms = _compute_p95(times_ms)
        is_well = health.status_code == 200 and ready.status_code == 200 and not bad
        verdict: Verdict = "ok" if is_well and p95_ms <= _HEALTH_LIMIT_MS else "failed"
        measured = "; ".join(bad) or f"answered in {p95_ms:.0f} ms (p95 of {_PROBES_COUNT})"
        self._add("health", verdict, measured, f"well, ready, p95 at most {_HEALTH_LIMIT_MS:.0f} ms")
        return is_well

    async def _check_services(self) -> None:
        async def look() -> None:
            found = (await self._get("/v1/services"))["items"]
            trouble = [f"{one['service']}: {one['trouble']}" for one in found if one["trouble"]]
            is_open = [one["service"] for one in found if one["state"] == "open"]
            if is_open:
                self._add("services", "failed", f"no work for {', '.join(is_open)}", "See /ui/services.")
            elif trouble:
                self._add("services", "not judged", "; ".join(trouble), "Only what can work here is judged.")
            else:
                self._add("services", "ok", f"{len(found)} get work", "each gets work")

        await self._guard("services", look)

    async def _run_round(self) -> None:
        sent = await self._submit_together()
        self._answers_ms.extend(sent.answers_ms)
        self._round_faults.extend(sent.refusals)
        if len(set(sent.ids)) > 1:
            self._doubles.append(f"{len(set(sent.ids))} pipelines for one request")
        if not sent.ids:
            return
        pipeline = await self._wait(sent.ids[0])
        self._rounds.append(pipeline)
        self._doubles.extend(await self._count_surfaces(pipeline))

    async def _submit_together(self) -> _Round:
        key = f"selftest-{uuid4()}"
        query = {"is_app_run": str(self._options.is_app_run).lower()}
        ids: list[str] = []
        refusals: list[str] = []
        answers_ms: list[float] = []

        async def submit(client: httpx.AsyncClient) -> None:
            started = time.monotonic()
            try:
                answer = await client.post(
                    "/v1/selftest/pipelines", params=query, headers={"Idempotency-Key": key}
                )
                answer.raise_for_status()
                ids.append(answer.json()["pipeline_id"])
            except (httpx.HTTPError, LookupError, ValueError, TypeError) as error:
                refusals.append(_explain(error))
            else:
                answers_ms.append((time.monotonic() - started) * 1_000)

        await asyncio.gather(*(submit(client) for client in self._submitters))
        return _Round(ids, refusals, answers_ms)

    async def _wait(self, pipeline_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._options.round_timeout_s
        while True:
            pipeline: dict[str, Any] = await self._get(f"/v1/pipelines/{pipeline_id}")
            if pipeline["finished_at"] or pipeline["state"] == "paused" or time.monotonic() > deadline:
                return pipeline
            await asyncio.sleep(_LOOK_S)

    async def _count_surfaces(self, pipeline: dict[str, Any]) -> list[str]:
        """Return what does not say four."""
        pipeline_id = pipeline["pipeline_id"]
        cells = (await self._get(f"/v1/pipelines/{pipeline_id}/cells", limit=1_000))["items"]
        analyses = {cell["analysis_id"] for cell in cells if cell["analysis_id"]}
        page = await self._client.get(f"/ui/pipelines/{pipeline_id}", headers={"Accept": "text/html"})
        page.raise_for_status()
        counted = {
            "cells of the pipeline": pipeline["cells"]["total_count"],
            "cells in the list": len(cells),
            "apps in the list": len({(cell["model"], cell["number"]) for cell in cells}),
        }
        if pipeline["finished_at"]:
            counted["analyses"] = len(analyses)
            counted["analyses on the page"] = len(set(_ANALYSIS_LINK.findall(page.text)) & analyses)
        return [f"{count} {noun}" for noun, count in counted.items() if count != _CELLS_COUNT]

    def _judge_rounds(self) -> None:
        done = [one for one in self._rounds if one["state"] == "completed"]
        count = self._options.rounds_count
        faults = [one["reason"] or one["state"] for one in self._rounds if one["state"] != "completed"]
        share = len(done) / count
        limit = _RATE_LIMITS["pipelines"]
        is_good = share >= limit and len(self._rounds) == count
        measured = f"{len(done)} of {count} rounds completed"
        if faults or self._round_faults:
            measured += f"; {_name_some([*faults, *self._round_faults])}"
        self._add("pipeline", "ok" if is_good else "failed", measured, f"at least {limit:.0%} completed")
        doubles = _name_some(self._doubles)
        submitters = self._options.submitters_count
        self._add(
            "duplicates",
            "failed" if self._doubles or not self._rounds else "ok",
            doubles or f"{_CELLS_COUNT} everywhere, for {submitters} submitters at once",
            f"{_CELLS_COUNT} cells, apps and analyses on every surface, one pipeline",
        )
        p95_ms = _compute_p95(self._answers_ms)
        self._add(
            "creation time",
            "ok" if self._answers_ms and p95_ms <= _CREATION_LIMIT_MS else "failed",
            f"p95 {p95_ms:.0f} ms of {len(self._answers_ms)} requests",
            f"at most {_CREATION_LIMIT_MS:.0f} ms",
        )

    async def _check_hand_over(self) -> None:
        """Read everything again that the last round's analyses say they kept."""
        if not self._rounds:
            self._add("hand-over", "failed", "no analysis to look at", "a pipeline has to be accepted first")
            return
        self._tell("Reading every result again")
        cells = (await self._get(f"/v1/pipelines/{self._rounds[-1]['pipeline_id']}/cells"))["items"]
        faults: list[str] = []
        read_count = 0
        analysis_ids = [cell["analysis_id"] for cell in cells if cell["analysis_id"]]
        for analysis_id in analysis_ids:
            analysis = await self._get(f"/v1/analyses/{analysis_id}")
            faults.extend(
                f"{run['tool']} is {run['outcome']}"
                for run in analysis["tool_runs"]
                if run["outcome"] not in ("succeeded", "not_applicable", "unavailable")
            )
            told = sum(
                (run["findings_count"] or 0) + (run["suppressed_count"] or 0) for run in analysis["tool_runs"]
            )
            listed = (await self._get(f"/v1/analyses/{analysis_id}/findings", limit=1))["total_count"]
            if told != listed:
                faults.append(f"tools counted {told} findings, the list has {listed}")
            manifest = await self._get(f"/v1/analyses/{analysis_id}/manifest")
            for entry in manifest["entries"][:_MAX_ARTIFACTS_COUNT]:
                answer = await self._client.get(
                    f"/v1/artifacts/{entry['sha256']}", params={"analysis_id": analysis_id}
                )
                read_count += 1
                if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != entry["sha256"]:
                    faults.append(f"{entry['name']} is not what its digest says")
        is_good = not faults and len(analysis_ids) == _CELLS_COUNT and read_count > 0
        self._add(
            "hand-over",
            "ok" if is_good else "failed",
            _name_some(faults) or f"{read_count} results of {len(analysis_ids)} analyses read again",
            "each result is there, once, with its digest",
        )

    async def _check_rates(self) -> None:
        found = await self._get("/v1/success-rates", days=_RATE_DAYS_COUNT)
        rates = {one["kind"]: one for one in found["items"]}
        for kind, limit in _RATE_LIMITS.items():
            one = rates[kind]
            name, expected = f"success of {kind}", f"at least {limit:.0%} in {_RATE_DAYS_COUNT} days"
            total = one["total_count"]
            if one["success_rate"] is None:
                self._add(name, "not judged", "nothing ended", expected)
                continue
            measured = f"{one['success_rate']:.1%} of {total} ({one['low']:.0%} to {one['high']:.0%})"
            if total < _FEWEST_CASES_COUNT:
                self._add(name, "not judged", measured, f"{expected}; needs {_FEWEST_CASES_COUNT} or more")
                continue
            self._add(name, "ok" if one["success_rate"] >= limit else "failed", measured, expected)


def _compute_p95(times_ms: Sequence[float]) -> float:
    """Return the 95th percentile (nearest rank), in milliseconds; 0 without a value."""
    return compute_percentile(sorted(times_ms), 0.95) if times_ms else 0.0


def _name_some(faults: Sequence[str]) -> str:
    """Return the first three of several, each once."""
    different = list(dict.fromkeys(faults))
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return "; ".join(different[:3]) + more


def _explain(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        try:
            detail = error.response.json().get("detail", "")
        except ValueError:
            detail = ""
        return f"{error.response.status_code} {detail}".strip()
    return str(error) or type(error).__name__
