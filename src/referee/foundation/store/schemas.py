"""What a schema consists of, in words, to prove that migrations and tables say the same.

Alembic's own comparison leaves out check constraints and the exact form of
indexes and foreign keys; here PostgreSQL itself describes both sides.
"""

from __future__ import annotations

from sqlalchemy import Connection, MetaData, text

__all__ = ["describe_schema", "list_differences"]

_SCRATCH = "referee_expected"

_COLUMNS = """
SELECT format('column %s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
              coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
                || CASE WHEN a.attidentity = '' THEN '' ELSE ' identity ' || CAST(a.attidentity AS text) END
                || CASE WHEN a.attgenerated = '' THEN '' ELSE ' generated' END)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'p') AND a.attnum > 0
  AND NOT a.attisdropped
"""

_CONSTRAINTS = """
SELECT format('constraint %s.%s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = CAST(:schema AS regnamespace) AND k.contype <> 'n'
"""
"""Without ``n``: PostgreSQL 18 lists NOT NULL among the constraints, older ones do not."""

_INDEXES = """
SELECT format('index %s.%s %s', c.relname, x.relname, pg_get_indexdef(i.indexrelid))
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = CAST(:schema AS regnamespace)
"""


def describe_schema(connection: Connection, schema: str = "public") -> set[str]:
    """Return one sentence for each column, constraint and index of a schema, without the schema's name."""
    lines: set[str] = set()
    for query in (_COLUMNS, _CONSTRAINTS, _INDEXES):
        found = connection.execute(text(query), {"schema": schema}).scalars()
        lines.update(line.replace(f"{schema}.", "") for line in found)
    return {line for line in lines if not line.split(" ")[1].startswith("alembic_version.")}


def list_differences(connection: Connection, metadata: MetaData) -> list[str]:
    """Return how the database differs from the tables, sorted; empty when it does not.

    The tables are made in a schema of their own and rolled back, so nothing stays.
    """
    found = describe_schema(connection)
    with connection.begin_nested() as attempt:
        connection.execute(text(f"CREATE SCHEMA {_SCRATCH}"))
        connection.execute(text(f"SET LOCAL search_path TO {_SCRATCH}"))
        metadata.create_all(connection, checkfirst=False)
        expected = describe_schema(connection, _SCRATCH)
        attempt.rollback()
    missing = [f"only in the tables: {line}" for line in sorted(expected - found)]
    return missing + [f"only in the database: {line}" for line in sorted(found - expected)]
