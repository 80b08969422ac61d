"""Which events something is about, as telemetry clients write it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from referee.foundation.web.client_values import Text, check_json

__all__ = ["EventFilterModel", "EventFiltersModel", "Filters", "Operator", "ValueType"]

Operator: TypeAlias = Literal[
    "exists",
    "not exists",
    "is",
    "is not",
    "contains",
    "not contains",
    "greater than",
    "less than",
    "after",
    "before",
]
ValueType: TypeAlias = Literal["string", "number", "boolean", "datetime"]


class EventFilterModel(BaseModel):
    """One condition on an event's field."""

    field: Annotated[Text, Field(min_length=1, max_length=500)]
    operator: Operator
    value: bool | float | Annotated[str, Field(max_length=10_000)] | None = None
    type: ValueType = "string"

    @field_validator("value")
    @classmethod
    def check_value(cls, value: Any) -> Any:
        """Refuse what cannot be kept."""
        return check_json(value)


class EventFiltersModel(BaseModel):
    """Conditions that all have to be met; none are met by every event."""

    model_config = ConfigDict(extra="ignore")

    filterArray: Annotated[list[EventFilterModel], Field(max_length=100)] = Field(default_factory=list)

    @field_validator("filterArray", mode="before")
    @classmethod
    def read_none(cls, value: Any) -> Any:
        """Take null as no condition."""
        return [] if value is None else value


def _read_filters(value: Any) -> Any:
    """Take null and a bare list too."""
    if value is None:
        return {}
    return {"filterArray": value} if isinstance(value, list) else value


Filters: TypeAlias = Annotated[EventFiltersModel, BeforeValidator(_read_filters)]
"""Declare as ``filters: Filters``; null and a bare list are understood."""
