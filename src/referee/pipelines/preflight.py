"""Look before the first cell: which services could work, and which tools cannot be had.

A tool that is named here as unavailable is a hole that all cells share, and does not make a cell invalid.
A service that could not work at all is trouble: the pipeline waits, paused, before anything is spent.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from referee.analysis import ServiceGate, plan_runs
from referee.core.errors import RefereeError, Unavailable
from referee.core.vocabulary import Service
from referee.pipelines.definition import PipelineDefinition
from referee.pipelines.room import PipelinesRoom
from referee.tools.registry import get_tool

__all__ = ["Preflight", "run_preflight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What was found before the first cell."""

    tools: tuple[str, ...]
    """All that each cell is to be judged by."""
    unavailable: dict[str, str]
    """Tool → why it cannot be had here."""
    troubles: dict[str, str]
    """Service → why it could not work now."""

    @property
    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self) | {"tools": list(self.tools)}

    @property
    def stop_reason(self) -> str:
        """Why no cell should begin; empty when they may."""
        if self.troubles:
            service, reason = next(iter(self.troubles.items()))
            return f"The {service} service could not work: {reason}"
        if len(self.unavailable) == len(self.tools):
            return f"None of the tools can be had here: {next(iter(self.unavailable.values()), 'none was named')}"
        return ""


async def run_preflight(room: PipelinesRoom, definition: PipelineDefinition, gate: ServiceGate) -> Preflight:
    """Ask every service and every tool that the cells need."""
    planned = plan_runs(definition.analysis.build_request("."))
    services = dict.fromkeys(run.service for run in planned)
    troubles = {service.value: await gate.find_trouble(service) for service in services}
    reasons = await asyncio.gather(*(_find_absence(room, run.tool) for run in planned))
    return Preflight(
        tools=tuple(run.tool for run in planned),
        unavailable={run.tool: reason for run, reason in zip(planned, reasons, strict=True) if reason},
        troubles={
            service: why for service, why in troubles.items() if why and service != Service.video.value
        },
    )


async def _find_absence(room: PipelinesRoom, name: str) -> str:
    """Return why a tool cannot be had; empty when it can."""
    tool = get_tool(name)
    try:
        await tool.probe_version(await tool.ensure_installed(room.analysis.install_kit))
    except Unavailable as error:
        return error.message
    except RefereeError as error:
        return str(error)
    return ""
