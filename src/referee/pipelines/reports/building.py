"""Build the document of a report from cells and their comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import format_id
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.computing import compute_comparison
from referee.pipelines.comparing.views import ModelComparison
from referee.pipelines.reports import sections, tool_sections
from referee.pipelines.reports.document import Document, Facts, Section, Text
from referee.pipelines.reports.states import ReportKind
from referee.pipelines.reports.views import Report

__all__ = ["build_document", "check_parameters"]

_MOST_SENTENCES_COUNT: Final = 12


def check_parameters(
    kind: ReportKind, cells: CellSet, *, model: str | None, template: str | None, baseline: str | None
) -> None:
    """Refuse a report about what the cells do not have.

    Raises:
        InvalidInput: The model, the template or the baseline is not among them.
    """
    if kind is ReportKind.model_analysis and model is None:
        raise InvalidInput(
            "report.model_needed",
            "A report on a model needs the model.",
            f"Name one of: {', '.join(cells.models)[:400]}.",
        )
    for word, value, known in (
        ("model", model, cells.models),
        ("baseline", baseline, cells.models),
        ("template", template, cells.units),
    ):
        if value is not None and value not in known:
            raise InvalidInput(
                f"report.{word}_unknown",
                f"The {word} {value[:80]!r} is not in the report's source.",
                f"Name one of: {', '.join(known)[:400]}.",
            )


def build_document(report: Report, cells: CellSet, *, definition: str | None, made_at: datetime) -> Document:
    """Return the document of a report. Blocking, and busy for seconds when there are many cells.

    Args:
        report: What was asked for.
        cells: Of its source.
        definition: Text of the pipeline's file; None where there is none.
        made_at: Now.

    Raises:
        InvalidInput: It is about a model or a template that the cells do not have.
    """
    parameters = report.parameters
    model, template, baseline = (_read(parameters, name) for name in ("model", "template", "baseline"))
    check_parameters(report.kind, cells, model=model, template=template, baseline=baseline)
    if template is not None:
        cells = _narrow(cells, template)
    comparison = compute_comparison(cells, baseline=baseline)
    return Document(
        report_id=format_id("report", report.report_id),
        kind=report.kind.value,
        title=report.title,
        made_at=made_at.isoformat(timespec="seconds"),
        summary=_summarise(report.kind, cells, comparison, model),
        sections=[
            *_BUILDERS[report.kind](cells, comparison, model),
            _build_reproduction(cells, comparison, definition),
        ],
        reproduction=_list_reproduction(cells, comparison, definition),
    )


def _read(parameters: Mapping[str, JsonValue], name: str) -> str | None:
    value = parameters.get(name)
    return value if isinstance(value, str) and value else None


def _narrow(cells: CellSet, template: str) -> CellSet:
    kept = [cell for cell in cells.cells if cell.unit == template]
    return replace(
        cells, cells=kept, models=tuple(dict.fromkeys(cell.model for cell in kept)), units=(template,)
    )


def _build_model(cells: CellSet, comparison: ModelComparison, model: str | None) -> list[Section]:
    models = [model or cells.models[0]]
    return [
        sections.build_overview(cells, comparison),
        sections.build_models(comparison, models),
        sections.build_cells(cells, comparison, models),
        sections.build_repeats(comparison),
        sections.build_opinions(comparison),
    ]


def _build_templates(cells: CellSet, comparison: ModelComparison, model: str | None) -> list[Section]:
    return [
        sections.build_overview(cells, comparison),
        sections.build_differences(comparison),
        sections.build_models(comparison, cells.models),
        sections.build_templates(cells, comparison),
        sections.build_screens(comparison),
    ]


def _build_tools(cells: CellSet, comparison: ModelComparison, model: str | None) -> list[Section]:
    return [
        sections.build_overview(cells, comparison),
        tool_sections.build_tools(cells, comparison),
        sections.build_screens(comparison),
    ]


def _build_generation(cells: CellSet, comparison: ModelComparison, model: str | None) -> list[Section]:
    return [
        sections.build_overview(cells, comparison),
        tool_sections.build_generation(cells),
        sections.build_repeats(comparison),
    ]


def _build_all(cells: CellSet, comparison: ModelComparison, model: str | None) -> list[Section]:
    return [
        sections.build_overview(cells, comparison),
        sections.build_differences(comparison),
        sections.build_models(comparison, cells.models),
        sections.build_templates(cells, comparison),
        sections.build_screens(comparison),
        tool_sections.build_tools(cells, comparison),
        tool_sections.build_generation(cells),
        sections.build_repeats(comparison),
        sections.build_opinions(comparison),
        sections.build_cells(cells, comparison, cells.models),
    ]


_BUILDERS: Final[Mapping[ReportKind, Callable[[CellSet, ModelComparison, str | None], list[Section]]]] = {
    ReportKind.model_analysis: _build_model,
    ReportKind.template_comparison: _build_templates,
    ReportKind.tool_analysis: _build_tools,
    ReportKind.generation_analytics: _build_generation,
    ReportKind.comprehensive: _build_all,
}


def _summarise(
    kind: ReportKind, cells: CellSet, comparison: ModelComparison, model: str | None
) -> Sequence[str]:
    """Return what is shown, as sentences; what is not shown is counted, not told one by one."""
    lead = (
        f"{cells.valid_count} of {len(cells.cells)} cells are valid: {len(cells.models)} models over "
        f"{len(cells.units)} units, paired by {cells.unit_word}."
    )
    if kind in (ReportKind.tool_analysis, ReportKind.generation_analytics):
        return [lead]
    compared = [
        (metric.title, one)
        for metric in comparison.metrics
        for one in metric.differences
        if one.baseline == comparison.baseline and (model is None or model in (one.candidate, one.baseline))
    ]
    shown = [f"{title}: {one.sentence}" for title, one in compared if one.verdict in ("better", "worse")]
    rest_count = len(compared) - len(shown)
    told = shown[:_MOST_SENTENCES_COUNT]
    if len(shown) > len(told):
        told.append(f"{len(shown) - len(told)} more differences are shown; the table has them all.")
    if rest_count:
        told.append(
            f"{rest_count} other differences to {comparison.baseline} are not shown after "
            f"{comparison.claims_looks_count} looks, which does not mean that there are none."
        )
    return [lead, *told]


def _build_reproduction(cells: CellSet, comparison: ModelComparison, definition: str | None) -> Section:
    facts = [
        ("Pipeline file (SHA-256)", cells.source.definition_sha256 or "none"),
        ("Pipeline", "none" if cells.source.pipeline_id is None else str(cells.source.pipeline_id)),
        ("Seed", str(comparison.seed)),
        ("Resamples", f"{comparison.resamples_count:,}"),
        ("Level", f"{comparison.level:g}"),
        (
            "Tool versions",
            ", ".join(f"{tool} {' / '.join(versions)}" for tool, versions in _list_versions(cells).items()),
        ),
        ("Source digests", "in the JSON and the sheet of apps, one for each app"),
    ]
    blocks: list[Facts | Text] = [Facts(facts)]
    if definition is not None:
        blocks.append(Text("The pipeline file as it was given:", "quiet"))
        blocks.append(Text(definition[:20_000], "code"))
    return Section(section_id="reproduction", title="To get the same again", blocks=blocks)


def _list_reproduction(
    cells: CellSet, comparison: ModelComparison, definition: str | None
) -> dict[str, JsonValue]:
    return {
        "source_kind": cells.source.kind,
        "pipeline_id": None if cells.source.pipeline_id is None else str(cells.source.pipeline_id),
        "definition_sha256": cells.source.definition_sha256,
        "definition": definition,
        "baseline": comparison.baseline,
        "seed": comparison.seed,
        "resamples_count": comparison.resamples_count,
        "level": comparison.level,
        "tool_versions": {tool: list(versions) for tool, versions in _list_versions(cells).items()},
        "cells": [
            {
                "model": cell.model,
                "unit": cell.unit,
                "number": cell.number,
                "analysis_id": None if cell.analysis_id is None else str(cell.analysis_id),
                "source_digest": cell.source_digest,
                "is_valid": cell.is_valid,
            }
            for cell in cells.cells
        ],
    }


def _list_versions(cells: CellSet) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for cell in cells.cells:
        for run in cell.tools.values():
            if run.version is not None:
                found.setdefault(run.tool, set()).add(run.version)
    return {tool: sorted(versions) for tool, versions in sorted(found.items())}
