"""Pages of the tools' catalogue. Each shows what its JSON twin answers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.core.vocabulary import Service
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.lists import Column, Row
from referee.foundation.web.navigation import NavigationEntry
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.shell import Shell
from referee.tools.contract import Parameter, ParameterValue, SubjectNeed, ToolDescription
from referee.tools.inspecting import Inspection, ToolInspector
from referee.tools.registry import describe_tools, get_tool

__all__ = ["create_pages", "register_in_shell"]

_COLUMNS = (
    Column("name", "Tool", is_title=True),
    Column("finds", "Finds"),
    Column("version", "Here", "custom"),
    Column("needs", "Needs"),
    Column("runs", "Runs"),
    Column("licence", "Licence", is_optional=True),
)
_SERVICES: Final = (Service.static, Service.dynamic, Service.performance, Service.ai)
"""In the order they are shown."""
_PROFILES: Final = ("quick", "deep")
"""Profiles that take the preset of their name."""
_NEEDS: Final[Mapping[SubjectNeed, str]] = {
    "source": "source",
    "running_app": "the running app",
    "source_and_app": "source, and the running app where there is one",
}


def create_pages(inspector: ToolInspector) -> APIRouter:
    """Return the pages of the catalogue."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/tools")
    async def show_tools(request: Request, principal: PrincipalParameter) -> Response:
        del principal  # the catalogue is the same for everybody who may ask
        descriptions = sorted(
            describe_tools(), key=lambda one: (_SERVICES.index(one.service), not one.is_default)
        )
        found = await inspector.inspect_all([one.name for one in descriptions])
        services: dict[str, list[Row]] = {}
        for one in descriptions:
            services.setdefault(one.service.value, []).append(_build_row(one, found[one.name]))
        here_count = sum(one.version is not None for one in found.values())
        context = {
            "columns": _COLUMNS,
            "services": services,
            "state_line": f"{len(descriptions)} tools, {here_count} of them installed on this machine.",
        }
        return await render_page(
            request, "tools/tools.html", context, title="Tools", twin_url="/v1/analysis-tools"
        )

    @router.get("/ui/tools/{name}")
    async def show_tool(request: Request, name: str, principal: PrincipalParameter) -> Response:
        del principal
        description = get_tool(name).describe()
        context = {
            "tool": description,
            "found": await inspector.inspect(name),
            "needs": _NEEDS[description.needs],
            "runs": _describe_runs(description),
            "parameters": [
                {
                    "parameter": parameter,
                    "default": _show(parameter.default),
                    "allowed": _describe_allowed(parameter),
                    "example": _build_example(parameter),
                    "presets": _in_presets(description.presets, parameter.name),
                }
                for parameter in description.parameters
            ],
            "presets": _describe_presets(description),
        }
        return await render_page(
            request,
            "tools/tool.html",
            context,
            title=description.name,
            twin_url=f"/v1/analysis-tools/{description.name}",
            breadcrumb=(Crumb("Tools", "/ui/tools"),),
        )

    return router


def register_in_shell(shell: Shell) -> None:
    """Register the room's pages."""
    shell.register_templates("referee.tools")
    shell.navigation.register(
        NavigationEntry("Analyse", "Tools", "/ui/tools", icon="tool", order=60, key="l")
    )


def _build_row(description: ToolDescription, found: Inspection) -> Row:
    return Row(
        row_id=description.name,
        url=f"/ui/tools/{description.name}",
        cells={
            "name": description.name,
            "finds": description.summary,
            "version": {"found": found, "stands_in_for": description.stands_in_for},
            "needs": _NEEDS[description.needs],
            "runs": _describe_runs(description),
            "licence": description.license,
        },
    )


def _describe_runs(description: ToolDescription) -> str:
    if description.needs != "source":
        return "in the profile deep, or when it or its service is named"
    return "by default" if description.is_default else "when it is named"


def _in_presets(presets: Mapping[str, Mapping[str, ParameterValue]], name: str) -> dict[str, str]:
    return {preset: _show(values[name]) for preset, values in presets.items() if name in values}


def _describe_presets(description: ToolDescription) -> str:
    """Return how a person chooses one of the presets; empty when there is no choice."""
    if description.service is Service.performance:
        return f"--load chooses a preset: {', '.join(description.presets)}." if description.presets else ""
    chosen = [f"--profile {name}" for name in _PROFILES if description.presets.get(name)]
    return (
        f"{' and '.join(chosen)} {'take' if len(chosen) > 1 else 'takes'} the preset of that name."
        if chosen
        else ""
    )


def _show(value: ParameterValue) -> str:
    """Return a value as it is written behind ``--set``: words as they are, lists and objects as JSON."""
    if isinstance(value, str) and value:
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _build_example(parameter: Parameter) -> str:
    """Return a value that may stand behind ``--set``, quoted for a shell."""
    if parameter.type == "array":
        return shlex.quote(json.dumps(list(parameter.options[:1]) or ["tests"]))
    return shlex.quote(_show(parameter.default))


def _describe_allowed(parameter: Parameter) -> str:
    if parameter.options:
        return f"{parameter.type} of: {', '.join(parameter.options)}"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", parameter.minimum), ("at most", parameter.maximum))
        if bound is not None
    ]
    return f"{parameter.type}, {' and '.join(bounds)}" if bounds else parameter.type
