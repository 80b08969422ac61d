"""The shapes of datasets and datapoints on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from referee.core.errors import InvalidInput
from referee.experiments.datasets.datapoints import MAX_BATCH_COUNT
from referee.experiments.datasets.queries import MAX_DATAPOINTS_COUNT
from referee.experiments.datasets.views import Datapoint, DatapointContent, Dataset, DatasetVersion
from referee.foundation.web.client_values import JsonList, JsonObject, Name, Text, check_json
from referee.foundation.web.legacy_names import rename_legacy

__all__ = [
    "AddDatapointsAnswerModel",
    "AddDatapointsModel",
    "BatchModel",
    "CreatedDatapointModel",
    "CreatedDatapointsModel",
    "CreatedDatasetModel",
    "DatapointAnswerModel",
    "DatapointChangeModel",
    "DatapointModel",
    "DatapointRequestModel",
    "DatapointsModel",
    "DatasetAnswerModel",
    "DatasetChangeModel",
    "DatasetModel",
    "DatasetRequestModel",
    "DatasetVersionModel",
    "DatasetsModel",
    "DeletedDatapointModel",
    "DeletedDatasetModel",
    "DeletedModel",
    "ImportedModel",
    "InsertedIdsModel",
    "InsertedModel",
    "LegacyDatasetChangeModel",
    "LegacyDatasetsModel",
    "MappingModel",
    "ModifiedModel",
    "RemovedDatapointModel",
    "UpdatedDatapointModel",
]

Id = Annotated[str, Field(min_length=1, max_length=200)]
Ids = Annotated[list[Id], Field(max_length=MAX_DATAPOINTS_COUNT)]
Description = Annotated[Text, Field(max_length=10_000)]
Messages = Annotated[list[dict[str, Any]], Field(max_length=10_000)]


class DatasetRequestModel(BaseModel):
    """A dataset to make."""

    name: Name = "Untitled Dataset"
    description: Description | None = None
    datapoints: Ids | None = Field(default=None, description="Ids of datapoints that belong to it.")

    @field_validator("name", mode="before")
    @classmethod
    def name_it(cls, value: Any) -> Any:
        """Take null as no name."""
        return "Untitled Dataset" if value is None else value


class DatasetChangeModel(BaseModel):
    """What to change of a dataset; what is left out stays."""

    name: Name | None = None
    description: Description | None = None
    datapoints: Ids | None = Field(default=None, description="Exactly these belong to it from now on.")


class LegacyDatasetChangeModel(DatasetChangeModel):
    """What to change of which dataset."""

    dataset_id: Id

    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        """Take the names of older clients."""
        return rename_legacy(value, {"_id": "dataset_id"})


class DatasetModel(BaseModel):
    """A dataset with the ids of what belongs to it now."""

    id: str
    name: str
    description: str | None
    datapoints: list[str]
    version: int = Field(description="Grows with each change of what belongs to it or of what that says.")
    project_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, dataset: Dataset, datapoint_ids: list[UUID]) -> DatasetModel:
        """Return the model of a dataset."""
        return cls(
            id=str(dataset.dataset_id),
            name=dataset.name,
            description=dataset.description,
            datapoints=[str(one) for one in datapoint_ids],
            version=dataset.version,
            project_id=str(dataset.project_id),
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
        )


class DatasetsModel(BaseModel):
    """A list of datasets."""

    datasets: list[DatasetModel]
    total_count: int = Field(
        description="Datasets that match, more than are listed where limit cut the list."
    )
    next_cursor: str | None = Field(description="Give it as cursor for the next page; null on the last one.")


class LegacyDatasetsModel(DatasetsModel):
    """A list of datasets in the form of older clients, which read another member."""

    testcases: list[DatasetModel]


class DatasetAnswerModel(BaseModel):
    """A dataset after its change."""

    result: DatasetModel


class InsertedModel(BaseModel):
    """The id of what was made."""

    insertedId: str


class CreatedDatasetModel(BaseModel):
    """The answer to a dataset's creation."""

    inserted: Literal[True] = True
    result: InsertedModel


class DeletedModel(BaseModel):
    """What was deleted."""

    id: str
    org_id: str
    project_id: str


class DeletedDatasetModel(BaseModel):
    """The answer to a dataset's deletion."""

    result: DeletedModel


