"""The store: a database for rows and an artifact store for bytes. This is its door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.store.artifacts import Artifact, ArtifactStore, open_artifacts
    from referee.foundation.store.backups import list_backups
    from referee.foundation.store.database import (
        Database,
        Upgrade,
        current_revision,
        dump_database,
        open_database,
        restore_backup,
        upgrade_database,
    )
    from referee.foundation.store.places import claim_artifact_place, record_artifact_place
    from referee.foundation.store.rows import copy_rows, decode_cursor, encode_cursor, record_artifacts
    from referee.foundation.store.server import warm_database
    from referee.foundation.store.tables import ArtifactRow, Base

__all__ = [
    "Artifact",
    "ArtifactRow",
    "ArtifactStore",
    "Base",
    "Database",
    "Upgrade",
    "claim_artifact_place",
    "copy_rows",
    "current_revision",
    "decode_cursor",
    "dump_database",
    "encode_cursor",
    "list_backups",
    "open_artifacts",
    "open_database",
    "record_artifact_place",
    "record_artifacts",
    "restore_backup",
    "upgrade_database",
    "warm_database",
]

__getattr__ = open_door(
    __name__,
    {
        "artifacts": (
            "Artifact",
            "ArtifactStore",
            "open_artifacts",
        ),
        "backups": ("list_backups",),
        "database": (
            "Database",
            "Upgrade",
            "current_revision",
            "dump_database",
            "open_database",
            "restore_backup",
            "upgrade_database",
        ),
        "places": (
            "claim_artifact_place",
            "record_artifact_place",
        ),
        "rows": (
            "copy_rows",
            "decode_cursor",
            "encode_cursor",
            "record_artifacts",
        ),
        "server": ("warm_database",),
        "tables": (
            "ArtifactRow",
            "Base",
        ),
    },
)
