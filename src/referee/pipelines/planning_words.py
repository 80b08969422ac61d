"""A preview in words: the same on the page and on the command line."""

from __future__ import annotations

from referee.foundation.web.formats import format_duration
from referee.pipelines.planning_preview import PipelinePreview

__all__ = ["describe_preview"]


def describe_preview(preview: PipelinePreview) -> list[tuple[str, str]]:
    """Return what a pipeline would be as labels and sentences."""
    said = [("Cells", _describe_cells(preview)), ("Tools", _describe_tools(preview))]
    if preview.placeholders_count:
        count = preview.placeholders_count
        said.append(
            (
                "Placeholders",
                f"{count:,} of these apps {'is none' if count == 1 else 'are none'} yet and will be skipped.",
            )
        )
    if preview.left_out_count:
        said.append(("Left out", _describe_left_out(preview)))
    said += [
        ("Cost", _describe_cost(preview)),
        ("Time", _describe_time(preview)),
        ("What it can show", preview.design.sentence),
    ]
    return said


def _describe_left_out(preview: PipelinePreview) -> str:
    count = preview.left_out_count
    more = f" ({count - 1:,} more)" if count > 1 else ""
    return f"{preview.left_out[0]}{more}"


def _describe_cells(preview: PipelinePreview) -> str:
    cells = f"{preview.cells_count:,} cell{'' if preview.cells_count == 1 else 's'}"
    models = f"{preview.models_count:,} model{'' if preview.models_count == 1 else 's'}"
    if preview.mode == "existing":
        return f"{cells}: apps of {models} that exist, each analysed once."
    templates = f"{preview.templates_count:,} template{'' if preview.templates_count == 1 else 's'}"
    times = "once" if preview.repeats_count == 1 else f"{preview.repeats_count:,} times"
    return f"{cells}: {models} × {templates}, {times} each."


def _describe_tools(preview: PipelinePreview) -> str:
    count = len(preview.tools)
    return f"{count} for each app: {', '.join(preview.tools)}."


def _describe_cost(preview: PipelinePreview) -> str:
    cost_usd = preview.cost.cost_usd
    if preview.mode == "existing":
        return f"0 USD for writing. {preview.cost.reason}"
    said = (
        f"Not known. {preview.cost.reason}"
        if cost_usd is None
        else f"About {cost_usd:,.2f} USD for writing. {preview.cost.reason}"
    )
    if preview.budget_usd is None:
        return f"{said} There is no budget."
    if preview.is_over_budget:
        return f"{said} That is more than the budget of {preview.budget_usd:,.2f} USD: the last cells would be skipped."
    return f"{said} The budget is {preview.budget_usd:,.2f} USD."


def _describe_time(preview: PipelinePreview) -> str:
    if preview.time.seconds is None:
        return f"Not known. {preview.time.reason}"
    return f"About {format_duration(preview.time.seconds)}. {preview.time.reason}"
