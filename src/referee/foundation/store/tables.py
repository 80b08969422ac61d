"""The base of every table, and the table of artifacts.

Each room's ``tables.py`` derives its rows from ``Base``. Names of constraints
and indexes follow one convention, so that a migration and a table that mean
the same are spelled the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, MetaData, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from referee.core.findings import JsonValue

__all__ = ["NAMING_CONVENTION", "ArtifactRow", "Base"]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s__%(column_0_N_name)s",
    "uq": "uq_%(table_name)s__%(column_0_N_name)s",
    "ck": "ck_%(table_name)s__%(constraint_name)s",
    "fk": "fk_%(table_name)s__%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What every row class derives from."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        UUID: Uuid(as_uuid=True),
        str: Text(),
        dict: JSONB(),
        dict[str, JsonValue]: JSONB(),
        dict[str, Any]: JSONB(),
        list[JsonValue]: JSONB(),
        list[str]: JSONB(),
        JsonValue: JSONB(),
    }


class ArtifactRow(Base):
    """Stored bytes that some row refers to. The bytes themselves are in the artifact store."""

    __tablename__ = "artifacts"

    sha256: Mapped[str] = mapped_column(Text, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_form"),
        CheckConstraint("size_bytes >= 0", name="size_bytes_range"),
    )


class ArtifactPlaceRow(Base):
    """Where the bytes of all artifacts lie. One row at most."""

    __tablename__ = "artifact_places"

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    place: Mapped[str]
    """``folder``, or the address of a bucket as in ``artifacts_url``."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint("is_only", name="one_row"),)
