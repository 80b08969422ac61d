"""What ``referee verify`` reads again of decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import select

from referee.audit.queries import count_decisions, verify_chain
from referee.audit.tables import DecisionChainRow
from referee.core.integrity import IntegrityProblem, IntegrityTally
from referee.foundation.store import Database

__all__ = ["check_decisions"]


async def check_decisions(database: Database) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Read every project's chain of decisions again."""
    async with database.reading() as session:
        projects = (await session.scalars(select(DecisionChainRow.project_id))).all()
    count = 0
    for project_id in projects:
        async with database.reading() as session:
            async for problem in verify_chain(session, project_id):
                yield IntegrityProblem("decision.chain_broken", f"decisions of project {project_id}", problem)
            count += await count_decisions(session, project_id)
    yield IntegrityTally("decisions", count)
