"""Alerts, channels and deliveries as JSON routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from referee.alerts import channels, queries, service
from referee.alerts.models import (
    AlertModel,
    AlertRequestModel,
    ChannelModel,
    ChannelRequestModel,
    CreatedChannelModel,
    DeliveryModel,
    EvaluationModel,
    MuteModel,
    NotificationModel,
    SecretModel,
    SourceModel,
    TrialModel,
    TrialRequestModel,
)
from referee.alerts.room import AlertsRoom, GetRoom
from referee.alerts.rules import read_rule
from referee.core.ids import parse_id
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.jobs import JobEngine
from referee.foundation.web.answers import (
    CursorParameter,
    LimitParameter,
    PageModel,
    PrincipalParameter,
    answer_page,
    filter_parameter,
)
from referee.foundation.web.filters import Filter
from referee.foundation.web.openapi_problems import answers_with

__all__ = ["ChannelId", "DeliveryId", "GetEngine", "RuleAction", "RuleId", "create_api"]

GetEngine: TypeAlias = Callable[[], JobEngine]
RuleAction: TypeAlias = Literal["pause", "resume", "unmute", "resolve"]
RuleFilter = Annotated[Filter, Depends(filter_parameter(queries.RULE_FIELDS))]
DeliveryFilter = Annotated[Filter, Depends(filter_parameter(queries.DELIVERY_FIELDS))]


async def _read_rule_id(rule_id: str) -> UUID:
    return parse_id(rule_id, "alert")


async def _read_channel_id(channel_id: str) -> UUID:
    return parse_id(channel_id, "channel")


async def _read_delivery_id(delivery_id: str) -> UUID:
    return parse_id(delivery_id, "delivery")


RuleId = Annotated[UUID, Depends(_read_rule_id)]
ChannelId = Annotated[UUID, Depends(_read_channel_id)]
DeliveryId = Annotated[UUID, Depends(_read_delivery_id)]


def create_api(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the routes of alerts."""
    router = APIRouter(prefix="/v1", tags=["alerts"])
    _add_rules(router, room)
    _add_acts(router, room, engine)
    _add_channels(router, room, engine)
    _add_deliveries(router, room, engine)
    return router


