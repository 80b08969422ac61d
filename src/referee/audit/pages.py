"""Pages of decisions, their lag, and lead findings. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from referee.audit.api import DecisionId, Fingerprint, WindowParameter
from referee.audit.lags import WINDOWS, WindowKind, make_window, read_decision_lag
from referee.audit.levels import SupervisorLevels, read_levels
from referee.audit.lists import (
    DECISION_FIELDS,
    count_blocked_reasons,
    count_decision_facets,
    count_decision_types,
    get_decision,
    list_decisions,
    list_trace,
    read_original,
)
from referee.audit.recording import Decision
from referee.audit.room import GetRoom
from referee.audit.scans import close_follow_up, list_lead_findings, list_lead_scans, scan_decisions
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.formats import format_duration, format_share
from referee.foundation.web.lists import Card, Column, EmptyState, ListView, Row, build_facet, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.foundation.web.templating import with_query

__all__ = ["create_pages"]

_COLUMNS: Final = (
    Column("reason", "Reason", is_title=True),
    Column("kind", "Decision", "state"),
    Column("subject", "About", "mono"),
    Column("policy", "Policy", "mono", is_optional=True),
    Column("lag", "Lag", "custom", is_optional=True),
    Column("decided", "Decided", "time"),
)
_NO_DECISIONS: Final = EmptyState(
    "No decisions yet",
    "A decision is what a supervisor did about a pipeline, a cell or a task: allowed, paused, blocked, recommended a "
    "retry, or failed. Pipelines record theirs; those of an agent system can be imported.",
    "referee audit import audit.db",
)
_NO_LEADS: Final = EmptyState(
    "No lead findings",
    "A scan applies six rules to the decisions of a day or a week and keeps what stands out.",
    "referee audit scan --dry-run",
)
_TONES: Final = {"ok": "ok", "warn": "warn", "critical": "bad"}
_CRUMB: Final = Crumb("Decisions", "/ui/decisions")
_MAX_ORIGINAL_CHARS: Final = 20_000
_TRACE_COUNT: Final = 100
_SCANS_COUNT: Final = 20


def create_pages(room: GetRoom) -> APIRouter:
    """Return the pages of this room."""
    router = APIRouter(include_in_schema=False)
    _add_decision_pages(router, room)
    _add_lag_page(router, room)
    _add_lead_pages(router, room)
    return router


def _add_decision_pages(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/decisions")
    async def show_decisions(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, DECISION_FIELDS)
        async with room().database.reading() as session:
            page = await list_decisions(session, principal.project_id, where=query.filter, cursor=cursor)
            facets = await count_decision_facets(session, principal.project_id, where=query.filter)
        twin_url = with_query("/v1/decisions", filter=query.text, cursor=cursor)
        view = ListView(
            title="Decisions",
            noun="decisions",
            query=query,
            columns=_COLUMNS,
            total_count=page.total_count,
            limit=page.limit,
            next_cursor=page.next_cursor,
            rows=[_build_row(decision) for decision in page.items],
            empty=_NO_DECISIONS,
            facets=[
                build_facet(query, key, key.capitalize(), found) for key, found in facets.items() if found
            ],
            twin_url=twin_url,
            fields=DECISION_FIELDS,
            caption="Decisions, the latest recorded first",
        )
        context = {"view": view, "tab_items": _build_tabs("/ui/decisions")}
        return await render_page(
            request, "audit/decisions.html", context, title="Decisions", twin_url=twin_url
        )

    @router.get("/ui/decisions/{decision_id}")
    async def show_decision(
        request: Request,
        decision_id: DecisionId,
        principal: PrincipalParameter,
        cursor: CursorParameter = None,
    ) -> Response:
        async with room().database.reading() as session:
            decision = await get_decision(session, principal.project_id, decision_id)
            original = await read_original(session, principal.project_id, decision_id)
            trace = await list_trace(
                session, principal.project_id, decision.subject_id, cursor=cursor, limit=_TRACE_COUNT
            )
        text = None if original is None else original.decode("utf-8", "backslashreplace")
        context = {
            "decision": decision,
            "lag": None if decision.lag_ms is None else _format_ms(decision.lag_ms),
            "evidence": [_show_json(one) for one in decision.evidence],
            "actions": [_show_json(one) for one in decision.actions],
            "original": None if text is None else text[:_MAX_ORIGINAL_CHARS],
            "original_rest_count": 0 if text is None else max(0, len(text) - _MAX_ORIGINAL_CHARS),
            "trace": trace,
            "next_url": None
            if trace.next_cursor is None
            else with_query(f"/ui/decisions/{decision_id}", cursor=trace.next_cursor),
        }
        return await render_page(
            request,
            "audit/decision.html",
            context,
            title=format_id("decision", decision_id),
            twin_url=f"/v1/decisions/{decision_id}",
            breadcrumb=(_CRUMB,),
        )


def _add_lag_page(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/decision-lag")
    async def show_lag(
        request: Request,
        principal: PrincipalParameter,
        window: WindowParameter = "24h",
        has_fallbacks: bool = False,
    ) -> Response:
        span = make_window(window)
        async with room().database.reading() as session:
            lag = await read_decision_lag(session, principal.project_id, span, has_fallbacks=has_fallbacks)
            reasons = await count_blocked_reasons(session, principal.project_id, span)
            types = await count_decision_types(session, principal.project_id, span)
            levels = await read_levels(session, principal.project_id, room().settings)
        address = {"window": window, "has_fallbacks": "true" if has_fallbacks else None}
        context = {
            "lag": lag,
            "number_cards": [
                Card("Median lag", _format_ms(lag.p50_ms), f"of {lag.lags_count:,} decisions"),
                Card("95th percentile", _format_ms(lag.p95_ms), f"slowest {_format_ms(lag.max_ms)}"),
                *_build_level_cards(levels),
            ],
            "coverage": "unknown"
            if lag.columns_coverage_share is None
            else format_share(lag.columns_coverage_share),
            "samples": [(sample, _format_ms(sample.lag_ms)) for sample in lag.samples],
            "reasons": reasons,
            "types": types,
            "windows": _build_windows("/ui/decision-lag", window),
            "toggle_url": with_query(
                "/ui/decision-lag", window=window, has_fallbacks=None if has_fallbacks else "true"
            ),
            "tab_items": _build_tabs("/ui/decision-lag"),
        }
        twin_url = with_query("/v1/decision-lag", **address)
        return await render_page(
            request, "audit/lag.html", context, title="Decision lag", twin_url=twin_url, breadcrumb=(_CRUMB,)
        )


def _add_lead_pages(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/lead-findings")
    async def show_findings(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        async with room().database.reading() as session:
            page = await list_lead_findings(session, principal.project_id, cursor=cursor, limit=DEFAULT_LIMIT)
            scans = await list_lead_scans(session, principal.project_id, limit=_SCANS_COUNT)
        context = {
            "findings": page,
            "examples": {one.fingerprint: _list_examples(one.evidence) for one in page.items},
            "scans": scans,
            "next_url": None
            if page.next_cursor is None
            else with_query("/ui/lead-findings", cursor=page.next_cursor),
            "windows": WINDOWS,
            "nothing": _NO_LEADS,
            "alert": scans.items[0][0].alert if scans.items else "",
            "tab_items": _build_tabs("/ui/lead-findings"),
        }
        return await render_page(
            request,
            "audit/leads.html",
            context,
            title="Lead findings",
            twin_url=with_query("/v1/lead-findings", cursor=cursor),
            breadcrumb=(_CRUMB,),
        )

    @router.post("/ui/lead-scans")
    async def scan(principal: PrincipalParameter, window: WindowParameter = "24h") -> Response:
        principal.require("write")
        await scan_decisions(room(), principal.project_id, window)
        return RedirectResponse("/ui/lead-findings", 303)

    @router.post("/ui/lead-findings/{fingerprint}/close")
    async def close(fingerprint: Fingerprint, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with room().database.transaction() as session:
            await close_follow_up(session, principal.project_id, fingerprint)
        return RedirectResponse("/ui/lead-findings", 303)


def _build_row(decision: Decision) -> Row:
    return Row(
        row_id=decision.decision_id.hex,
        url=f"/ui/decisions/{decision.decision_id}",
        cells={
            "reason": decision.reason or decision.reason_code or "No reason given",
            "kind": decision.kind.value,
            "subject": f"{decision.subject_kind} {decision.subject_id}",
            "policy": decision.policy,
            "lag": None if decision.lag_ms is None else _format_ms(decision.lag_ms),
            "decided": decision.supervisor_processed_at,
        },
    )


def _build_tabs(current: str) -> list[dict[str, object]]:
    tabs = (
        ("Decisions", "/ui/decisions"),
        ("Lag and reasons", "/ui/decision-lag"),
        ("Lead findings", "/ui/lead-findings"),
    )
    return [{"label": label, "url": url, "is_current": url == current} for label, url in tabs]


def _build_windows(path: str, current: WindowKind) -> list[dict[str, object]]:
    return [
        {"label": kind, "url": with_query(path, window=kind), "is_current": kind == current}
        for kind in WINDOWS
    ]


def _build_level_cards(levels: SupervisorLevels) -> list[Card]:
    failure = "unknown" if levels.failure_rate is None else format_share(levels.failure_rate)
    backlog = f"{levels.backlog_level}: jobs that wait"
    is_known = levels.failure_rate is not None
    errors = f"{levels.failure_level}: of the decisions in 24 h" if is_known else "no decision in 24 h"
    return [
        Card("Backlog", f"{levels.backlog_count:,}", backlog, _TONES[levels.backlog_level]),
        Card("Errors", failure, errors, _TONES[levels.failure_level] if is_known else ""),
    ]


def _format_ms(lag_ms: float | None) -> str:
    """Return a lag as people read it; one that is negative keeps its sign."""
    if lag_ms is None:
        return "unknown"
    return f"−{format_duration(-lag_ms / 1_000)}" if lag_ms < 0 else format_duration(lag_ms / 1_000)


def _list_examples(evidence: object) -> list[str]:
    found = evidence.get("decision_ids") if isinstance(evidence, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


def _show_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)[:_MAX_ORIGINAL_CHARS]
