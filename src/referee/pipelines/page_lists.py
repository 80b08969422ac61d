"""The lists of pipelines and cells as pages show them: columns, rows, cards."""

from __future__ import annotations

from referee.core.pages import Page
from referee.foundation.web.lists import Card, Column, EmptyState, ListQuery, ListView, Row
from referee.foundation.web.templating import with_query
from referee.pipelines.queries import CELL_FIELDS, PIPELINE_FIELDS
from referee.pipelines.views import Cell, Pipeline

__all__ = ["build_cards", "build_cell_list", "build_pipeline_list"]

_PIPELINE_COLUMNS = (
    Column("name", "Name", is_title=True),
    Column("state", "State", "state"),
    Column("mode", "Mode", is_optional=True),
    Column("ended", "Ended", is_optional=True),
    Column("valid", "Valid cells"),
    Column("created", "Accepted", "time"),
)
_CELL_COLUMNS = (
    Column("model", "Model", is_title=True),
    Column("template", "Template"),
    Column("number", "No.", "number"),
    Column("state", "State", "state"),
    Column("valid", "Valid"),
    Column("tries", "Tries", "count", is_optional=True),
    Column("took", "Took", "duration", is_optional=True),
    Column("reason", "Note"),
)
_NO_PIPELINES = EmptyState(
    "No pipelines yet",
    "A pipeline has models write apps for templates, or takes apps that exist, and analyses each exactly once.",
    "referee pipeline example > pipeline.yaml && referee pipeline run pipeline.yaml",
)
_NO_CELLS = EmptyState("No cells", "This pipeline has no cell.")


def build_pipeline_list(query: ListQuery, page: Page[Pipeline]) -> ListView:
    """Return the list page of pipelines."""
    return ListView(
        title="Pipelines",
        noun="pipelines",
        query=query,
        columns=_PIPELINE_COLUMNS,
        rows=[
            Row(
                row_id=pipeline.pipeline_id.hex,
                url=f"/ui/pipelines/{pipeline.pipeline_id}",
                cells={
                    "name": pipeline.name,
                    "state": pipeline.state,
                    "mode": pipeline.mode,
                    "ended": f"{pipeline.counts.ended_count:,} of {pipeline.counts.total_count:,}",
                    "valid": f"{pipeline.counts.valid_count:,} of {pipeline.counts.total_count:,}",
                    "created": pipeline.created_at,
                },
            )
            for pipeline in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_PIPELINES,
        twin_url=query.url(item=None).replace("/ui/", "/v1/", 1),
        fields=PIPELINE_FIELDS,
        live_topic="pipelines",
        caption="Pipelines, newest first",
    )


def build_cell_list(query: ListQuery, page: Page[Cell], pipeline: Pipeline) -> ListView:
    """Return the cells of a pipeline as a list."""
    return ListView(
        title="Cells",
        noun="cells",
        query=query,
        columns=_CELL_COLUMNS,
        rows=[
            Row(row_id=cell.cell_id.hex, url=_cell_url(cell), cells=_cell_cells(cell)) for cell in page.items
        ],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_CELLS,
        twin_url=with_query(f"/v1/pipelines/{pipeline.pipeline_id}/cells", filter=query.text),
        fields=CELL_FIELDS,
        live_topic=f"pipeline:{pipeline.pipeline_id}",
        caption="Cells in their order",
    )


def build_cards(pipeline: Pipeline) -> list[Card]:
    """Return the numbers above a pipeline's grid."""
    counts = pipeline.counts
    missing_count = counts.ended_count - counts.valid_count
    spent = f"{pipeline.spent_usd:,.2f} USD"
    return [
        Card(
            "Valid cells",
            f"{counts.valid_count:,}",
            f"of {counts.total_count:,}",
            tone="ok" if counts.valid_count == counts.total_count else "",
        ),
        Card("Ended", f"{counts.ended_count:,}", f"{counts.ended_share:.0%} of all"),
        Card(
            "Ended without valid results",
            f"{missing_count:,}",
            "each says why" if missing_count else "none",
            tone="bad" if missing_count else "",
        ),
        Card(
            "Spent",
            spent,
            "no budget" if pipeline.budget_usd is None else f"of {pipeline.budget_usd:,.2f} USD",
        ),
    ]


def _cell_url(cell: Cell) -> str:
    if cell.analysis_id is not None:
        return f"/ui/analyses/{cell.analysis_id}"
    return f"/ui/pipelines/{cell.pipeline_id}#cells"


def _cell_cells(cell: Cell) -> dict[str, object]:
    return {
        "model": cell.model,
        "template": cell.template or "none",
        "number": cell.number,
        "state": cell.state,
        "valid": "yes" if cell.is_valid else ("no" if cell.state.is_ended else ""),
        "tries": cell.tries_count,
        "took": cell.duration_s,
        "reason": cell.reason,
    }
