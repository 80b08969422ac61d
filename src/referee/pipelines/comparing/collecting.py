"""Read everything that a comparison needs, in few queries however many cells there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import (
    AnalysisFacts,
    ToolFacts,
    list_analysis_facts,
    read_repeated_runs,
    read_tool_facts,
)
from referee.apps import (
    list_apps_by_id,
    list_template_slugs,
    list_written_apps,
    read_generation_facts,
    read_starts,
)
from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import format_id
from referee.core.vocabulary import Outcome
from referee.pipelines.comparing.cells import CellFacts, CellSet, SourceFacts, UnitWord
from referee.pipelines.queries import get_pipeline
from referee.pipelines.tables import CellRow

__all__ = ["MAX_ANALYSES_COUNT", "MAX_CELLS_COUNT", "collect_analyses", "collect_pipeline"]

MAX_CELLS_COUNT: Final = 10_000
"""Cells of one comparison: what is read of so many fits into memory, with room."""
MAX_ANALYSES_COUNT: Final = 200
"""Analyses that are named one by one: what an address holds."""
_MAX_MODELS_COUNT: Final = 40
"""As ``compare_models`` takes."""


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A cell before its results were read."""

    model: str
    template: str
    number: int
    analysis_id: UUID | None
    state: str
    is_valid: bool
    reason: str
    app_id: UUID | None
    source_digest: str | None
    code_lines_count: int | None


async def collect_pipeline(session: AsyncSession, project_id: UUID, pipeline_id: UUID) -> CellSet:
    """Return the cells of a pipeline with all that is known of them.

    Raises:
        NotFound: The project has no such pipeline.
        InvalidInput: It has more cells or models than can be compared.
    """
    pipeline = await get_pipeline(session, project_id, pipeline_id)
    _check_size(pipeline.counts.total_count)
    cells = (
        await session.scalars(
            select(CellRow).where(CellRow.pipeline_id == pipeline_id).order_by(CellRow.position)
        )
    ).all()
    judged = {
        facts.analysis_id: facts
        for facts in await list_analysis_facts(
            session, project_id, [cell.analysis_id for cell in cells if cell.analysis_id]
        )
    }
    written = await list_written_apps(
        session, project_id, [cell.generation_id for cell in cells if cell.generation_id]
    )
    drafts = [_draft_cell(cell, judged, written) for cell in cells]
    source = SourceFacts(
        kind="pipeline",
        name=pipeline.name,
        pipeline_id=pipeline_id,
        definition_sha256=pipeline.definition_sha256,
        state=pipeline.state.value,
        mode=pipeline.mode,
    )
    return await _complete(session, project_id, source, drafts, ())


async def collect_analyses(session: AsyncSession, project_id: UUID, analysis_ids: Sequence[UUID]) -> CellSet:
    """Return the apps that these analyses judged as cells; of two analyses of one app the later one counts.

    A cell is valid when its analysis ended with verified results and lacks nothing but tools that could not
    be had for any of the analyses.

    Raises:
        NotFound: The project has no such analysis.
        InvalidInput: There are too many, or one judged no app of a model.
    """
    wanted = list(dict.fromkeys(analysis_ids))
    if not 1 <= len(wanted) <= MAX_ANALYSES_COUNT:
        raise InvalidInput(
            "comparison.analyses_count",
            f"A comparison takes 1 to {MAX_ANALYSES_COUNT} analyses, and {len(wanted)} were named.",
            "Run a pipeline over the apps and compare that.",
        )
    judged = await list_analysis_facts(session, project_id, wanted)
    apps = await list_apps_by_id(session, project_id, [facts.app_id for facts in judged if facts.app_id])
    slugs = await list_template_slugs(
        session, project_id, [facts.template_id for facts in judged if facts.template_id]
    )
    _require_all(wanted, judged)
    drafts: dict[UUID, _Draft] = {}
    notes: list[str] = []
    for facts in judged:
        assert facts.app_id is not None  # noqa: S101 - required above
        app = apps[facts.app_id]
        if app.app_id in drafts:
            notes.append(f"Of several analyses of {app.model}/app{app.number} the latest one counts.")
        slug = slugs.get(facts.template_id) if facts.template_id else None
        drafts[app.app_id] = _Draft(
            model=app.model,
            template=app.template or slug or "",
            number=app.number,
            analysis_id=facts.analysis_id,
            state=facts.state.value,
            is_valid=facts.has_manifest and facts.state.value in ("completed", "partially_completed"),
            reason=facts.reason,
            app_id=app.app_id,
            source_digest=facts.source_digest,
            code_lines_count=facts.code_lines_count,
        )
    source = SourceFacts(
        kind="analyses",
        name=f"{len(drafts)} analyses",
        pipeline_id=None,
        definition_sha256=None,
        state=None,
        mode=None,
    )
    return await _complete(session, project_id, source, list(drafts.values()), tuple(dict.fromkeys(notes)))


