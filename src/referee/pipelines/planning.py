"""Which cells a definition stands for, in the order they are to start."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps import App, AppFolder, find_template, import_apps, list_named_apps, read_app_folder
from referee.core.errors import InvalidInput
from referee.core.ids import new_id
from referee.pipelines.definition import ExistingPart, GeneratePart, PipelineDefinition
from referee.pipelines.tables import CellRow

__all__ = [
    "CELL_KEY_PREFIX",
    "CellPlan",
    "ensure_cells",
    "find_existing_apps",
    "plan_existing",
    "plan_generated",
    "read_app_name",
    "read_existing_folder",
]

MAX_CELLS_COUNT: Final = 100_000
CELL_KEY_PREFIX: Final = "cell:"
"""How the idempotency key of an analysis begins that is a try of a cell."""
_APP_NAME: Final = re.compile(r"(?P<model>.+)[/:](?:app)?(?P<number>[1-9][0-9]{0,5})")
_INSERT_CELLS: Final = text("""
INSERT INTO cells (cell_id, pipeline_id, position, model, template, number, analysis_kind, parameters_digest, app_id)
SELECT planned.cell_id, :pipeline_id, :first + planned.place - 1, planned.model, planned.template, planned.number,
       :analysis_kind, :parameters_digest, planned.app_id
  FROM unnest(CAST(:ids AS uuid[]), CAST(:models AS text[]), CAST(:templates AS text[]),
              CAST(:numbers AS integer[]), CAST(:apps AS uuid[])) WITH ORDINALITY
    AS planned (cell_id, model, template, number, app_id, place)
    ON CONFLICT ON CONSTRAINT uq_cells__identity DO NOTHING
""")
_SELECT_IDS: Final = text("""
SELECT cells.cell_id
  FROM unnest(CAST(:models AS text[]), CAST(:templates AS text[]), CAST(:numbers AS integer[])) WITH ORDINALITY
    AS planned (model, template, number, place)
  JOIN cells ON cells.pipeline_id = :pipeline_id AND cells.model = planned.model
            AND cells.template = planned.template AND cells.number = planned.number
            AND cells.analysis_kind = :analysis_kind AND cells.parameters_digest = :parameters_digest
 ORDER BY planned.place
""")
"""Arrays instead of rows of parameters: the statement is the same for one cell and for a hundred thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlan:
    """One cell that is to be there."""

    model: str
    template: str
    """Slug; empty for an app without one."""
    number: int
    app_id: UUID | None = None
    """Of an app that exists."""


async def plan_generated(session: AsyncSession, project_id: UUID, part: GeneratePart) -> list[CellPlan]:
    """Return the cells of models × templates × repeats, all models' first repeat first.

    Raises:
        InvalidInput: Too many, or a template is not known.
    """
    count = len(part.models) * len(part.templates) * part.repeats
    if count > MAX_CELLS_COUNT:
        raise _too_many(count)
    for slug in part.templates:
        if await find_template(session, project_id, slug) is None:
            raise InvalidInput(
                "pipeline.template_unknown",
                f"There is no template {slug!r}.",
                "Import it with `referee template import FILE`, or list what is known with `referee template list`.",
            )
    return [
        CellPlan(model=model, template=template, number=number)
        for number in range(1, part.repeats + 1)
        for template in part.templates
        for model in part.models
    ]


def plan_existing(apps: Sequence[App], part: ExistingPart) -> list[CellPlan]:
    """Return the cells of apps that exist.

    Raises:
        InvalidInput: There is none, or there are too many.
    """
    if not apps:
        raise InvalidInput(
            "pipeline.no_apps",
            "There is no app to analyse.",
            "Name apps that `referee app list` shows, or a folder that holds MODEL/appN.",
        )
    if len(apps) > MAX_CELLS_COUNT:
        raise _too_many(len(apps))
    return [
        CellPlan(
            model=app.model,
            template=app.template or part.template or "",
            number=app.number,
            app_id=app.app_id,
        )
        for app in apps
    ]


