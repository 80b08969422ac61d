"""Pages of runs. Each shows what its JSON twin answers, from the same reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.core.pages import DEFAULT_LIMIT
from referee.experiments.room import GetRoom
from referee.experiments.runs import compare_rows, page_lists, queries, service
from referee.experiments.runs.api import RunId
from referee.experiments.runs.results import MetricResult
from referee.experiments.runs.statistics_views import MetricStatistics
from referee.foundation.statistics import Interval
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.lists import change_query, read_list_query
from referee.foundation.web.rendering import Crumb, render_page

__all__ = ["create_runs_pages"]

RUNS_CRUMB: Final = Crumb("Runs", "/ui/runs")
_ROWS_COUNT: Final = 50
_OTHERS_COUNT: Final = 50
_MAX_PAGE: Final = 100_000

PageNumber = Annotated[int, Query(ge=1, le=_MAX_PAGE)]


def create_runs_pages(room: GetRoom) -> APIRouter:
    """Return the pages of runs."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/runs")
    async def show_runs(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        query = read_list_query(request, queries.RUN_FIELDS)
        async with room().database.reading() as session:
            page = await queries.list_runs(
                session, principal.project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
            )
            statuses = await queries.count_statuses(
                session, principal.project_id, query.filter.without("status")
            )
        view = page_lists.build_run_list(query, page, statuses)
        return await render_page(
            request, "runs/runs.html", {"view": view}, title="Runs", twin_url=view.twin_url
        )

    @router.get("/ui/runs/{run_id}")
    async def show_run(
        request: Request,
        run_id: RunId,
        principal: PrincipalParameter,
        page: PageNumber = 1,
        baseline: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        if baseline:
            return RedirectResponse(f"/ui/runs/{quote(run_id)}/compare/{quote(baseline)}", 303)
        outcome = await service.read_outcome(room(), principal.project_id, run_id)
        async with room().database.reading() as session:
            others = await queries.list_runs(session, principal.project_id, limit=_OTHERS_COUNT)
        context = await asyncio.to_thread(_build_result, outcome, page)
        context |= {
            "others": [run for run in others.items if run.run_id != run_id],
            **_page_urls(request, page, len(outcome.result.trials)),
        }
        return await render_page(
            request, "runs/run.html", context, title=outcome.run.name,
            twin_url=f"/v1/runs/{quote(run_id)}/result", breadcrumb=(RUNS_CRUMB,),
        )  # fmt: skip

    @router.get("/ui/runs/{new_run_id}/compare/{old_run_id}")
    async def show_comparison(
        request: Request,
        new_run_id: RunId,
        old_run_id: RunId,
        principal: PrincipalParameter,
        metric: Annotated[str, Query(max_length=2_000)] = "",
        change: Annotated[str, Query(max_length=20)] = "",
        page: PageNumber = 1,
    ) -> Response:
        pair = await service.read_pair(
            room(), principal.project_id, old_run_id=old_run_id, new_run_id=new_run_id
        )
        context = await _build_comparison(request, pair, metric, change, page)
        return await render_page(
            request, "runs/compare.html", context,
            title=f"{pair.old.run.name} → {pair.new.run.name}",
            twin_url=f"/v1/runs/{quote(new_run_id)}/compare/{quote(old_run_id)}/statistics",
            breadcrumb=(RUNS_CRUMB, Crumb(pair.new.run.name, f"/ui/runs/{quote(new_run_id)}")),
        )  # fmt: skip

    return router


def _build_result(outcome: service.RunOutcome, page: int) -> dict[str, Any]:
    result = outcome.result
    ordered = sorted(result.trials, key=lambda one: (one.is_passed, one.trial.error is None))
    shown = ordered[(page - 1) * _ROWS_COUNT :][:_ROWS_COUNT]
    metrics = result.metrics[: page_lists.MAX_METRICS_COUNT]
    return {
        "run": outcome.run,
        "number_cards": page_lists.build_result_cards(outcome),
        "metric_columns": page_lists.METRIC_COLUMNS,
        "metric_rows": page_lists.build_metric_rows(metrics, _compute_intervals(metrics)),
        "metrics_left_out_count": len(result.metrics) - len(metrics),
        "trial_columns": page_lists.TRIAL_COLUMNS,
        "trial_rows": page_lists.build_trial_rows(shown),
        "trials_count": len(result.trials),
        "facts": [
            ("Run", outcome.run.run_id),
            ("Dataset", outcome.run.dataset_name or outcome.run.dataset_id or "none"),
            ("Description", outcome.run.description or "none"),
            ("Created", outcome.run.created_at.isoformat()),
            (
                "Kinds of events",
                ", ".join(f"{name} ({type_})" for name, type_ in result.event_kinds[:20]) or "none",
            ),
        ],
    }


def _compute_intervals(metrics: Sequence[MetricResult]) -> list[Interval | None]:
    """Return the interval of each mean: Wilson's of yes-or-no scores, a bootstrap over trials else."""
    from referee.foundation.statistics import (  # noqa: PLC0415 - loads NumPy
        compute_mean_interval,
        compute_share_interval,
    )

    found: list[Interval | None] = []
    for one in metrics:
        values = [float(value) for value in one.values]
        if len(values) < 2:
            found.append(None)
        elif set(values) <= {0.0, 1.0}:
            found.append(compute_share_interval(int(sum(values)), len(values)))
        else:
            count = max(1_000, min(10_000, 2_000_000 // len(values)))
            found.append(compute_mean_interval(values, resamples_count=count))
    return found


async def _build_comparison(
    request: Request, pair: service.RunPair, metric_name: str, change: str, page: int
) -> dict[str, Any]:
    statistics = await service.compute_pair_statistics(pair)
    metric = compare_rows.choose_metric(pair, metric_name)
    rows = compare_rows.list_datapoints(pair, metric)
    counts: dict[str, int] = {word: sum(one[1] == word for one in rows) for word in compare_rows.CHANGES}
    chosen = [one for one in rows if not change or one[1] == change]
    shown = chosen[(page - 1) * _ROWS_COUNT :][:_ROWS_COUNT]
    parameters = tuple(request.query_params.multi_items())
    path = request.url.path

    def link(one: MetricStatistics) -> str:
        name = f"{one.metric_name}@{one.event_name}"
        return change_query(path, parameters, metric=name, page=None, change=None) + "#datapoints"

    shown_statistics = next(
        (one for one in statistics.metrics if metric is not None and one.metric_name == metric.key.metric_name
         and one.event_name == metric.key.event_name and one.event_type == metric.key.event_type), None,
    )  # fmt: skip
    return {
        "pair": pair,
        "statistics": statistics,
        "metric": metric,
        "shown_statistics": shown_statistics,
        "number_cards": page_lists.build_compare_cards(pair, statistics),
        "statistic_columns": page_lists.STATISTIC_COLUMNS,
        "statistic_rows": page_lists.build_statistic_rows(statistics, link),
        "estimates": page_lists.build_estimates(statistics),
        "format_signed": page_lists.format_signed,
        "datapoints": await asyncio.to_thread(compare_rows.compare_datapoints, pair, metric, shown),
        "tabs": [
            {
                "url": change_query(path, parameters, change=word or None, page=None) + "#datapoints",
                "label": {"": "All", "degraded": "Worse", "improved": "Better"}.get(word, word.capitalize()),
                "is_current": change == word,
                "count": len(rows) if not word else counts[word],
            }
            for word in ("", *compare_rows.CHANGES)
        ],
        "swap_url": f"/ui/runs/{quote(pair.old.run.run_id)}/compare/{quote(pair.new.run.run_id)}",
        **_page_urls(request, page, len(chosen)),
    }


def _page_urls(request: Request, page: int, total_count: int) -> dict[str, Any]:
    parameters = tuple(request.query_params.multi_items())
    path = request.url.path

    def link(number: int) -> str:
        return change_query(path, parameters, page=str(number)) + "#datapoints"

    return {
        "rows_count": total_count,
        "previous_url": link(page - 1) if page > 1 else "",
        "next_url": link(page + 1) if page * _ROWS_COUNT < total_count else "",
        "page_number": page,
        "pages_count": max(1, -(-total_count // _ROWS_COUNT)),
    }