def _draft_cell(cell: CellRow, judged: Mapping[UUID, AnalysisFacts], written: Mapping[UUID, UUID]) -> _Draft:
    facts = judged.get(cell.analysis_id) if cell.analysis_id else None
    written_id = written.get(cell.generation_id) if cell.generation_id else None
    return _Draft(
        model=cell.model,
        template=cell.template,
        number=cell.number,
        analysis_id=cell.analysis_id,
        state=cell.state,
        is_valid=cell.is_valid,
        reason="" if cell.is_valid else cell.reason or f"It is {cell.state.replace('_', ' ')}.",
        app_id=cell.app_id or written_id,
        source_digest=None if facts is None else facts.source_digest,
        code_lines_count=None if facts is None else facts.code_lines_count,
    )


def _require_all(wanted: Sequence[UUID], judged: Sequence[AnalysisFacts]) -> None:
    found = {facts.analysis_id: facts.app_id for facts in judged}
    for analysis_id in wanted:
        if analysis_id not in found:
            raise NotFound(
                "analysis.not_found",
                f"There is no analysis {format_id('analysis', analysis_id)}.",
                "List them with `referee analysis list`.",
            )
        if found[analysis_id] is None:
            raise InvalidInput(
                "comparison.subject_unsuitable",
                f"The analysis {format_id('analysis', analysis_id)} judged no app of a model.",
                "Analyse it with its model: `referee analyze PATH --model MODEL`.",
            )


async def _complete(
    session: AsyncSession,
    project_id: UUID,
    source: SourceFacts,
    drafts: Sequence[_Draft],
    notes: tuple[str, ...],
) -> CellSet:
    models = tuple(dict.fromkeys(draft.model for draft in drafts))
    if not drafts:
        raise InvalidInput("comparison.empty", "There is no cell to compare.", "Add cells to the pipeline.")
    if len(models) > _MAX_MODELS_COUNT:
        raise InvalidInput(
            "comparison.too_large",
            f"There are {len(models)} models, and at most {_MAX_MODELS_COUNT} are compared at once.",
            "Split them over several pipelines.",
        )
    ids = [draft.analysis_id for draft in drafts if draft.analysis_id is not None]
    tools, has_all_things = await read_tool_facts(session, ids)
    if not has_all_things:
        notes = (
            *notes,
            "There are too many findings to tell which tools found the same; that part is left out.",
        )
    if source.kind == "analyses":
        _judge_loose(drafts, tools)
    starts = await read_starts(session, project_id, [d.source_digest for d in drafts if d.source_digest])
    generations = await read_generation_facts(session, project_id, [d.app_id for d in drafts if d.app_id])
    cells = [
        CellFacts(
            model=draft.model,
            unit=draft.template or f"app {draft.number}",
            number=draft.number,
            analysis_id=draft.analysis_id,
            state=draft.state,
            is_valid=draft.is_valid,
            reason=draft.reason,
            source_digest=draft.source_digest,
            code_lines_count=draft.code_lines_count,
            tools=tools.get(draft.analysis_id, {}) if draft.analysis_id else {},
            has_started=starts.get(draft.source_digest) if draft.source_digest else None,
            generation=generations.get(draft.app_id) if draft.app_id else None,
        )
        for draft in drafts
    ]
    return CellSet(
        source=source,
        cells=cells,
        models=models,
        units=tuple(dict.fromkeys(cell.unit for cell in cells)),
        unit_word=_find_unit_word(drafts),
        repeated_runs=await read_repeated_runs(
            session, project_id, [draft.source_digest for draft in drafts if draft.source_digest]
        ),
        notes=notes,
    )


def _find_unit_word(drafts: Sequence[_Draft]) -> UnitWord:
    have = {bool(draft.template) for draft in drafts}
    return "template" if have == {True} else "app number" if have == {False} else "template or app number"


def _judge_loose(drafts: Sequence[_Draft], tools: Mapping[UUID, Mapping[str, ToolFacts]]) -> None:
    """Take validity from cells that lack a tool which others of the set could have."""
    by_draft = [tools.get(draft.analysis_id, {}) if draft.analysis_id else {} for draft in drafts]
    asked = {tool for runs in by_draft for tool in runs}
    nowhere = {
        tool
        for tool in asked
        if all(runs[tool].outcome is Outcome.unavailable for runs in by_draft if tool in runs)
    }
    for draft, runs in zip(drafts, by_draft, strict=True):
        holes = [run for run in runs.values() if not run.is_complete and run.tool not in nowhere]
        if not draft.is_valid:
            draft.reason = draft.reason or f"Its analysis is {draft.state.replace('_', ' ')}."
        elif holes:
            word = "not ended" if holes[0].outcome is None else holes[0].outcome.value.replace("_", " ")
            draft.is_valid = False
            draft.reason = f"{holes[0].tool} is {word}: {holes[0].reason}"
        else:
            draft.reason = ""


def _check_size(cells_count: int) -> None:
    if cells_count > MAX_CELLS_COUNT:
        raise InvalidInput(
            "comparison.too_large",
            f"There are {cells_count:,} cells, and at most {MAX_CELLS_COUNT:,} are compared at once.",
            "Compare a smaller pipeline.",
        )