async def read_existing_folder(
    definition: PipelineDefinition, *, allowed_roots: Sequence[Path]
) -> AppFolder | None:
    """Read the folder of apps that a definition names; None when it names none. Not within a transaction.

    Raises:
        InvalidInput: It holds no app, or may not be read.
    """
    part = definition.existing
    if part is None or part.folder is None:
        return None
    return await asyncio.to_thread(read_app_folder, part.folder, allowed_roots=allowed_roots)


async def find_existing_apps(
    session: AsyncSession,
    project_id: UUID,
    part: ExistingPart,
    folder: AppFolder | None,
    *,
    left_out: list[str] | None = None,
) -> list[App]:
    """Return the apps that a definition names, then those of its folder, which become known by that.

    Args:
        session: In a transaction.
        project_id: Whose.
        part: Of the definition.
        folder: Its folder as ``read_existing_folder`` read it.
        left_out: Takes what of the folder is no app, one sentence each.

    Raises:
        InvalidInput: One is not known.
    """
    apps = await _find_named_apps(session, project_id, part)
    if folder is not None:
        imported = await import_apps(session, project_id, folder)
        if left_out is not None:
            left_out += [f"{one.path}: {one.reason}" for one in imported.left_out]
        known = {app.app_id for app in apps}
        apps.extend(one.app for one in imported.apps if one.app.app_id not in known)
    return apps


async def _find_named_apps(session: AsyncSession, project_id: UUID, part: ExistingPart) -> list[App]:
    wanted = [read_app_name(name) for name in part.apps]
    found = await list_named_apps(session, project_id, wanted)
    for name, key in zip(part.apps, wanted, strict=True):
        if key not in found:
            raise InvalidInput(
                "pipeline.app_unknown",
                f"There is no app {name!r}.",
                "List what is known with `referee app list`, or import a folder with `referee app import`.",
            )
    return [found[key] for key in wanted]


def read_app_name(name: str) -> tuple[str, int]:
    """Return model and number of ``MODEL/appN`` or ``MODEL:N``."""
    match = _APP_NAME.fullmatch(name)
    if match is None:
        raise InvalidInput("pipeline.app_unknown", f"{name!r} names no app.", "Write MODEL/appN.")
    return match["model"], int(match["number"])


async def ensure_cells(
    session: AsyncSession, pipeline_id: UUID, definition: PipelineDefinition, plans: Sequence[CellPlan]
) -> list[UUID]:
    """Make the cells that are not there yet; of each its id, in the order of the plans.

    One statement makes a cell or leaves the one that is there, so that whoever asks for the same cell at the
    same time gets the same id. Positions follow those that are there; lock the pipeline's row first.
    """
    kind, digest = definition.analysis.profile, compute_parameters_digest(definition)
    first = await session.scalar(
        select(CellRow.position)
        .where(CellRow.pipeline_id == pipeline_id)
        .order_by(CellRow.position.desc())
        .limit(1)
    )
    columns = {
        "pipeline_id": pipeline_id,
        "analysis_kind": kind,
        "parameters_digest": digest,
        "models": [plan.model for plan in plans],
        "templates": [plan.template for plan in plans],
        "numbers": [plan.number for plan in plans],
    }
    made = {
        "first": 0 if first is None else first + 1,
        "ids": [new_id() for _ in plans],
        "apps": [plan.app_id for plan in plans],
    }
    await session.execute(_INSERT_CELLS, columns | made)
    return list(await session.scalars(_SELECT_IDS, columns))


def compute_parameters_digest(definition: PipelineDefinition) -> str:
    """Return SHA-256 of what, beside the profile, makes two analyses of one app two."""
    identity = json.dumps(definition.analysis.identity_json, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(identity.encode()).hexdigest()


def _too_many(count: int) -> InvalidInput:
    return InvalidInput(
        "pipeline.too_large",
        f"The pipeline has {count:,} cells, and at most {MAX_CELLS_COUNT:,} are taken.",
        "Split it into several.",
    )