class DatasetVersionModel(BaseModel):
    """One state of a dataset's datapoints."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    datapoints_count: int
    change: str
    created_at: datetime

    @classmethod
    def of(cls, version: DatasetVersion) -> DatasetVersionModel:
        """Return the model of a version."""
        return cls.model_validate(version)


class _DatapointFields(BaseModel):
    inputs: JsonObject | None = None
    history: Annotated[Messages, Field(description="Messages before it.")] | None = None
    ground_truth: JsonObject | None = None
    metadata: JsonObject | None = None
    linked_event: Id | None = Field(default=None, description="Id of the event it was made from.")
    linked_datasets: Annotated[list[Id], Field(max_length=1_000)] | None = Field(
        default=None, description="Ids of datasets that it belongs to."
    )

    @field_validator("history")
    @classmethod
    def check_history(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        """Refuse what cannot be kept."""
        return value if value is None else list(check_json(value))

    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        """Take the names of older clients."""
        return rename_legacy(value, {"ground_truths": "ground_truth"})


class DatapointRequestModel(_DatapointFields):
    """A datapoint to make."""

    def to_content(self) -> DatapointContent:
        """Return what it says."""
        return DatapointContent(
            inputs=self.inputs or {},
            history=list(self.history or []),
            ground_truth=self.ground_truth,
            metadata=self.metadata,
            linked_event=self.linked_event,
        )


class DatapointChangeModel(_DatapointFields):
    """What to change of a datapoint; what is left out or null stays."""

    def to_changes(self) -> dict[str, Any]:
        """Return the values that were given."""
        given = self.model_dump(exclude_none=True, exclude={"linked_datasets"})
        return {name: value for name, value in given.items() if name in DatapointContent.__dataclass_fields__}


class DatapointModel(BaseModel):
    """A datapoint."""

    id: str
    inputs: dict[str, Any]
    history: list[dict[str, Any]]
    ground_truth: dict[str, Any] | None
    metadata: dict[str, Any] | None
    linked_event: str | None
    linked_datasets: list[str]
    revision: int
    project_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, datapoint: Datapoint) -> DatapointModel:
        """Return the model of a datapoint."""
        content = datapoint.content
        return cls(
            id=str(datapoint.datapoint_id),
            inputs=content.inputs,
            history=content.history,  # type: ignore[arg-type]  # each message was checked to be an object
            ground_truth=content.ground_truth,
            metadata=content.metadata,
            linked_event=content.linked_event,
            linked_datasets=[str(one) for one in datapoint.linked_datasets],
            revision=datapoint.revision,
            project_id=str(datapoint.project_id),
            created_at=datapoint.created_at,
            updated_at=datapoint.updated_at,
        )


class DatapointsModel(BaseModel):
    """A list of datapoints."""

    datapoints: list[DatapointModel]
    total_count: int = Field(
        description="Datapoints that match, more than are listed where limit cut the list."
    )
    next_cursor: str | None = Field(description="Give it as cursor for the next page; null on the last one.")


class DatapointAnswerModel(BaseModel):
    """One datapoint, in a list."""

    datapoint: list[DatapointModel] = Field(min_length=1, max_length=1)


class InsertedIdsModel(BaseModel):
    """The ids of what was made."""

    insertedIds: list[str]
    insertedId: str = Field(description="The first of insertedIds, as older clients read it.")


class CreatedDatapointModel(BaseModel):
    """The answer to a datapoint's creation."""

    inserted: Literal[True] = True
    result: InsertedIdsModel


class CreatedDatapointsModel(BaseModel):
    """The answer to a batch of datapoints."""

    inserted: bool
    insertedIds: list[str]


class ModifiedModel(BaseModel):
    """How many were changed."""

    modifiedCount: int


class UpdatedDatapointModel(BaseModel):
    """The answer to a datapoint's change."""

    updated: Literal[True] = True
    result: ModifiedModel


class DeletedDatapointModel(BaseModel):
    """The answer to a datapoint's deletion."""

    deleted: Literal[True] = True
    id: str


class MappingModel(BaseModel):
    """Which members of a row go where."""

    inputs: Annotated[list[str], Field(max_length=1_000)] = Field(default_factory=list)
    history: Annotated[list[str], Field(max_length=1_000)] = Field(default_factory=list)
    ground_truth: Annotated[list[str], Field(max_length=1_000)] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        """Take the names of older clients, and null as an empty list."""
        renamed = rename_legacy(value, {"ground_truths": "ground_truth"})
        if not isinstance(renamed, dict):
            return renamed
        return {name: [] if one is None else one for name, one in renamed.items()}

    def to_mapping(self) -> dict[str, list[str]]:
        """Return it as the service takes it."""
        return {"inputs": self.inputs, "history": self.history, "ground_truth": self.ground_truth}


class AddDatapointsModel(BaseModel):
    """Rows to make datapoints of."""

    data: Annotated[list[JsonObject], Field(min_length=1, max_length=MAX_BATCH_COUNT)]
    mapping: MappingModel


class AddDatapointsAnswerModel(BaseModel):
    """The ids of the datapoints that were made, in the order of the rows."""

    inserted: Literal[True] = True
    datapoint_ids: list[str]


class RemovedDatapointModel(BaseModel):
    """The answer to taking a datapoint out of a dataset."""

    dereferenced: Literal[True] = True
    message: str


class BatchModel(BaseModel):
    """Events to make datapoints of: named, ticked, or all that match."""

    events: Annotated[list[Id], Field(max_length=MAX_BATCH_COUNT)] | None = None
    mapping: MappingModel | None = None
    filters: JsonObject | JsonList | None = None
    dateRange: JsonObject | None = None
    checkState: Annotated[dict[str, bool], Field(max_length=MAX_BATCH_COUNT)] | None = None
    selectAll: bool = False
    dataset_id: Id | None = None

    @field_validator("selectAll", mode="before")
    @classmethod
    def read_all(cls, value: Any) -> Any:
        """Take null as no."""
        return False if value is None else value

    def list_event_ids(self) -> list[str]:
        """Return the events that are named or ticked, each once.

        Raises:
            InvalidInput: There are none, and not all that match are wanted either.
        """
        ticked = [event_id for event_id, is_ticked in (self.checkState or {}).items() if is_ticked]
        event_ids = list(dict.fromkeys([*(self.events or []), *ticked]))
        if not event_ids and not self.selectAll:
            raise InvalidInput(
                "datapoint.no_events",
                "No event is named.",
                "Name events, tick some in checkState, or set selectAll.",
            )
        return event_ids


class ImportedModel(BaseModel):
    """What an import made."""

    dataset_id: str
    version: int
    imported_count: int
