"""Asking for an app: its number, its version and its row, in the caller's transaction."""

from __future__ import annotations

import secrets
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.catalogue import get_model
from referee.apps.generation.contract import Generation, view_generation
from referee.apps.known_templates import get_template
from referee.apps.service import reserve_app
from referee.apps.tables import AppRow, GenerationRow
from referee.core.errors import Conflict, InvalidInput
from referee.core.ids import new_id
from referee.core.trace_context import make_traceparent, parse_traceparent
from referee.foundation.jobs import JobEngine

__all__ = ["GENERATE", "create_generation"]

GENERATE: Final = "apps.generate"
"""Kind of the job that carries a generation out; its argument is ``generation_id``."""
DEFAULT_TEMPERATURE: Final = 0.2
"""Low: code that fits the question matters more than variety, and seeds bring that."""
_MAX_SEED: Final = 2**31 - 1


async def create_generation(
    session: AsyncSession,
    *,
    project_id: UUID,
    model: str,
    template: str,
    number: int | None = None,
    seed: int | None = None,
    temperature: float = DEFAULT_TEMPERATURE,
    traceparent: str | None = None,
    engine: JobEngine | None = None,
) -> Generation:
    """Ask for an app; it exists, with its number, if and only if the transaction commits.

    Args:
        session: In a transaction.
        project_id: Whose.
        model: Slug of a model of the catalogue.
        template: Slug of a known template, for its latest version, or its id.
        number: Of an app that is to be written anew, as its next version, or of one to be made; None: the
            next free number of the model.
        seed: For endpoints that can repeat an answer; None: one is chosen, and kept.
        temperature: 0 to 2.
        traceparent: W3C trace context that its calls belong to; None or malformed: a new one.
        engine: Submits its job; None: the caller has it carried out, as a job of the kind ``apps.generate``
            or by ``run_generation``.

    Raises:
        NotFound: The model or the template is not known.
        Conflict: This app is being written.
        InvalidInput: A value is out of range.
        TooManyRequests: Too many generations wait.
    """
    if not 0 <= temperature <= 2:
        raise InvalidInput(
            "generation.temperature_invalid", "A temperature is between 0 and 2.", "Give such a number."
        )
    if seed is not None and not 0 <= seed <= _MAX_SEED:
        raise InvalidInput(
            "generation.seed_invalid", f"A seed is between 0 and {_MAX_SEED}.", "Give such a number."
        )
    known_model = await get_model(session, project_id, model)
    known_template = await get_template(session, project_id, template)
    app = await reserve_app(session, project_id, known_model.slug, known_template.slug, number)
    # Locked, so that versions are given one after another.
    await session.execute(select(AppRow.app_id).where(AppRow.app_id == app.app_id).with_for_update())
    rows = select(GenerationRow).where(GenerationRow.app_id == app.app_id)
    if await session.scalar(rows.where(GenerationRow.state.in_(("queued", "running"))).limit(1)) is not None:
        raise Conflict(
            "generation.in_progress",
            f"{app.model}/app{app.number} is being written.",
            "Wait until that has ended, or cancel its job.",
        )
    latest = await session.scalar(
        select(func.max(GenerationRow.version)).where(GenerationRow.app_id == app.app_id)
    )
    row = GenerationRow(
        generation_id=new_id(),
        project_id=project_id,
        app_id=app.app_id,
        model=known_model.slug,
        template_id=known_template.template_id,
        version=(latest or 0) + 1,
        seed=secrets.randbelow(_MAX_SEED) if seed is None else seed,
        temperature=temperature,
        traceparent=parse_traceparent(traceparent) or make_traceparent(),
        cost_usd=None if known_model.prices is None else 0.0,
    )
    session.add(row)
    await session.flush()
    if engine is not None:
        job = await engine.submit(
            session,
            kind=GENERATE,
            arguments={"generation_id": str(row.generation_id)},
            project_id=project_id,
            key=f"generation:{row.generation_id}",
            title=f"Write {app.model}/app{app.number}",
        )
        row.job_id = job.job_id
        await session.flush()
    await session.refresh(row)
    return view_generation(row)
