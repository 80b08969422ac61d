"""How an app was written: each version with its calls, what was said, what it cost and what was noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import Response

from referee.apps.api import AppId
from referee.apps.app_frame import APPS_CRUMB, name_of, read_frame
from referee.apps.generation.contract import Generation, ModelCall, Notice, group_notices
from referee.apps.generation.queries import list_generations
from referee.apps.generation.recording import LIVE_TOPIC
from referee.apps.judgements import AppJudgements
from referee.apps.room import AppsRoom
from referee.core.errors import RefereeError
from referee.foundation.store import ArtifactStore
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.lists import Card, EmptyState
from referee.foundation.web.rendering import render_page

__all__ = ["add_generation_page"]

GetRoom: TypeAlias = Callable[[], AppsRoom]

_VERSIONS_COUNT: Final = 20
_CALLS_COUNT: Final = 20
_NOTICES_COUNT: Final = 50
_SHOWN_CHARACTERS: Final = 6_000
"""Of each prompt and reply; the download has all."""
_MAX_READ_BYTES: Final = 4_000_000
_NOT_GENERATED = EmptyState(
    "Not written by Referee",
    "This app was found on disk. An app that a model writes here is kept with every prompt, reply and cost.",
    "referee app generate --model MODEL --template TEMPLATE",
)


@dataclass(frozen=True, slots=True)
class _ShownCall:
    """A call with what of it is shown."""

    call: ModelCall
    prompt: str
    reply: str


def add_generation_page(router: APIRouter, room: GetRoom, judgements: AppJudgements) -> None:
    """Add the page to those of an app."""

    @router.get("/ui/apps/{app_id}/generation")
    async def show_generation(request: Request, app_id: AppId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            frame = await read_frame(session, judgements, principal.project_id, app_id)
            page = await list_generations(session, principal.project_id, app_id=app_id, limit=_VERSIONS_COUNT)
        latest = page.items[0] if page.items else None
        calls = [] if latest is None else await _read_calls(room().artifacts, latest)
        context = {
            **frame.build_context("generation"),
            "generation": latest,
            "number_cards": [] if latest is None else _build_cards(latest),
            "versions": page.items,
            "versions_total": page.total_count,
            "calls": calls,
            "calls_hidden": 0 if latest is None else len(latest.calls) - len(calls),
            "notices": () if latest is None else _order_notices(latest)[:_NOTICES_COUNT],
            "notices_hidden": 0 if latest is None else max(0, len(latest.notices) - _NOTICES_COUNT),
            "shown_characters": _SHOWN_CHARACTERS,
            "live_topic": LIVE_TOPIC,
            "nothing": _NOT_GENERATED,
        }
        return await render_page(
            request,
            "apps/generation.html",
            context,
            title=f"Generation of {name_of(frame.app)}",
            twin_url=f"/v1/generations?app_id={app_id}"
            if latest is None
            else f"/v1/generations/{latest.generation_id}",
            breadcrumb=(APPS_CRUMB,),
        )


async def _read_calls(artifacts: ArtifactStore, generation: Generation) -> list[_ShownCall]:
    async def read(sha256: str) -> str:
        try:
            data = await artifacts.read_bytes(sha256, max_bytes=_MAX_READ_BYTES)
        except RefereeError as error:
            return error.message
        return data.decode("utf-8", errors="replace")

    async def show(call: ModelCall) -> _ShownCall:
        prompt, reply = await asyncio.gather(read(call.prompt_sha256), read(call.reply_sha256))
        return _ShownCall(call, prompt[:_SHOWN_CHARACTERS], reply[:_SHOWN_CHARACTERS])

    return [await show(call) for call in generation.calls[:_CALLS_COUNT]]


def _order_notices(generation: Generation) -> list[Notice]:
    return [notice for notices in group_notices(generation.notices).values() for notice in notices]


def _build_cards(generation: Generation) -> list[Card]:
    tokens = generation.prompt_tokens + generation.completion_tokens
    return [
        Card(
            "Cost",
            "not known" if generation.cost_usd is None else f"${generation.cost_usd:,.4f}",
            "the model has no prices" if generation.cost_usd is None else "",
        ),
        Card(
            "Tokens",
            f"{tokens:,}",
            f"{generation.prompt_tokens:,} asked, {generation.completion_tokens:,} answered",
        ),
        Card("Requests", f"{generation.calls_count:,}", "retries included"),
        Card(
            "Files",
            "none" if generation.files_count is None else f"{generation.files_count:,}",
        ),
    ]
