"""What reads of configurations and tools return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = ["Configuration", "ConfigurationVersion", "FunctionTool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A named setting of a model."""

    configuration_id: UUID
    project_id: UUID
    version: int
    content: dict[str, Any]
    """Name, type, provider, parameters, env, tags and user properties, as the wire says them."""
    created_at: datetime
    updated_at: datetime | None

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.content["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationVersion:
    """A configuration as it is, or was."""

    version: int
    content: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool:
    """A function that a model may call."""

    function_tool_id: UUID
    project_id: UUID
    name: str
    description: str | None
    parameters: dict[str, Any]
    tool_type: str
    created_at: datetime
    updated_at: datetime | None
