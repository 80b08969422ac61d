"""What the steps of a new pipeline offer: models, templates, apps and tools, each list bounded and searchable."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import ServiceGate
from referee.apps import list_apps, list_models
from referee.apps.catalogue import MODEL_FIELDS, Model
from referee.apps.generation.running import check_generator
from referee.apps.known_templates import list_templates
from referee.core.errors import RefereeError
from referee.core.vocabulary import Service
from referee.foundation.web.filters import Filter
from referee.pipelines.room import PipelinesRoom
from referee.tools.inspecting import ToolInspector
from referee.tools.registry import describe_tools

__all__ = [
    "Choice",
    "Choices",
    "list_app_choices",
    "list_generation_choices",
    "list_shown",
    "list_tool_choices",
]

_SHOWN_COUNT: Final = 100
"""Of one list; a search finds the rest."""
_TEMPLATE_VERSIONS_COUNT: Final = 1_000
_MAX_SEARCH_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that can be chosen."""

    value: str
    label: str
    detail: str = ""
    trouble: str = ""
    """Why it cannot be had now; it can be chosen all the same."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A bounded list of them."""

    items: tuple[Choice, ...]
    total_count: int
    """That match."""

    @property
    def hidden_count(self) -> int:
        """That match and are not shown."""
        return self.total_count - len(self.items)


async def list_generation_choices(
    room: PipelinesRoom, project_id: UUID, *, models_search: str, templates_search: str
) -> tuple[Choices, Choices, str]:
    """Return models, templates, and why no app can be written now, empty when it can."""
    async with room.database.reading() as session:
        where = Filter(fields=MODEL_FIELDS)
        search = models_search[:_MAX_SEARCH_CHARACTERS].strip()
        page = await list_models(
            session, project_id, where=where.add_word("slug", search) if search else None, limit=_SHOWN_COUNT
        )
        models = Choices(tuple(_show_model(model) for model in page.items), page.total_count)
        templates = await _list_templates(session, project_id, templates_search)
        try:
            await check_generator(room.apps, session)
            trouble = ""
        except RefereeError as error:
            trouble = str(error)
    return models, templates, trouble


async def list_app_choices(room: PipelinesRoom, project_id: UUID, search: str) -> tuple[Choices, Choices]:
    """Return apps that are known, and templates."""
    async with room.database.reading() as session:
        page = await list_apps(
            session, project_id, model=search[:_MAX_SEARCH_CHARACTERS].strip() or None, limit=_SHOWN_COUNT
        )
        apps = Choices(
            tuple(
                Choice(
                    f"{app.model}/app{app.number}",
                    f"{app.model}/app{app.number}",
                    app.template or "no template",
                    f"a placeholder ({app.placeholder}): it will be skipped" if app.placeholder else "",
                )
                for app in page.items
            ),
            page.total_count,
        )
        return apps, await _list_templates(session, project_id, "")


async def list_tool_choices(
    inspector: ToolInspector, gate: ServiceGate
) -> tuple[Sequence[Choice], Sequence[Choice]]:
    """Return tools with what of them is not there, and services with why they could not work."""
    described = [tool for tool in describe_tools() if tool.service is not Service.video]
    inspections = await asyncio.gather(*(inspector.inspect(tool.name) for tool in described))
    tools = [
        Choice(tool.name, tool.name, f"{tool.service.value}: {tool.summary}", found.reason.partition(". ")[0])
        for tool, found in zip(described, inspections, strict=True)
    ]
    services = [service for service in Service if service is not Service.video]
    return tools, [
        Choice(service.value, service.value, "", await gate.find_trouble(service) or "")
        for service in services
    ]


async def _list_templates(session: AsyncSession, project_id: UUID, search: str) -> Choices:
    page = await list_templates(session, project_id, limit=_TEMPLATE_VERSIONS_COUNT)
    wanted = search[:_MAX_SEARCH_CHARACTERS].strip().lower()
    names = {template.slug: template.name for template in reversed(page.items)}
    found = [
        Choice(slug, slug, name)
        for slug, name in sorted(names.items())
        if wanted in slug.lower() or wanted in name.lower()
    ]
    return Choices(tuple(found[:_SHOWN_COUNT]), len(found))


def _show_model(model: Model) -> Choice:
    prices = model.prices
    if prices is None:
        return Choice(model.slug, model.slug, "prices not known")
    return Choice(
        model.slug,
        model.slug,
        f"${prices.input_usd_per_mtok:g} in, ${prices.output_usd_per_mtok:g} out, per million tokens",
    )


def list_shown(chosen: Collection[str], field: str, choices: Choices) -> list[str]:
    """Return chosen things that a list shows, as ``field:value``."""
    return [f"{field}:{choice.value}" for choice in choices.items if choice.value in chosen]
