"""Stop sending work to a service that keeps failing: a health gate and a breaker for each service.

The gate asks whether a service could work at all and remembers the answer for a
few seconds. The breaker counts failures of the service itself (never findings,
never an app that does not run): when too many fall into its window it opens,
and new analyses leave the service out and say so. After a pause one analysis
tries it again.

    closed ── too many failures in the window ──> open ── after the pause ──> half open
      ^                                             ^                            │  │
      └───────────── the trial succeeded ───────────┼────────────────────────────┘  │
                                                    └──── the trial failed ─────────┘
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import ServiceBreakerRow, ServiceFailureRow
from referee.core.errors import RefereeError
from referee.core.vocabulary import Outcome, Service
from referee.foundation.sandbox import detect_isolation, open_network

__all__ = [
    "Breaker",
    "BreakerState",
    "ServiceGate",
    "find_closed_services",
    "list_breakers",
    "record_service_failure",
    "record_service_result",
    "reset_breaker",
]

_HEALTHY: Final = (Outcome.succeeded.value, Outcome.not_applicable.value)
_TRIAL_S: Final = 900.0
"""A trial that brings no result in this time does not keep others out any longer."""
_FAILURES_KEPT_S: Final = 86_400.0

log = structlog.get_logger("referee.analysis")


class BreakerState(StrEnum):
    """Whether a service gets work."""

    closed = "closed"
    """It gets work."""
    open = "open"
    """It gets none."""
    half_open = "half_open"
    """One analysis tries it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Where the breaker of a service stands."""

    service: Service
    state: BreakerState
    reason: str
    changed_at: datetime | None
    failures_count: int
    """Within its window now."""


async def find_closed_services(
    session: AsyncSession, room: AnalysisRoom, services: Iterable[Service]
) -> dict[Service, str]:
    """Return which of these services get no new work now, each with the reason.

    Called in the transaction that creates an analysis. A breaker whose pause is over lets that one
    analysis through as its trial.
    """
    refused: dict[Service, str] = {}
    wanted = sorted(set(services))
    rows = await session.scalars(
        select(ServiceBreakerRow)
        .where(ServiceBreakerRow.service.in_([service.value for service in wanted]))
        .order_by(ServiceBreakerRow.service)
        .with_for_update()
    )
    now = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    for row in rows:
        if row.state == BreakerState.closed.value:
            continue
        pause_s = room.settings.breaker_pause_s
        waited_s = (now - row.changed_at).total_seconds()
        is_on_trial = row.probing_until is not None and row.probing_until > now
        if waited_s >= pause_s and not is_on_trial:
            row.state = BreakerState.half_open.value
            row.probing_until = await session.scalar(
                select(func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, _TRIAL_S))
            )
            log.info("breaker.tried", service=row.service)
            continue
        left = (
            "another analysis is trying it out now"
            if is_on_trial
            else f"it is tried again in {pause_s - waited_s:.0f} s"
        )
        refused[Service(row.service)] = (
            f"The {row.service} service gets no new work: {row.reason.rstrip('.')}; {left}."
        )
    return refused


async def record_service_result(room: AnalysisRoom, service: Service, outcome: str) -> None:
    """Let a service's breaker know what became of a tool.

    A trial that succeeded closes it and forgets the failures that opened it; one that tells nothing
    of the service, such as of an app that does not run, leaves the next analysis to try.
    """
    is_on_trial = (
        ServiceBreakerRow.service == service.value,
        ServiceBreakerRow.state == BreakerState.half_open.value,
    )
    async with room.database.transaction() as session:
        if outcome not in _HEALTHY:
            await session.execute(update(ServiceBreakerRow).where(*is_on_trial).values(probing_until=None))
            return
        closed = await session.scalar(
            delete(ServiceBreakerRow).where(*is_on_trial).returning(ServiceBreakerRow.service)
        )
        if closed is not None:
            await session.execute(delete(ServiceFailureRow).where(ServiceFailureRow.service == service.value))
            log.info("breaker.closed", service=service.value)


async def record_service_failure(room: AnalysisRoom, service: Service, reason: str) -> BreakerState:
    """Count one failure of a service itself, and open its breaker when there are too many.

    Returns:
        Where the breaker stands afterwards.
    """
    settings = room.settings
    async with room.database.transaction() as session:
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"breaker:{service.value}"},
        )
        await session.execute(insert(ServiceFailureRow).values(service=service.value, reason=reason[:500]))
        await session.execute(
            delete(ServiceFailureRow).where(ServiceFailureRow.at < _seconds_ago(_FAILURES_KEPT_S))
        )
        count = await _count_failures(session, service, settings.breaker_window_s)
        row = await session.get(ServiceBreakerRow, service.value)
        is_trial = row is not None and row.state == BreakerState.half_open.value
        if not is_trial and count < settings.breaker_failures_count:
            return BreakerState.closed if row is None else BreakerState(row.state)
        if row is not None and row.state == BreakerState.open.value:
            return BreakerState.open
        why = (
            "its trial failed" if is_trial else f"it failed {count} times in {settings.breaker_window_s:g} s"
        )
        await session.merge(
            ServiceBreakerRow(
                service=service.value,
                state=BreakerState.open.value,
                reason=f"{why}, last with: {reason[:300]}",
                changed_at=(await session.execute(select(func.clock_timestamp()))).scalar_one(),
                probing_until=None,
            )
        )
    log.warning("breaker.opened", service=service.value, reason=reason[:300])
    return BreakerState.open


async def reset_breaker(session: AsyncSession, service: Service) -> None:
    """Close a breaker by hand, and forget its failures."""
    await session.execute(delete(ServiceBreakerRow).where(ServiceBreakerRow.service == service.value))
    await session.execute(delete(ServiceFailureRow).where(ServiceFailureRow.service == service.value))


async def list_breakers(session: AsyncSession, *, window_s: float) -> tuple[Breaker, ...]:
    """Return the breaker of every service that runs tools."""
    rows = {row.service: row for row in await session.scalars(select(ServiceBreakerRow))}
    breakers = []
    for service in (Service.static, Service.dynamic, Service.performance, Service.ai):
        row = rows.get(service.value)
        breakers.append(
            Breaker(
                service=service,
                state=BreakerState.closed if row is None else BreakerState(row.state),
                reason="" if row is None else row.reason,
                changed_at=None if row is None else row.changed_at,
                failures_count=await _count_failures(session, service, window_s),
            )
        )
    return tuple(breakers)


class ServiceGate:
    """Whether each service could work now; an answer is remembered for a few seconds.

    Args:
        checks: What proves that a service could work; returns why not, or an empty text.
        ttl_s: How long an answer is good for.
        monotonic_s: The clock.
    """

    def __init__(
        self,
        checks: Mapping[Service, Callable[[], Awaitable[str]]] | None = None,
        *,
        ttl_s: float = 5.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks if checks is not None else _DEFAULT_CHECKS
        self._ttl_s = ttl_s
        self._monotonic_s = monotonic_s
        self._answers: dict[Service, tuple[float, str]] = {}

    async def find_trouble(self, service: Service) -> str:
        """Return why a service cannot work now, empty when it can."""
        known = self._answers.get(service)
        if known is not None and self._monotonic_s() - known[0] < self._ttl_s:
            return known[1]
        check = self._checks.get(service)
        answer = "" if check is None else await check()
        self._answers[service] = (self._monotonic_s(), answer)
        return answer


async def _check_network() -> str:
    """Return why no app could be reached here: the sandbox cannot give it a network."""
    try:
        network = await open_network()
    except RefereeError as error:
        return error.message
    if network is not None:
        await network.close()
    return ""


async def _check_sandbox() -> str:
    try:
        detect_isolation()
    except RefereeError as error:
        return error.message
    return ""


_DEFAULT_CHECKS: Final[Mapping[Service, Callable[[], Awaitable[str]]]] = {
    Service.static: _check_sandbox,
    Service.dynamic: _check_network,
    Service.performance: _check_network,
    Service.ai: _check_sandbox,
}


async def _count_failures(session: AsyncSession, service: Service, window_s: float) -> int:
    return (
        await session.scalar(
            select(func.count())
            .select_from(ServiceFailureRow)
            .where(ServiceFailureRow.service == service.value, ServiceFailureRow.at > _seconds_ago(window_s))
        )
        or 0
    )


def _seconds_ago(seconds: float) -> object:
    return func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
