"""The shapes of configurations on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from referee.experiments.configurations.views import Configuration, ConfigurationVersion
from referee.foundation.web.client_values import JsonObject, Name, Text, check_json

__all__ = [
    "ConfigurationChangeModel",
    "ConfigurationModel",
    "ConfigurationParametersModel",
    "ConfigurationRequestModel",
    "ConfigurationVersionModel",
    "ConfigurationVersionsModel",
    "ConfigurationsModel",
    "CreatedConfigurationModel",
    "DeletedConfigurationModel",
    "UpdatedConfigurationModel",
]

Env = Literal["dev", "staging", "prod"]
Word = Annotated[Text, Field(min_length=1, max_length=200)]


class ResponseFormatModel(BaseModel):
    """In which form the model is to answer."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object"]


class SelectedFunctionModel(BaseModel):
    """A function that the model may call."""

    model_config = ConfigDict(extra="allow")

    id: Word
    name: Word
    description: Text | None = None
    parameters: dict[str, Any] | None = None


class TemplateItemModel(BaseModel):
    """One message of a prompt."""

    model_config = ConfigDict(extra="allow")

    role: Word
    content: Text


class ConfigurationParametersModel(BaseModel):
    """How a model is called; unknown members are kept."""

    model_config = ConfigDict(extra="allow")

    call_type: Literal["chat", "completion"]
    model: Word
    hyperparameters: dict[str, Any] | None = None
    responseFormat: ResponseFormatModel | None = None
    selectedFunctions: Annotated[list[SelectedFunctionModel], Field(max_length=1_000)] | None = None
    functionCallParams: Literal["none", "auto", "force"] | None = None
    forceFunction: dict[str, Any] | None = None
    template: Annotated[list[TemplateItemModel], Field(max_length=1_000)] | Text | None = None

    @model_validator(mode="before")
    @classmethod
    def check(cls, value: Any) -> Any:
        """Refuse what cannot be kept, and take an empty object as no answer format."""
        checked = check_json(value)
        if isinstance(checked, dict) and checked.get("responseFormat") == {}:
            return {name: one for name, one in checked.items() if name != "responseFormat"}
        return checked


class ConfigurationChangeModel(BaseModel):
    """What to change of a configuration; what is left out stays."""

    name: Name
    type: Literal["LLM", "pipeline"] | None = None
    provider: Word | None = None
    parameters: ConfigurationParametersModel | None = None
    env: Annotated[list[Env], Field(max_length=3)] | None = None
    tags: Annotated[list[Word], Field(max_length=100)] | None = None
    user_properties: JsonObject | None = None

    def to_changes(self) -> dict[str, Any]:
        """Return the members that were given."""
        return self.model_dump(exclude_none=True)


class ConfigurationRequestModel(ConfigurationChangeModel):
    """A configuration to make."""

    provider: Word
    parameters: ConfigurationParametersModel

    @field_validator("type")
    @classmethod
    def read_type(cls, value: str | None) -> str:
        """Take null as a language model."""
        return value or "LLM"

    def to_content(self) -> dict[str, Any]:
        """Return all members, with what is meant by those left out."""
        empty: dict[str, Any] = {"type": "LLM", "env": [], "tags": [], "user_properties": None}
        return {**empty, **self.to_changes()}


class ConfigurationModel(BaseModel):
    """A configuration."""

    id: str
    name: str
    type: Literal["LLM", "pipeline"]
    provider: str
    parameters: ConfigurationParametersModel
    env: list[Env]
    tags: list[str]
    user_properties: dict[str, Any] | None
    version: int
    project_id: str
    created_at: datetime
    updated_at: datetime | None

    @classmethod
    def of(cls, configuration: Configuration) -> ConfigurationModel:
        """Return the model of a configuration."""
        return cls(
            **configuration.content,
            id=str(configuration.configuration_id),
            version=configuration.version,
            project_id=str(configuration.project_id),
            created_at=configuration.created_at,
            updated_at=configuration.updated_at,
        )


class ConfigurationsModel(BaseModel):
    """A list of configurations."""

    configurations: list[ConfigurationModel]
    total_count: int
    next_cursor: str | None


class ConfigurationVersionModel(BaseModel):
    """A configuration as it is, or was."""

    version: int
    content: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, version: ConfigurationVersion) -> ConfigurationVersionModel:
        """Return the model of a version."""
        return cls(version=version.version, content=version.content, created_at=version.created_at)


class ConfigurationVersionsModel(BaseModel):
    """A configuration's versions, newest first."""

    versions: list[ConfigurationVersionModel]


class CreatedConfigurationModel(BaseModel):
    """The answer to a configuration's creation."""

    acknowledged: Literal[True] = True
    insertedId: str


class UpdatedConfigurationModel(BaseModel):
    """The answer to a configuration's change."""

    acknowledged: Literal[True] = True
    modifiedCount: int
    upsertedId: str | None = None
    upsertedCount: int = 0
    matchedCount: int = 1


class DeletedConfigurationModel(BaseModel):
    """The answer to a configuration's deletion."""

    acknowledged: Literal[True] = True
    deletedCount: int = 1
    id: str
