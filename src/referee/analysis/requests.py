"""What a caller asks for, checked and made precise before anything is stored.

A request names a folder, tools (or none, for the default ones), a profile and
parameters. Out of it comes the list of tool runs in the order they should
start: longest first, because two cores are busy to the end only then.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from referee.analysis.results import digest_json
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.vocabulary import Service
from referee.tools.contract import ParameterValue, ToolDescription
from referee.tools.registry import TOOL_NAMES, get_tool

__all__ = ["PROFILES", "AnalysisRequest", "PlannedRun", "plan_runs"]

PROFILES: Final[dict[str, str]] = {
    "quick": "The default tools with their fastest sensible parameters.",
    "standard": "The default tools with their default parameters.",
    "deep": "Every tool, with parameters that miss as little as possible.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What to analyse, and how."""

    path: str
    tools: tuple[str, ...] = ()
    """Names; empty: the profile's. ``all`` stands for every tool."""
    profile: str = "standard"
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Tool name → parameter name → value."""
    model: str | None = None
    number: int | None = None
    is_cache_allowed: bool = True
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One tool that will run, with all its parameters."""

    position: int
    tool: str
    service: Service
    parameters: Mapping[str, ParameterValue]

    @property
    def parameters_json(self) -> dict[str, JsonValue]:
        """The parameters as JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.parameters.items()
        }

    @property
    def parameters_digest(self) -> str:
        """SHA-256 of the parameters."""
        return digest_json(self.parameters_json)


def plan_runs(request: AnalysisRequest) -> tuple[PlannedRun, ...]:
    """Return the tool runs of a request, longest first.

    Raises:
        InvalidInput: An unknown profile, tool or parameter, or a bad value.
    """
    if request.profile not in PROFILES:
        raise InvalidInput(
            "analysis.profile_unknown",
            f"There is no profile {request.profile!r}.",
            f"Choose one of {', '.join(PROFILES)}.",
        )
    names = _select(request)
    for tool in request.parameters:
        _require_known(tool)
        if tool not in names:
            raise InvalidInput(
                "analysis.parameters_unused",
                f"Parameters were given for {tool}, which is not among the requested tools.",
                f"Add {tool} to the tools, or leave its parameters out.",
            )
    descriptions = sorted(
        (get_tool(name).describe() for name in names),
        key=lambda description: (-description.cost_s, description.name),
    )
    return tuple(
        PlannedRun(
            position=position,
            tool=description.name,
            service=description.service,
            parameters=description.resolve_parameters(
                request.parameters.get(description.name, {}), preset=_preset(description, request.profile)
            ),
        )
        for position, description in enumerate(descriptions)
    )


def _select(request: AnalysisRequest) -> Sequence[str]:
    if not request.tools:
        return [
            name for name in TOOL_NAMES if request.profile == "deep" or get_tool(name).describe().is_default
        ]
    names: list[str] = []
    for name in request.tools:
        chosen = TOOL_NAMES if name == "all" else (_require_known(name),)
        names.extend(chosen_name for chosen_name in chosen if chosen_name not in names)
    return names


def _require_known(name: str) -> str:
    if name in TOOL_NAMES:
        return name
    near = difflib.get_close_matches(name, TOOL_NAMES, n=1)
    suggestion = f"Did you mean {near[0]}? " if near else ""
    raise InvalidInput(
        "tool.unknown",
        f"There is no tool {name!r}.",
        f"{suggestion}The tools are {', '.join(TOOL_NAMES)}.",
    )


def _preset(description: ToolDescription, profile: str) -> str | None:
    return profile if profile in description.presets else None
