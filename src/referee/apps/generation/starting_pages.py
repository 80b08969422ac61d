"""Having an app written, from the pages: a model, a template, how many, with what that is expected to cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from referee.apps.app_frame import APPS_CRUMB
from referee.apps.catalogue import list_models
from referee.apps.generation.creating import DEFAULT_TEMPERATURE, create_generation
from referee.apps.generation.expectations import GenerationCost, expect_cost
from referee.apps.generation.running import check_generator
from referee.apps.known_templates import ensure_template, list_templates
from referee.apps.room import AppsRoom
from referee.core.errors import InvalidInput, RefereeError
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import render_page

__all__ = ["add_starting_pages"]

GetRoom: TypeAlias = Callable[[], AppsRoom]
GetEngine: TypeAlias = Callable[[], JobEngine]

MAX_APPS_COUNT: Final = 100
"""Of one form; a pipeline takes more, with limits of its own."""
_MODELS_COUNT: Final = 500
_TEMPLATES_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entered:
    """What the form holds. Numbers stay the text that they are until they are used."""

    models: tuple[str, ...] = ()
    template: str = ""
    count: str = "1"
    seed: str = ""
    temperature: str = f"{DEFAULT_TEMPERATURE:g}"


def add_starting_pages(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    """Add the form, its estimate and its verb."""

    @router.get("/ui/apps/generate")
    async def show_form(
        request: Request, principal: PrincipalParameter, model: str = "", template: str = ""
    ) -> Response:
        entered = _Entered(models=(model,) if model else (), template=template)
        return await _show(request, room(), principal.project_id, entered)

    @router.post("/ui/apps/generate")
    async def start(
        request: Request,
        principal: PrincipalParameter,
        models: Annotated[list[str] | None, Form()] = None,
        template: Annotated[str, Form()] = "",
        count: Annotated[str, Form()] = "1",
        seed: Annotated[str, Form()] = "",
        temperature: Annotated[str, Form()] = "0.2",
        go: Annotated[str, Form()] = "start",
    ) -> Response:
        principal.require("write")
        entered = _Entered(
            models=tuple(dict.fromkeys(models or ())),
            template=template.strip()[:200],
            count=count.strip()[:10],
            seed=seed.strip()[:20],
            temperature=temperature.strip()[:10],
        )
        try:
            if go == "estimate":
                cost = await _expect(room(), principal.project_id, entered)
                return await _show(request, room(), principal.project_id, entered, cost=cost)
            app_id = await _start(room(), engine(), principal.project_id, entered)
        except RefereeError as error:
            return await _show(request, room(), principal.project_id, entered, error=error)
        return RedirectResponse("/ui/apps" if app_id is None else f"/ui/apps/{app_id}/generation", 303)


async def _start(room: AppsRoom, engine: JobEngine, project_id: UUID, entered: _Entered) -> UUID | None:
    """Ask for the apps, all or none. Returns the app when it is one."""
    count = _count_apps(entered)
    seed = None if not entered.seed else _read_number(entered.seed, "seed", 2**31 - 1)
    temperature = _read_temperature(entered.temperature)
    await ensure_template(room.database, room.artifacts, project_id, entered.template)
    made = []
    async with room.database.transaction() as session:
        await check_generator(room, session)
        for model in entered.models:
            for offset in range(count):
                made.append(
                    await create_generation(
                        session,
                        project_id=project_id,
                        model=model,
                        template=entered.template,
                        seed=None if seed is None else (seed + offset) % 2**31,
                        temperature=temperature,
                        engine=engine,
                    )
                )
    return made[0].app_id if len(made) == 1 else None


async def _expect(room: AppsRoom, project_id: UUID, entered: _Entered) -> GenerationCost:
    count = _count_apps(entered)
    wanted = Counter({(model, entered.template): count for model in entered.models})
    async with room.database.reading() as session:
        return await expect_cost(session, project_id, wanted)


async def _show(
    request: Request,
    room: AppsRoom,
    project_id: UUID,
    entered: _Entered,
    *,
    error: RefereeError | None = None,
    cost: GenerationCost | None = None,
) -> Response:
    """Show the form with what was entered, what is wrong with it, or what it is expected to cost."""
    async with room.database.reading() as session:
        models = await list_models(session, project_id, limit=_MODELS_COUNT)
        templates = await list_templates(session, project_id, limit=_TEMPLATES_COUNT)
        try:
            await check_generator(room, session)
            trouble = None
        except RefereeError as problem:
            trouble = problem
    budget_usd = room.settings.generator_budget_usd
    context = {
        "entered": entered,
        "error": error,
        "trouble": trouble,
        "models": models,
        "templates": {template.slug: template.name for template in reversed(templates.items)},
        "cost": cost,
        "cost_line": "" if cost is None else _describe_cost(cost, budget_usd),
        "budget_line": "no budget is set"
        if budget_usd is None
        else f"at most {budget_usd:,.2f} USD in 24 hours",
        "max_apps_count": MAX_APPS_COUNT,
    }
    return await render_page(
        request,
        "apps/generate.html",
        context,
        title="Have apps written",
        twin_url="/v1/generations",
        breadcrumb=(APPS_CRUMB,),
        status=200 if error is None else error.status,
    )


def _describe_cost(cost: GenerationCost, budget_usd: float | None) -> str:
    if cost.cost_usd is None:
        unkept = (
            " Without prices no budget can be kept."
            if cost.unpriced_models and budget_usd is not None
            else ""
        )
        return f"What this costs is not known. {cost.reason}{unkept}"
    said = f"About {cost.cost_usd:,.4f} USD. {cost.reason}"
    if budget_usd is not None and cost.cost_usd > budget_usd:
        return f"{said} That is more than the budget: some of these apps would not be written."
    return said


def _count_apps(entered: _Entered) -> int:
    """Return how many apps each model is to write.

    Raises:
        InvalidInput: Nothing was chosen, or too many.
    """
    if not entered.models or not entered.template:
        raise InvalidInput(
            "generation.nothing_chosen", "A model or a template is missing.", "Choose a model and a template."
        )
    count = _read_number(entered.count, "number of apps", MAX_APPS_COUNT)
    if not 1 <= count * len(entered.models) <= MAX_APPS_COUNT:
        raise InvalidInput(
            "generation.count_invalid",
            f"The form asks for {count * len(entered.models)} apps, and takes 1 to {MAX_APPS_COUNT}.",
            "Start a pipeline for more.",
        )
    return count


def _read_number(text: str, what: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > maximum:
        raise InvalidInput(
            "generation.number_invalid",
            f"The {what} is no whole number up to {maximum:,}.",
            "Give such a number.",
        )
    return int(text)


def _read_temperature(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput(
            "generation.temperature_invalid", "A temperature is between 0 and 2.", "Give such a number."
        ) from error
