"""Pages of alerts: what fires now, one rule with its chart and log, and the form that tries a rule on history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from referee.alerts import queries, service
from referee.alerts.api import GetEngine, RuleAction, RuleId
from referee.alerts.messages import show_condition, show_value
from referee.alerts.room import AlertsRoom, GetRoom
from referee.alerts.rules import SHORT_NAMES, RuleDraft, read_duration_s, read_rule, show_duration
from referee.alerts.service import Trial
from referee.alerts.views import Rule
from referee.alerts.words import Aggregation, AlertSeverity, Comparison, Condition, RuleKind, RuleState
from referee.core.errors import RefereeError
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.charts import Line, render_line_chart
from referee.foundation.web.lists import Card, Column, EmptyState, ListView, Row, build_facet, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["build_tabs", "create_pages"]

CRUMB: Final = Crumb("Alerts", "/ui/alerts")
_CHART_COUNT: Final = 60
_COLUMNS: Final = (
    Column("name", "Rule", is_title=True),
    Column("state", "State", "state"),
    Column("severity", "Severity"),
    Column("value", "Last value"),
    Column("condition", "Fires when", "mono", is_optional=True),
    Column("changed", "Changed", "time"),
)
_NO_RULES: Final = EmptyState(
    "No alert rules",
    "A rule watches a number, such as the share of analyses that fail, and tells people when it is bad and when it is "
    "good again.",
    "referee alert apply rules.yaml",
)
_FIELDS: Final = (
    "name", "condition", "description", "kind", "source", "measure", "filter", "aggregation", "comparison",
    "critical_threshold", "resolved_threshold", "window", "every", "hold", "minimum_count", "severity", "channels",
)  # fmt: skip
_DEFAULTS: Final = {
    "kind": "aggregate", "aggregation": "average", "comparison": "above", "window": "1h", "every": "5m", "hold": "0s",
    "minimum_count": "1", "severity": "warning",
}  # fmt: skip


def create_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of rules."""
    router = APIRouter(include_in_schema=False)
    _add_list(router, room)
    _add_form(router, room)
    _add_rule(router, room, engine)
    return router


def build_tabs(current: str) -> list[dict[str, object]]:
    """Return the tabs of this room."""
    tabs = (
        ("Rules", "/ui/alerts"),
        ("Channels", "/ui/alert-channels"),
        ("Deliveries", "/ui/alert-deliveries"),
    )
    return [{"label": label, "url": url, "is_current": url == current} for label, url in tabs]


