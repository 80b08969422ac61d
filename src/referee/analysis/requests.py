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

__all__ = ["LOADS", "PROFILES", "AnalysisRequest", "PlannedRun", "plan_runs"]

PROFILES: Final[dict[str, str]] = {
    "quick": "The eight static tools with their fastest sensible parameters, and curl on the running app.",
    "standard": "The eight static tools with their default parameters; the app is not run.",
    "deep": "All fifteen tools, with parameters that miss as little as possible, and what stands in for one.",
}
LOADS: Final = ("quick", "standard", "stress", "production")
"""Presets of the load tools."""
_QUICK_APP_TOOLS: Final = ("curl",)
_SERVICE_ORDER: Final = (
    Service.static,
    Service.dynamic,
    Service.ai,
    Service.performance,
    Service.video,
)
"""Load comes last: it may bring the app down, and what is measured then is not what others have left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What to analyse, and how."""

    path: str
    tools: tuple[str, ...] = ()
    """Names; empty: the profile's. ``all`` stands for every tool."""
    services: tuple[str, ...] = ()
    """Only tools of these services; without ``tools``, those that the deep profile would take."""
    profile: str = "standard"
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Tool name → parameter name → value."""
    load: str = "quick"
    """Preset of the load tools."""
    template: str | None = None
    """What the app was asked to do: slug of a known template; None: the app's own, if it has one."""
    model: str | None = None
    number: int | None = None
    is_cache_allowed: bool = True
    idempotency_key: str | None = None
    traceparent: str | None = None
    """W3C trace context that the analysis belongs to; None: it begins a trace of its own."""
    is_probe: bool = False
    """Whether Referee asks itself: then it is not counted among the creations that people wait for."""


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
    if request.load not in LOADS:
        raise InvalidInput(
            "analysis.load_unknown",
            f"There is no load {request.load!r}.",
            f"Choose one of {', '.join(LOADS)}.",
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
        key=lambda description: (
            _SERVICE_ORDER.index(description.service),
            -description.cost_s if description.needs == "source" else description.cost_s,
            description.name,
        ),
    )
    return tuple(
        PlannedRun(
            position=position,
            tool=description.name,
            service=description.service,
            parameters=description.resolve_parameters(
                request.parameters.get(description.name, {}), preset=_preset(description, request)
            ),
        )
        for position, description in enumerate(descriptions)
    )


def _select(request: AnalysisRequest) -> Sequence[str]:
    services = _parse_services(request.services)
    if request.tools:
        names: list[str] = []
        for name in request.tools:
            chosen = TOOL_NAMES if name == "all" else (_require_known(name),)
            names.extend(chosen_name for chosen_name in chosen if chosen_name not in names)
    else:
        profile = "deep" if services else request.profile
        names = [name for name in TOOL_NAMES if _is_in_profile(get_tool(name).describe(), profile)]
    kept = [name for name in names if not services or get_tool(name).describe().service in services]
    if not kept:
        raise InvalidInput(
            "analysis.no_tools",
            "None of the tools belongs to the services that were asked for.",
            "Leave out the tools or the services.",
        )
    return kept


def _is_in_profile(description: ToolDescription, profile: str) -> bool:
    if profile == "deep":
        return description.is_in_deep
    return description.is_default or (profile == "quick" and description.name in _QUICK_APP_TOOLS)


def _parse_services(names: Sequence[str]) -> frozenset[Service]:
    known = {service.value for service in _SERVICE_ORDER if service is not Service.video}
    for name in names:
        if name not in known:
            raise InvalidInput(
                "analysis.service_unknown",
                f"There is no service {name!r}.",
                f"Choose among {', '.join(sorted(known))}.",
            )
    return frozenset(Service(name) for name in names)


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


def _preset(description: ToolDescription, request: AnalysisRequest) -> str | None:
    wanted = request.load if description.service is Service.performance else request.profile
    return wanted if wanted in description.presets else None
