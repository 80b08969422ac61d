"""Starting a pipeline on the pages: three steps, or its file as text; and the files that are kept.

The steps are one form that is sent back with everything in it, so they work without scripts, and going
back loses nothing. What is started is always the file that the last step shows.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from referee.analysis import LOADS, PROFILES, ServiceGate
from referee.core.errors import RefereeError
from referee.core.ids import parse_id
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.rendering import Crumb, render_page
from referee.pipelines import presets, service
from referee.pipelines.api import GetEngine, GetRoom
from referee.pipelines.definition import EXAMPLE
from referee.pipelines.planning_preview import PipelinePreview, preview_pipeline
from referee.pipelines.planning_words import describe_preview
from referee.pipelines.wizard_choices import (
    list_app_choices,
    list_generation_choices,
    list_shown,
    list_tool_choices,
)
from referee.pipelines.wizard_state import (
    STEPS,
    WizardState,
    WizardStep,
    list_carried,
    read_state,
    write_state,
)
from referee.tools.inspecting import ToolInspector

__all__ = ["add_start_pages"]

_CRUMB: Final = Crumb("Pipelines", "/ui/pipelines")
_TWIN_URL: Final = "/v1/pipelines"
_STATE_LINE: Final = (
    "Models write apps for templates, or apps that exist are taken; each cell is analysed exactly once."
)
_STEP_LINES: Final[dict[WizardStep, str]] = {
    "generation": "which apps. Models write them for templates, or those that exist are taken.",
    "analysis": "how each is analysed, and within which limits.",
    "review": "what it would be. Nothing has begun yet.",
}
_PRESETS_COUNT: Final = 50
_PLACEHOLDERS_COUNT: Final = 20
_MAX_FILE_CHARACTERS: Final = 1 << 20
_SEARCHES: Final = ("search_models", "search_templates", "search_apps")


async def read_preset_path(preset_id: str) -> UUID:
    """Return the id in a path, with or without its prefix."""
    return parse_id(preset_id, "preset")


PresetId = Annotated[UUID, Depends(read_preset_path)]


def add_start_pages(
    router: APIRouter, room: GetRoom, engine: GetEngine, inspector: ToolInspector, gate: ServiceGate
) -> None:
    """Add the steps, the form for a file and the verbs of kept files."""
    wizard = _Wizard(room, inspector, gate)
    _add_forms(router, wizard)
    _add_verbs(router, wizard, engine)


def _add_forms(router: APIRouter, wizard: _Wizard) -> None:
    @router.get("/ui/pipelines/new")
    async def show_first_step(request: Request, principal: PrincipalParameter, preset: str = "") -> Response:
        if preset:
            async with wizard.room().database.reading() as session:
                found = await presets.get_preset(session, principal.project_id, parse_id(preset, "preset"))
            return await wizard.show_file(
                request, principal.project_id, found.definition_text, name=found.name
            )
        return await wizard.show_step(request, principal.project_id, WizardState(), "generation")

    @router.post("/ui/pipelines/new")
    async def show_next_step(request: Request, principal: PrincipalParameter) -> Response:
        principal.require("write")
        form = await request.form()
        go = str(form.get("go", ""))
        searches = {name: str(form.get(name, ""))[:200] for name in _SEARCHES}
        step: WizardStep = next((one for one in STEPS if one == go), "generation")
        try:
            state = read_state(form)
        except RefereeError as error:
            return await wizard.show_step(
                request, principal.project_id, WizardState(), "generation", error=error
            )
        return await wizard.show_step(request, principal.project_id, state, step, searches)

    @router.get("/ui/pipelines/new/file")
    async def show_file_form(request: Request, principal: PrincipalParameter) -> Response:
        return await wizard.show_file(request, principal.project_id, EXAMPLE)

    @router.post("/ui/pipelines/new/file")
    async def show_file(
        request: Request,
        principal: PrincipalParameter,
        definition: Annotated[str, Form()] = "",
        preset_name: Annotated[str, Form()] = "",
    ) -> Response:
        principal.require("write")
        return await wizard.show_file(
            request, principal.project_id, _clean(definition), name=preset_name, is_previewed=True
        )


def _add_verbs(router: APIRouter, wizard: _Wizard, engine: GetEngine) -> None:
    @router.post("/ui/pipelines")
    async def start_pipeline(
        request: Request, principal: PrincipalParameter, definition: Annotated[str, Form()] = ""
    ) -> Response:
        principal.require("write")
        wanted = service.PipelineRequest(definition_text=_clean(definition))
        try:
            pipeline = await service.create_pipeline(wizard.room(), engine(), principal.project_id, wanted)
        except RefereeError as error:
            return await wizard.show_file(request, principal.project_id, _clean(definition), error=error)
        return RedirectResponse(f"/ui/pipelines/{pipeline.pipeline_id}", 303)

    @router.post("/ui/pipeline-presets")
    async def save_preset(
        request: Request,
        principal: PrincipalParameter,
        definition: Annotated[str, Form()] = "",
        preset_name: Annotated[str, Form()] = "",
        is_default: Annotated[bool, Form()] = False,
    ) -> Response:
        principal.require("write")
        text = _clean(definition)
        try:
            async with wizard.room().database.transaction() as session:
                saved = await presets.save_preset(
                    session,
                    principal.project_id,
                    name=preset_name,
                    definition_text=text,
                    is_default=True if is_default else None,
                )
        except RefereeError as error:
            return await wizard.show_file(request, principal.project_id, text, error=error, name=preset_name)
        return RedirectResponse(f"/ui/pipelines/new?preset={saved.preset_id}", 303)

    @router.post("/ui/pipeline-presets/{preset_id}/delete")
    async def delete_preset(preset_id: PresetId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with wizard.room().database.transaction() as session:
            await presets.delete_preset(session, principal.project_id, preset_id)
        return RedirectResponse("/ui/pipelines/new/file", 303)


class _Wizard:
    """Shows the steps and the file."""

    def __init__(self, room: GetRoom, inspector: ToolInspector, gate: ServiceGate) -> None:
        self.room = room
        self._inspector = inspector
        self._gate = gate

    async def show_step(
        self,
        request: Request,
        project_id: UUID,
        state: WizardState,
        step: WizardStep,
        searches: dict[str, str] | None = None,
        error: RefereeError | None = None,
    ) -> Response:
        """Show a step with what was entered; the last one only when the file can be used."""
        searches = searches or dict.fromkeys(_SEARCHES, "")
        context: dict[str, Any] = {}
        if step == "review":
            try:
                text = write_state(state)
                preview = await preview_pipeline(self.room(), project_id, text)
            except RefereeError as problem:
                error = problem
                step = "generation" if problem.code == "pipeline.form_incomplete" else "analysis"
            else:
                context = _show_preview(preview) | {"definition": text}
        if step == "generation":
            context = await self._list_generation(project_id, state, searches)
        elif step == "analysis":
            context = await self._list_tools()
        context |= {
            "step": step,
            "state": state,
            "searches": searches,
            "carried": list_carried(state, step, context.pop("shown", ())),
            "error": error,
            "state_line": f"Step {STEPS.index(step) + 1} of {len(STEPS)}: {_STEP_LINES[step]}",
            "preset_name": "",
        }
        return await render_page(
            request,
            "pipelines/wizard.html",
            context,
            title="Start a pipeline",
            twin_url=_TWIN_URL,
            breadcrumb=(_CRUMB,),
            status=200 if error is None else error.status,
        )

    async def show_file(
        self,
        request: Request,
        project_id: UUID,
        definition: str,
        *,
        error: RefereeError | None = None,
        name: str = "",
        is_previewed: bool = False,
    ) -> Response:
        """Show a pipeline file as text, with what is wrong with it or what it stands for, and the kept ones."""
        context: dict[str, Any] = {"preview": (), "placeholders": (), "placeholders_hidden": 0}
        if is_previewed:
            try:
                context = _show_preview(await preview_pipeline(self.room(), project_id, definition))
            except RefereeError as problem:
                error = problem
        async with self.room().database.reading() as session:
            kept = await presets.list_presets(session, project_id, limit=_PRESETS_COUNT)
        context |= {
            "definition": definition,
            "error": error,
            "preset_name": name[: presets.MAX_NAME_CHARACTERS],
            "kept": kept,
            "state_line": _STATE_LINE,
        }
        return await render_page(
            request,
            "pipelines/start.html",
            context,
            title="Start a pipeline from a file",
            twin_url="/v1/pipeline-presets",
            breadcrumb=(_CRUMB,),
            status=200 if error is None else error.status,
        )

    async def _list_generation(
        self, project_id: UUID, state: WizardState, searches: dict[str, str]
    ) -> dict[str, Any]:
        room = self.room()
        models, templates, trouble = await list_generation_choices(
            room,
            project_id,
            models_search=searches["search_models"],
            templates_search=searches["search_templates"],
        )
        apps, all_templates = await list_app_choices(room, project_id, searches["search_apps"])
        return {
            "models": models,
            "templates": templates,
            "apps": apps,
            "all_templates": all_templates,
            "trouble": trouble,
            "shown": [
                *list_shown(state.models, "models", models),
                *list_shown(state.templates, "templates", templates),
                *list_shown(state.apps, "apps", apps),
            ],
        }

    async def _list_tools(self) -> dict[str, Any]:
        tools, services = await list_tool_choices(self._inspector, self._gate)
        known = [f"tools:{tool.value}" for tool in tools] + [f"services:{one.value}" for one in services]
        return {"tools": tools, "services": services, "profiles": PROFILES, "loads": LOADS, "shown": known}


def _show_preview(preview: PipelinePreview) -> dict[str, Any]:
    shown = preview.placeholders[:_PLACEHOLDERS_COUNT]
    return {
        "preview": describe_preview(preview),
        "placeholders": shown,
        "placeholders_hidden": preview.placeholders_count - len(shown),
    }


def _clean(definition: str) -> str:
    return definition.replace("\r\n", "\n")[: _MAX_FILE_CHARACTERS + 1]