def _add_list(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/alerts")
    async def show_alerts(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query, project_id = read_list_query(request, queries.RULE_FIELDS), principal.project_id
        await service.ensure_default_rules(room(), project_id)
        async with room().database.reading() as session:
            page = await queries.list_rules(session, project_id, where=query.filter, cursor=cursor)
            states = await queries.count_rule_states(session, project_id)
            facet = await queries.count_rule_states(session, project_id, where=query.filter.without("state"))
        twin_url = with_query("/v1/alerts", filter=query.text, cursor=cursor)
        view = ListView(
            title="Alerts",
            noun="rules",
            query=query,
            columns=_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=[_build_row(room(), rule) for rule in page.items],
            cards=_build_cards(states),
            facets=[build_facet(query, "state", "State", facet)] if facet else [],
            empty=_NO_RULES,
            twin_url=twin_url,
            fields=queries.RULE_FIELDS,
            live_topic="alerts",
            caption="Alert rules, those that fire first",
        )
        context = {"view": view, "tab_items": build_tabs("/ui/alerts")}
        return await render_page(request, "alerts/alerts.html", context, title="Alerts", twin_url=twin_url)


def _add_form(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/alerts/new")
    async def show_form(request: Request, principal: PrincipalParameter) -> Response:
        entered = {name: request.query_params.get(name, "") for name in _FIELDS}
        is_trial = request.query_params.get("try") == "1"
        return await _show_form(request, room(), principal.project_id, entered, is_trial=is_trial)

    @router.post("/ui/alerts")
    async def create(request: Request, principal: PrincipalParameter) -> Response:
        principal.require("write")
        entered = await _read_form(request)
        try:
            rule = await service.create_rule(room(), principal.project_id, _read_draft(room(), entered))
        except RefereeError as error:
            return await _show_form(request, room(), principal.project_id, entered, error=error)
        return RedirectResponse(f"/ui/alerts/{rule.rule_id}", 303)

    @router.get("/ui/alerts/{rule_id}/edit")
    async def show_edit(request: Request, rule_id: RuleId, principal: PrincipalParameter) -> Response:
        async with room().database.reading() as session:
            rule = await queries.get_rule(session, principal.project_id, rule_id)
        given = {name: request.query_params[name] for name in _FIELDS if name in request.query_params}
        is_trial = request.query_params.get("try") == "1"
        entered = {**dict.fromkeys(_FIELDS, ""), **given} if given else _dump(rule.draft)
        return await _show_form(request, room(), principal.project_id, entered, rule=rule, is_trial=is_trial)

    @router.post("/ui/alerts/{rule_id}/edit")
    async def change(request: Request, rule_id: RuleId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        entered = await _read_form(request)
        async with room().database.reading() as session:
            rule = await queries.get_rule(session, principal.project_id, rule_id)
        try:
            await service.update_rule(room(), principal.project_id, rule_id, _read_draft(room(), entered))
        except RefereeError as error:
            return await _show_form(request, room(), principal.project_id, entered, rule=rule, error=error)
        return RedirectResponse(f"/ui/alerts/{rule_id}", 303)


def _add_rule(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.get("/ui/alerts/{rule_id}")
    async def show_rule(
        request: Request, rule_id: RuleId, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        async with room().database.reading() as session:
            rule = await queries.get_rule(session, principal.project_id, rule_id)
            log = await queries.list_evaluations(
                session, principal.project_id, rule_id, cursor=cursor, limit=_CHART_COUNT
            )
            told = await queries.list_notifications(session, principal.project_id, rule_id=rule_id, limit=20)
        source = room().find_source(rule.draft.source)
        unit = _find_unit(room(), rule.draft)
        points = [(one.to_at, one.value) for one in reversed(log.items)]
        context = {
            "rule": rule,
            "draft": rule.draft,
            "condition": show_condition(rule.draft, source.find_measure(rule.draft.measure).unit),
            "value": show_value(rule.last_value, unit),
            "window": show_duration(rule.draft.window_s),
            "every": show_duration(rule.draft.every_s),
            "hold": show_duration(rule.draft.hold_s),
            "resolved": show_value(rule.draft.resolved_threshold, unit),
            "cause_url": source.page.replace("{filter}", rule.draft.filter),
            "source": source,
            "log": [(one, show_value(one.value, unit)) for one in log.items],
            "log_count": log.total_count,
            "told": told.items,
            "next_url": None
            if log.next_cursor is None
            else with_query(f"/ui/alerts/{rule_id}", cursor=log.next_cursor),
            "chart": _draw(rule.draft, points, unit) if any(value is not None for _, value in points) else "",
            "actions": _list_actions(rule),
            "topic": f"alert:{rule_id}",
        }
        twin_url = f"/v1/alerts/{rule_id}"
        return await render_page(
            request,
            "alerts/alert.html",
            context,
            title=rule.draft.name,
            twin_url=twin_url,
            breadcrumb=(CRUMB,),
        )

    @router.post("/ui/alerts/{rule_id}/mute")
    async def mute(
        rule_id: RuleId, principal: PrincipalParameter, length: Annotated[str, Form(max_length=40)] = "8h"
    ) -> Response:
        principal.require("write")
        until = datetime.now(UTC) + timedelta(seconds=min(read_duration_s(length), 10**9))
        await service.mute_rule(room(), principal.project_id, rule_id, until)
        return RedirectResponse(f"/ui/alerts/{rule_id}", 303)

    @router.post("/ui/alerts/{rule_id}/delete")
    async def delete(rule_id: RuleId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.delete_rule(room(), principal.project_id, rule_id)
        return RedirectResponse("/ui/alerts", 303)

    @router.post("/ui/alerts/{rule_id}/{action}")
    async def act(rule_id: RuleId, action: RuleAction, principal: PrincipalParameter) -> Response:
        principal.require("write")
        actor = service.describe_actor(principal)
        await service.act_on_rule(room(), engine(), principal.project_id, rule_id, action, actor=actor)
        return RedirectResponse(f"/ui/alerts/{rule_id}", 303)


async def _show_form(
    request: Request,
    room: AlertsRoom,
    project_id: UUID,
    entered: Mapping[str, str],
    *,
    rule: Rule | None = None,
    is_trial: bool = False,
    error: RefereeError | None = None,
) -> Response:
    trial: Trial | None = None
    chart: Markup | str = ""
    if is_trial:
        try:
            draft = _read_draft(room, {**entered, "name": entered["name"] or "tried"})
            trial = await service.try_rule(room, project_id, draft)
            chart = _draw(draft, [(one.to_at, one.value) for one in trial.points], _find_unit(room, draft))
        except RefereeError as problem:
            error = problem
    async with room.database.reading() as session:
        channels = await queries.list_channels(session, project_id)
    sources = [one for one in room.sources.values()]
    context = {
        "entered": SimpleNamespace(
            **{name: entered.get(name) or _DEFAULTS.get(name, "") for name in _FIELDS}
        ),
        "sources": sources,
        "kinds": list(RuleKind),
        "aggregations": list(Aggregation),
        "comparisons": [(one.value, f"{one.value.replace('_', ' ')} ({one.sign})") for one in Comparison],
        "severities": list(AlertSeverity),
        "short_names": list(SHORT_NAMES),
        "channels": [one.name for one in channels.items],
        "trial": trial,
        "chart": chart,
        "error": error,
        "rule": rule,
        "action": "/ui/alerts" if rule is None else f"/ui/alerts/{rule.rule_id}/edit",
        "try_url": "/ui/alerts/new" if rule is None else f"/ui/alerts/{rule.rule_id}/edit",
    }
    title = "New alert rule" if rule is None else f"Change {rule.draft.name}"
    return await render_page(
        request,
        "alerts/form.html",
        context,
        title=title,
        twin_url="/v1/alert-sources",
        breadcrumb=(CRUMB,),
        status=200 if error is None else error.status,
    )


async def _read_form(request: Request) -> dict[str, str]:
    form = await request.form(max_fields=40, max_files=0)
    return {name: str(form.get(name, ""))[:2_000] for name in _FIELDS}


def _read_draft(room: AlertsRoom, entered: Mapping[str, str]) -> RuleDraft:
    """Return the rule of a form: its short condition stands for the members that were left as they were."""
    given = {name: value.strip() for name, value in entered.items() if value.strip()}
    if "condition" in given:
        for name in (
            "source",
            "measure",
            "filter",
            "aggregation",
            "comparison",
            "critical_threshold",
            "minimum_count",
        ):
            given.pop(name, None)
    return read_rule(given, room.sources)


def _dump(draft: RuleDraft) -> dict[str, str]:
    shown = {name: str(getattr(draft, name, "")) for name in _FIELDS}
    return shown | {
        "condition": "",
        "window": show_duration(draft.window_s),
        "every": show_duration(draft.every_s),
        "hold": show_duration(draft.hold_s),
        "channels": ", ".join(draft.channels),
    }


def _find_unit(room: AlertsRoom, draft: RuleDraft) -> str:
    """Return the unit of what a rule's log holds."""
    if draft.kind is RuleKind.drift:
        return "share"
    if draft.kind is RuleKind.per_event or draft.aggregation is Aggregation.count:
        return "count"
    unit = room.find_source(draft.source).find_measure(draft.measure).unit
    return "count" if unit == "share" and draft.aggregation is Aggregation.sum else unit


def _draw(draft: RuleDraft, points: Sequence[tuple[datetime, float | None]], unit: str) -> Markup:
    """Return the values of windows with both thresholds, which are lines of their own."""
    is_each = draft.kind is RuleKind.per_event
    critical, resolved = (0.0, 0.0) if is_each else (draft.critical_threshold, draft.resolved_threshold)
    count = len(points)
    lines = [
        Line("Value", tuple(value for _, value in points), "series-1"),
        Line("Fires", (critical,) * count, "bad"),
        *([Line("Resolves", (resolved,) * count, "ok")] if resolved != critical else []),
    ]
    is_day = (points[-1][0] - points[0][0]) < timedelta(days=2)
    labels = [f"{at:%H:%M}" if is_day else f"{at:%m-%d %H:%M}" for at, _ in points]
    watched = f"{draft.source}.{draft.measure}"
    what = f"values of {watched} beyond the threshold" if is_each else f"{draft.aggregation} of {watched}"
    title = f"The {what} over each {show_duration(draft.window_s)}, and where the rule fires"
    return render_line_chart(title, labels, lines, format_value=lambda value: show_value(value, unit))


def _list_actions(rule: Rule) -> list[tuple[str, str]]:
    actions = []
    if rule.condition is Condition.triggered and rule.state is not RuleState.paused:
        actions.append(("resolve", "Resolve"))
    if rule.state is RuleState.paused:
        actions.append(("resume", "Resume rule"))
    else:
        actions.append(("pause", "Pause rule"))
    if rule.muted_until is not None:
        actions.append(("unmute", "Unmute"))
    return actions


def _build_row(room: AlertsRoom, rule: Rule) -> Row:
    source = room.find_source(rule.draft.source)
    return Row(
        row_id=rule.rule_id.hex,
        url=f"/ui/alerts/{rule.rule_id}",
        cells={
            "name": rule.draft.name,
            "state": rule.state.value,
            "severity": rule.draft.severity.value,
            "value": "not yet"
            if rule.evaluated_at is None
            else show_value(rule.last_value, _find_unit(room, rule.draft)),
            "condition": show_condition(rule.draft, source.find_measure(rule.draft.measure).unit),
            "changed": rule.changed_at,
        },
    )


def _build_cards(states: Mapping[str, int]) -> list[Card]:
    firing = states.get("triggered", 0)
    silent = states.get("paused", 0) + states.get("muted", 0)
    url: Any = "/ui/alerts?filter=state%3Atriggered"
    return [
        Card("Firing", f"{firing:,}", "rules whose values are bad", "bad" if firing else "ok", url),
        Card(
            "Resting",
            f"{states.get('active', 0) + states.get('resolved', 0):,}",
            "rules whose values are good",
        ),
        Card("Silent", f"{silent:,}", "paused or muted rules", "warn" if silent else ""),
    ]
