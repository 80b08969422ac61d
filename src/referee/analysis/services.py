"""Where each service stands: whether it gets work, whether it could work here, and its tools."""

from __future__ import annotations

from dataclasses import dataclass

from referee.analysis.breakers import Breaker, ServiceGate, list_breakers
from referee.analysis.running import AnalysisRoom
from referee.core.errors import NotFound
from referee.core.vocabulary import Service
from referee.tools.registry import describe_tools

__all__ = ["RUNNABLE_SERVICES", "ServiceStatus", "find_service", "read_services"]

RUNNABLE_SERVICES = (Service.static, Service.dynamic, Service.performance, Service.ai)
"""Those that run tools, in the order they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service."""

    breaker: Breaker
    trouble: str
    """Why it cannot work on this machine now; empty when it can."""
    tools: tuple[str, ...]


async def read_services(room: AnalysisRoom, gate: ServiceGate) -> tuple[ServiceStatus, ...]:
    """Return where every service that runs tools stands."""
    async with room.database.reading() as session:
        breakers = await list_breakers(session, window_s=room.settings.breaker_window_s)
    tools: dict[Service, list[str]] = {}
    for description in describe_tools():
        tools.setdefault(description.service, []).append(description.name)
    return tuple(
        [
            ServiceStatus(
                breaker=breaker,
                trouble=await gate.find_trouble(breaker.service),
                tools=tuple(tools.get(breaker.service, ())),
            )
            for breaker in breakers
        ]
    )


def find_service(name: str) -> Service:
    """Return the service of this name.

    Raises:
        NotFound: No such service runs tools.
    """
    found = next((service for service in RUNNABLE_SERVICES if service.value == name), None)
    if found is None:
        known = ", ".join(service.value for service in RUNNABLE_SERVICES)
        raise NotFound("service.not_found", f"There is no service {name[:80]!r}.", f"There are {known}.")
    return found
