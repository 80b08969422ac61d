"""Tables of configurations and of the tools that models may call."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["ConfigurationRow", "ConfigurationVersionRow", "FunctionToolRow"]


class ConfigurationRow(Base):
    """A named setting of a model: which one, with what prompt and parameters."""

    __tablename__ = "configurations"
    __table_args__ = (
        Index("ix_configurations__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("kind IN ('LLM', 'pipeline')", name="kind_known"),
    )

    configuration_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    kind: Mapped[str]
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    provider: Mapped[str]
    parameters_json: Mapped[dict[str, Any]]
    env_json: Mapped[list[str]]
    tags_json: Mapped[list[str]]
    user_properties_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime | None]


class ConfigurationVersionRow(Base):
    """A configuration as it is, or was."""

    __tablename__ = "configuration_versions"

    configuration_id: Mapped[UUID] = mapped_column(
        ForeignKey("configurations.configuration_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    content_json: Mapped[dict[str, Any]]
    """Name, type, provider, parameters, env, tags and user properties, as the wire says them."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class FunctionToolRow(Base):
    """A function that a model may call, as older clients keep them."""

    __tablename__ = "function_tools"
    __table_args__ = (
        Index("ix_function_tools__project_id_created_at", "project_id", "created_at"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("tool_type IN ('function', 'tool')", name="tool_type_known"),
    )

    function_tool_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    name: Mapped[str]
    description: Mapped[str | None]
    parameters_json: Mapped[dict[str, Any]]
    tool_type: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime | None]
