"""Dangling rows: every reference that the schema promises is looked up again.

PostgreSQL holds foreign keys by itself, unless a disk lost pages or somebody switched them off; then a row names
what is not there, and pages fail on it one by one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import text

from referee.core.integrity import IntegrityProblem, IntegrityTally
from referee.foundation.store import Database

__all__ = ["check_references"]

_REFERENCES: Final = text("""
SELECT c.conname AS name, c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent,
  (SELECT array_agg(quote_ident(a.attname) ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number) AS child_columns,
  (SELECT array_agg(quote_ident(a.attname) ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number) AS parent_columns
FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.connamespace = current_schema()::regnamespace
ORDER BY c.conname
""")


async def check_references(database: Database) -> AsyncIterator[IntegrityProblem | IntegrityTally]:
    """Count the rows of every foreign key whose parent is gone, one reference at a time."""
    async with database.reading() as session:
        references = (await session.execute(_REFERENCES)).all()
    for one in references:
        pairs = list(zip(one.child_columns, one.parent_columns, strict=True))
        joined = " AND ".join(f"parent.{parent} = child.{child}" for child, parent in pairs)
        is_set = " AND ".join(f"child.{child} IS NOT NULL" for child, _ in pairs)
        statement = text(
            f"SELECT count(*) FROM {one.child} AS child WHERE {is_set} "  # noqa: S608 - names the catalogue quoted
            f"AND NOT EXISTS (SELECT FROM {one.parent} AS parent WHERE {joined})"
        )
        async with database.reading() as session:
            count = await session.scalar(statement) or 0
        if count:
            yield IntegrityProblem(
                "row.dangling",
                f"{one.child} ({', '.join(one.child_columns)})",
                f"{count:,} rows name {one.parent} that are not there.",
            )
    yield IntegrityTally("references", len(references))
