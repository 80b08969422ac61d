"""The page of comparisons. It shows what its JSON twin answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from referee.core.errors import RefereeError
from referee.core.ids import parse_id
from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.lists import EmptyState, change_query
from referee.foundation.web.rendering import render_page
from referee.foundation.web.templating import with_query
from referee.pipelines import queries
from referee.pipelines.comparing import page_tables, service
from referee.pipelines.comparing.api import (
    BaselineParameter,
    GetRoom,
    MetricParameter,
    create_api,
    read_analysis_ids,
)
from referee.pipelines.comparing.metrics import format_difference, format_value, get_metric
from referee.pipelines.comparing.views import MetricView, ModelComparison

__all__ = ["create_comparing_routes", "create_pages"]

_PIPELINES_COUNT: Final = 50
_NOTHING_YET: Final = EmptyState(
    "Nothing to compare yet",
    "A comparison takes the cells of a pipeline: models over the same templates, or over apps with the same number.",
    "referee pipeline example > pipeline.yaml && referee pipeline run pipeline.yaml",
)
_TABLES: Final = {
    name: getattr(page_tables, name) for name in page_tables.__all__ if name.endswith("_COLUMNS")
}


def create_comparing_routes(room: GetRoom) -> tuple[APIRouter, APIRouter]:
    """Return the routes and the page of comparisons."""
    return create_api(room), create_pages(room)


def create_pages(room: GetRoom) -> APIRouter:
    """Return the page of comparisons."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ui/compare")
    async def show_comparison(
        request: Request,
        principal: PrincipalParameter,
        pipeline: Annotated[str, Query(max_length=80)] = "",
        analysis: Annotated[list[str] | None, Query(max_length=400)] = None,
        metric: MetricParameter = None,
        baseline: BaselineParameter = None,
        candidate: Annotated[str, Query(max_length=400)] = "",
    ) -> Response:
        texts = [word for text in analysis or [] for word in text.replace(",", " ").split()]
        if not pipeline and not texts:
            return await _show_choice(request, room, principal.project_id)
        try:
            if pipeline:
                comparison = await service.compare_pipeline(
                    room(),
                    principal.project_id,
                    parse_id(pipeline, "pipeline"),
                    metric=metric or None,
                    baseline=baseline or None,
                )
            else:
                comparison = await service.compare_analyses(
                    room(),
                    principal.project_id,
                    read_analysis_ids(texts),
                    metric=metric or None,
                    baseline=baseline or None,
                )
        except RefereeError as error:
            if pipeline:
                raise
            return await _show_choice(request, room, principal.project_id, " ".join(texts), error)
        return await _show(request, comparison, texts, candidate)

    return router


async def _show_choice(
    request: Request,
    room: GetRoom,
    project_id: UUID,
    analyses_text: str = "",
    error: RefereeError | None = None,
) -> Response:
    async with room().database.reading() as session:
        page = await queries.list_pipelines(session, project_id, limit=_PIPELINES_COUNT)
    context = {
        "pipelines": page.items,
        "analyses_text": analyses_text,
        "error": error,
        "empty_state": _NOTHING_YET,
    }
    return await render_page(
        request,
        "comparing/choose.html",
        context,
        title="Compare",
        twin_url="/v1/pipelines",
        status=200 if error is None else error.status,
    )


async def _show(
    request: Request, comparison: ModelComparison, analyses: Sequence[str], candidate: str
) -> Response:
    candidates = comparison.candidates
    chosen = candidate if candidate in candidates else (candidates[0] if candidates else "")
    metric = comparison.find_metric(comparison.metric)
    parameters = tuple(request.query_params.multi_items())
    if comparison.pipeline_id is not None:
        source = [("pipeline", str(comparison.pipeline_id))]
        path = f"/v1/pipelines/{comparison.pipeline_id}/comparison"
        own: list[tuple[str, str]] = []
        report_url = with_query("/ui/reports", pipeline=comparison.pipeline_id) + "#new"
    else:
        source = own = [("analysis", one) for one in analyses]
        path, report_url = "/v1/comparison", ""
    twin_url = change_query(path, own, metric=comparison.metric, baseline=comparison.baseline)
    context: dict[str, Any] = {
        **_TABLES,
        "comparison": comparison,
        "candidate": chosen,
        "metric": metric,
        "source_parameters": source,
        "report_url": report_url,
        "state_line": _describe_source(comparison),
        "number_cards": page_tables.build_cards(comparison),
        "facts": _list_facts(comparison),
        **_build_metric(comparison, metric, chosen, parameters),
        "screen_rows": page_tables.build_screen_rows(comparison, chosen),
        "weighting_columns": page_tables.build_weighting_columns(comparison),
        "weighting_rows": page_tables.build_weighting_rows(comparison),
        "front_rows": page_tables.build_front_rows(comparison),
        "pass_columns": page_tables.build_pass_columns(comparison),
        "pass_rows": page_tables.build_pass_rows(comparison),
        "overlap_bars": page_tables.build_overlap_bars(comparison),
        "capture_rows": page_tables.build_capture_rows(comparison),
        "flip_rows": page_tables.build_flip_rows(comparison),
        "opinion_titles": [get_metric(key).title for key in comparison.opinions_metrics],
        "opinion_rows": page_tables.build_opinion_rows(comparison),
    }
    return await render_page(
        request,
        "comparing/compare.html",
        context,
        title=f"Compare {comparison.source_name}",
        twin_url=twin_url,
    )


def _build_metric(
    comparison: ModelComparison,
    metric: MetricView | None,
    candidate: str,
    parameters: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    if metric is None:
        return {"shown_sentence": "", "estimates": [], "metric_rows": [], "model_rows": [], "pair_rows": []}

    def link(key: str) -> str:
        return change_query("/ui/compare", parameters, metric=key) + "#metric"

    one = metric.find_difference(candidate, comparison.baseline)
    return {
        "shown_sentence": "" if one is None else f"{metric.title}: {one.sentence}",
        "estimates": page_tables.build_differences(metric, comparison.baseline),
        "metric_rows": page_tables.build_metric_rows(comparison, candidate, link) if candidate else [],
        "model_rows": page_tables.build_model_rows(metric),
        "pair_rows": page_tables.build_pair_rows(metric),
        "format_difference": partial(format_difference, metric.scale),
        "format_amount": partial(format_value, metric.scale),
    }


def _describe_source(comparison: ModelComparison) -> str:
    names = ", ".join(one.model for one in comparison.models[:6])
    more = f" and {len(comparison.models) - 6} more" if len(comparison.models) > 6 else ""
    return f"{names}{more}, paired by {comparison.unit_word}."


def _list_facts(comparison: ModelComparison) -> list[tuple[str, str]]:
    return [
        ("Paired by", comparison.unit_word),
        ("Tools that count", ", ".join(comparison.tools) or "none"),
        (
            "Valid cells by model",
            ", ".join(f"{one.model} {one.valid_count} of {one.cells_count}" for one in comparison.models),
        ),
        ("Intervals", f"studentised bootstrap, {comparison.resamples_count:,} resamples, 95 %"),
        (
            "Claims",
            f"exact sign-flip p, Holm over {comparison.claims_looks_count:,} looks (pairs of models × metrics)",
        ),
        ("Screens", f"Benjamini–Hochberg over {comparison.screens_looks_count:,} looks"),
        ("Seed", str(comparison.seed)),
        ("Pipeline file", comparison.definition_sha256 or "none"),
    ]