def _add_rules(router: APIRouter, room: GetRoom) -> None:
    @router.get("/alert-sources")
    async def list_alert_sources(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
    ) -> PageModel[SourceModel]:
        """List what can be watched, with measures and filter keys."""
        found = list(room().sources.values())
        return answer_page(
            request, response, Page(tuple(found[:limit]), len(found), limit, None), SourceModel.of
        )

    @router.get("/alerts")
    async def list_alerts(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: RuleFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[AlertModel]:
        """List rules, those that fire first."""
        await service.ensure_default_rules(room(), principal.project_id)
        async with room().database.reading() as session:
            page = await queries.list_rules(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, AlertModel.of)

    @router.post("/alerts", status_code=201, responses=answers_with(409))
    async def create_alert(
        body: AlertRequestModel, principal: PrincipalParameter, response: Response
    ) -> AlertModel:
        """Add a rule."""
        principal.require("write")
        draft = read_rule(body.dump(), room().sources)
        rule = await service.create_rule(room(), principal.project_id, draft)
        response.headers["Location"] = f"/v1/alerts/{rule.rule_id}"
        return AlertModel.of(rule)

    @router.post("/alerts/try", responses=answers_with(503))
    async def try_alert(body: TrialRequestModel, principal: PrincipalParameter) -> TrialModel:
        """Say what a rule would have done in its last windows; nothing is stored and nobody is told."""
        given = body.dump()
        windows_count = given.pop("windows_count")
        draft = read_rule(given, room().sources)
        return TrialModel.of(
            await service.try_rule(room(), principal.project_id, draft, windows_count=windows_count)
        )

    @router.get("/alerts/{rule_id}")
    async def get_alert(rule_id: RuleId, principal: PrincipalParameter) -> AlertModel:
        """Return a rule and where it stands."""
        async with room().database.reading() as session:
            return AlertModel.of(await queries.get_rule(session, principal.project_id, rule_id))

    @router.put("/alerts/{rule_id}", responses=answers_with(409))
    async def replace_alert(
        rule_id: RuleId, body: AlertRequestModel, principal: PrincipalParameter
    ) -> AlertModel:
        """Change what a rule says; what is not given becomes what a new rule would have."""
        principal.require("write")
        draft = read_rule(body.dump(), room().sources)
        return AlertModel.of(await service.update_rule(room(), principal.project_id, rule_id, draft))

    @router.delete("/alerts/{rule_id}", status_code=204)
    async def delete_alert(rule_id: RuleId, principal: PrincipalParameter) -> None:
        """Remove a rule with its log; what was told stays."""
        principal.require("write")
        await service.delete_rule(room(), principal.project_id, rule_id)

    @router.get("/alerts/{rule_id}/evaluations")
    async def list_alert_evaluations(
        request: Request,
        response: Response,
        rule_id: RuleId,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[EvaluationModel]:
        """List what each look at a rule's values found, the latest first."""
        async with room().database.reading() as session:
            await queries.get_rule(session, principal.project_id, rule_id)
            page = await queries.list_evaluations(
                session, principal.project_id, rule_id, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, EvaluationModel.of)


def _add_acts(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.post("/alerts/{rule_id}/mute")
    async def mute_alert(rule_id: RuleId, body: MuteModel, principal: PrincipalParameter) -> AlertModel:
        """Tell nobody of a rule until an instant; it is evaluated all the same."""
        principal.require("write")
        return AlertModel.of(await service.mute_rule(room(), principal.project_id, rule_id, body.until))

    @router.post("/alerts/{rule_id}/{action}", responses=answers_with(409))
    async def act_on_alert(
        rule_id: RuleId,
        action: Annotated[RuleAction, Path(description="pause, resume, unmute or resolve.")],
        principal: PrincipalParameter,
    ) -> AlertModel:
        """Pause, resume, unmute or resolve a rule."""
        principal.require("write")
        actor = service.describe_actor(principal)
        rule = await service.act_on_rule(room(), engine(), principal.project_id, rule_id, action, actor=actor)
        return AlertModel.of(rule)

    @router.get("/alert-notifications")
    async def list_alert_notifications(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[NotificationModel]:
        """List what was told, the latest first."""
        async with room().database.reading() as session:
            page = await queries.list_notifications(session, principal.project_id, cursor=cursor, limit=limit)
        return answer_page(request, response, page, NotificationModel.of)


def _add_channels(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/alert-channels")
    async def list_alert_channels(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        limit: LimitParameter = DEFAULT_LIMIT,
    ) -> PageModel[ChannelModel]:
        """List channels by name. Nothing of them is secret."""
        async with room().database.reading() as session:
            page = await queries.list_channels(session, principal.project_id, limit=limit)
        return answer_page(request, response, page, ChannelModel.of)

    @router.post("/alert-channels", status_code=201, responses=answers_with(409))
    async def create_alert_channel(
        body: ChannelRequestModel, principal: PrincipalParameter
    ) -> CreatedChannelModel:
        """Add a channel. Needs the scope admin, since this server then sends to its address."""
        principal.require("admin")
        channel, secret = await channels.create_channel(
            room(), principal.project_id, name=body.name, kind=body.kind, address=body.address
        )
        return CreatedChannelModel(channel=ChannelModel.of(channel), secret=secret)

    @router.delete("/alert-channels/{channel_id}", status_code=204)
    async def delete_alert_channel(channel_id: ChannelId, principal: PrincipalParameter) -> None:
        """Remove a channel with its deliveries."""
        principal.require("admin")
        await channels.delete_channel(room(), principal.project_id, channel_id)

    @router.post("/alert-channels/{channel_id}/secret", responses=answers_with(409))
    async def rotate_alert_channel_secret(
        channel_id: ChannelId, principal: PrincipalParameter
    ) -> SecretModel:
        """Replace the signing secret of a webhook; for 24 hours the old one signs too."""
        principal.require("admin")
        return SecretModel(secret=await channels.rotate_secret(room(), principal.project_id, channel_id))

    @router.post("/alert-channels/{channel_id}/test", status_code=202, responses=answers_with(409))
    async def test_alert_channel(channel_id: ChannelId, principal: PrincipalParameter) -> ChannelModel:
        """Send a message that says it is a test, the way every other goes."""
        principal.require("write")
        await channels.test_channel(room(), engine(), principal.project_id, channel_id)
        return await _show_channel(room(), principal.project_id, channel_id)

    @router.post("/alert-channels/{channel_id}/{action}")
    async def act_on_alert_channel(
        channel_id: ChannelId,
        action: Annotated[Literal["enable", "disable"], Path(description="enable or disable.")],
        principal: PrincipalParameter,
    ) -> ChannelModel:
        """Let a channel tell again, or no longer."""
        principal.require("admin")
        is_enabled = action == "enable"
        return ChannelModel.of(
            await channels.enable_channel(room(), principal.project_id, channel_id, is_enabled=is_enabled)
        )


def _add_deliveries(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/alert-deliveries")
    async def list_alert_deliveries(
        request: Request,
        response: Response,
        principal: PrincipalParameter,
        filter: DeliveryFilter,
        limit: LimitParameter = DEFAULT_LIMIT,
        cursor: CursorParameter = None,
    ) -> PageModel[DeliveryModel]:
        """List deliveries with their attempts, the latest first."""
        async with room().database.reading() as session:
            page = await queries.list_deliveries(
                session, principal.project_id, where=filter, cursor=cursor, limit=limit
            )
        return answer_page(request, response, page, DeliveryModel.of)

    @router.post("/alert-deliveries/{delivery_id}/redeliver", status_code=204, responses=answers_with(409))
    async def redeliver_alert(delivery_id: DeliveryId, principal: PrincipalParameter) -> None:
        """Send a delivery again that was given up, under the same id."""
        principal.require("write")
        await channels.redeliver(room(), engine(), principal.project_id, delivery_id)


async def _show_channel(room: AlertsRoom, project_id: UUID, channel_id: UUID) -> ChannelModel:
    async with room.database.reading() as session:
        page = await queries.list_channels(session, project_id)
    return ChannelModel.of(next(one for one in page.items if one.channel_id == channel_id))
