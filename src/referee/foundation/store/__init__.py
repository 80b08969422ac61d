"""The store: a database for rows and an artifact store for bytes. This is its door."""

from __future__ import annotations

from referee.foundation.store.artifacts import Artifact, ArtifactStore, open_artifacts
from referee.foundation.store.database import Database, open_database
from referee.foundation.store.rows import copy_rows, decode_cursor, encode_cursor, record_artifacts
from referee.foundation.store.tables import ArtifactRow, Base

__all__ = [
    "Artifact",
    "ArtifactRow",
    "ArtifactStore",
    "Base",
    "Database",
    "copy_rows",
    "decode_cursor",
    "encode_cursor",
    "open_artifacts",
    "open_database",
    "record_artifacts",
]
