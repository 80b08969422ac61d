"""The JSON shape of a tool's description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from referee.core.vocabulary import ExitMeaning, Service
from referee.tools.contract import Parameter, SubjectNeed, ToolDescription
from referee.tools.inspecting import Inspection

__all__ = ["KnownToolModel", "ParameterModel", "ToolModel"]


class ParameterModel(BaseModel):
    """A setting of a tool."""

    model_config = ConfigDict(extra="forbid")

    name: str
    type: str
    default: Any
    help: str
    options: list[str]
    minimum: float | None
    maximum: float | None

    @classmethod
    def of(cls, parameter: Parameter) -> ParameterModel:
        """Return the shape of a parameter."""
        default = parameter.default
        return cls(
            name=parameter.name,
            type=parameter.type,
            default=list(default) if isinstance(default, tuple) else default,
            help=parameter.help,
            options=list(parameter.options),
            minimum=parameter.minimum,
            maximum=parameter.maximum,
        )


class ToolModel(BaseModel):
    """What a tool is."""

    model_config = ConfigDict(extra="forbid")

    name: str
    service: Service
    summary: str
    homepage_url: str
    license: str
    languages: list[str]
    applies_to: str
    needs: SubjectNeed = Field(description="Whether it looks at source, at the running app or at both.")
    stands_in_for: str | None = Field(description="Tool whose work it does where that one cannot be had.")
    is_default: bool
    wall_s: float = Field(description="Deadline on a quiet machine, in seconds.")
    parameters: list[ParameterModel]
    presets: dict[str, dict[str, Any]]
    exit_codes: dict[int, ExitMeaning]
    identity_fields: list[str]
    adapter_version: int

    @classmethod
    def of(cls, description: ToolDescription) -> ToolModel:
        """Return the shape of a description."""
        return cls(
            name=description.name,
            service=description.service,
            summary=description.summary,
            homepage_url=description.homepage_url,
            license=description.license,
            languages=list(description.languages),
            applies_to=description.applies_to,
            needs=description.needs,
            stands_in_for=description.stands_in_for,
            is_default=description.is_default,
            wall_s=description.limits.wall_s,
            parameters=[ParameterModel.of(parameter) for parameter in description.parameters],
            presets={name: dict(values) for name, values in description.presets.items()},
            exit_codes=dict(description.exit_codes),
            identity_fields=list(description.identity_fields),
            adapter_version=description.adapter_version,
        )


class KnownToolModel(ToolModel):
    """What a tool is, and whether it can run on this machine."""

    is_installed: bool
    version: str | None
    unavailable_reason: str = Field(description="Why it is not installed, and what to do.")

    @classmethod
    def build(cls, description: ToolDescription, found: Inspection) -> KnownToolModel:
        """Return the shape of a tool as it is here."""
        return cls(
            **ToolModel.of(description).model_dump(),
            is_installed=found.version is not None,
            version=found.version,
            unavailable_reason=found.reason,
        )
