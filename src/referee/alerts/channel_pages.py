"""Pages of channels and deliveries."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from referee.alerts import channels, queries
from referee.alerts.api import ChannelId, DeliveryId, GetEngine
from referee.alerts.pages import CRUMB, build_tabs
from referee.alerts.room import AlertsRoom, GetRoom
from referee.alerts.views import Delivery
from referee.alerts.words import ChannelKind
from referee.core.errors import InvalidInput, RefereeError
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query

__all__ = ["create_channel_pages"]

_NO_CHANNELS: Final = EmptyState(
    "No channels yet",
    "Alerts are on these pages, and nobody is told elsewhere until there is a channel: mail, Slack or a webhook.",
    "referee alert channel add ops --kind webhook --to https://hooks.example/alerts",
)
_NO_DELIVERIES: Final = EmptyState(
    "Nothing was sent yet",
    "Each notification on each channel is a delivery, with every attempt.",
    "referee alert test ops",
)
_COLUMNS: Final = (
    Column("title", "What", is_title=True),
    Column("state", "State", "state"),
    Column("channel", "Channel"),
    Column("attempts", "Attempts", "count"),
    Column("reason", "Why the last one failed", is_optional=True),
    Column("created", "Told", "time"),
)


def create_channel_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of channels and deliveries."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/alert-channels")
    async def show_channels(request: Request, principal: PrincipalParameter) -> Response:
        return await _show_channels(request, room(), principal.project_id)

    @router.post("/ui/alert-channels")
    async def add(
        request: Request,
        principal: PrincipalParameter,
        name: Annotated[str, Form(max_length=200)] = "",
        kind: Annotated[str, Form(max_length=40)] = "",
        address: Annotated[str, Form(max_length=4_000)] = "",
    ) -> Response:
        principal.require("admin")
        try:
            if kind not in list(ChannelKind):
                raise InvalidInput(
                    "alert.channel_kind", "There is no such kind.", "Use email, slack or webhook."
                )
            made, secret = await channels.create_channel(
                room(), principal.project_id, name=name.strip(), kind=ChannelKind(kind), address=address
            )
        except RefereeError as error:
            return await _show_channels(request, room(), principal.project_id, error=error)
        if secret is None:
            return RedirectResponse("/ui/alert-channels", 303)
        # A secret goes into no address, so this page answers the form itself.
        return await _show_channels(request, room(), principal.project_id, shown=(made.name, secret))

    @router.post("/ui/alert-channels/{channel_id}/{action}")
    async def act(
        request: Request,
        channel_id: ChannelId,
        action: Literal["test", "enable", "disable", "delete", "secret"],
        principal: PrincipalParameter,
    ) -> Response:
        principal.require("write" if action == "test" else "admin")
        project_id = principal.project_id
        if action == "secret":
            secret = await channels.rotate_secret(room(), project_id, channel_id)
            return await _show_channels(request, room(), project_id, shown=("the channel", secret))
        if action == "test":
            await channels.test_channel(room(), engine(), project_id, channel_id)
            return RedirectResponse("/ui/alert-deliveries", 303)
        if action == "delete":
            await channels.delete_channel(room(), project_id, channel_id)
        else:
            await channels.enable_channel(room(), project_id, channel_id, is_enabled=action == "enable")
        return RedirectResponse("/ui/alert-channels", 303)

    @router.get("/ui/alert-deliveries")
    async def show_deliveries(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.DELIVERY_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_deliveries(
                session, principal.project_id, where=query.filter, cursor=cursor
            )
        twin_url = with_query("/v1/alert-deliveries", filter=query.text, cursor=cursor)
        view = ListView(
            title="Deliveries",
            noun="deliveries",
            query=query,
            columns=_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=[_build_row(one) for one in page.items],
            empty=_NO_DELIVERIES,
            twin_url=twin_url,
            fields=queries.DELIVERY_FIELDS,
            live_topic="alert-deliveries",
            caption="Deliveries, the latest first",
        )
        dead = [one for one in page.items if one.state.value == "dead"]
        context = {"view": view, "dead": dead, "tab_items": build_tabs("/ui/alert-deliveries")}
        return await render_page(
            request,
            "alerts/deliveries.html",
            context,
            title="Deliveries",
            twin_url=twin_url,
            breadcrumb=(CRUMB,),
        )

    @router.post("/ui/alert-deliveries/{delivery_id}/redeliver")
    async def send_again(delivery_id: DeliveryId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await channels.redeliver(room(), engine(), principal.project_id, delivery_id)
        return RedirectResponse("/ui/alert-deliveries", 303)

    return router


async def _show_channels(
    request: Request,
    room: AlertsRoom,
    project_id: UUID,
    *,
    shown: tuple[str, str] | None = None,
    error: RefereeError | None = None,
) -> Response:
    async with room.database.reading() as session:
        page = await queries.list_channels(session, project_id)
    context = {
        "channels": page,
        "kinds": list(ChannelKind),
        "shown": shown,
        "error": error,
        "nothing": _NO_CHANNELS,
        "has_mail": bool(room.settings.smtp_host),
        "tab_items": build_tabs("/ui/alert-channels"),
    }
    return await render_page(
        request,
        "alerts/channels.html",
        context,
        title="Channels",
        twin_url="/v1/alert-channels",
        breadcrumb=(CRUMB,),
        status=200 if error is None else error.status,
    )


def _build_row(one: Delivery) -> Row:
    return Row(
        row_id=one.delivery_id.hex,
        url=with_query("/ui/alert-deliveries", filter=f'channel:"{one.channel_name}"'),
        cells={
            "title": one.title,
            "state": one.state.value,
            "channel": one.channel_name,
            "attempts": one.attempts_count,
            "reason": one.reason,
            "created": one.created_at,
        },
    )
