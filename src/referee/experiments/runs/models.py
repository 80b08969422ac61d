"""Runs as they are on the wire. Each shape is one model: what is served is what is described."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from referee.core.findings import JsonValue
from referee.experiments.runs.queries import RunPage
from referee.experiments.runs.requests import LEGACY_FIELDS, RunChanges, RunRequest, move_legacy_fields
from referee.experiments.runs.views import Run
from referee.foundation.web.client_values import JsonList, JsonObject, Text, check_text

__all__ = [
    "DeletedRunModel",
    "PaginationModel",
    "RunAnswerModel",
    "RunChangedModel",
    "RunCreateModel",
    "RunCreatedModel",
    "RunModel",
    "RunUpdateModel",
    "RunsModel",
]

MAX_IDS_COUNT: Final = 100_000
"""Of one request: as many as a result reads events."""

Status: TypeAlias = Literal["pending", "completed", "failed", "cancelled", "running"]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_text)]
Ids: TypeAlias = Annotated[list[Id], Field(max_length=MAX_IDS_COUNT)]
RunName: TypeAlias = Annotated[str, Field(max_length=500), AfterValidator(check_text)]


class _RunFields(BaseModel):
    """What creating and changing a run have in common. Unknown keys are left alone: clients are newer or older."""

    model_config = ConfigDict(extra="allow")

    name: RunName | None = Field(default=None, description="For people; not empty.")
    description: Text | None = None
    metadata: JsonObject | None = None
    results: JsonObject | None = None
    dataset_id: Id | None = Field(
        default=None, description="A dataset's id; one that begins with EXT- is the client's own."
    )
    event_ids: Ids | None = Field(default=None, description="Ids of the run's sessions.")
    configuration: JsonObject | None = None
    evaluators: JsonList | None = Field(default=None, description="Kept in the metadata.")
    session_ids: Ids | None = Field(default=None, description="Kept in the metadata; they are the run's too.")
    datapoint_ids: Ids | None = Field(default=None, description="Kept in the metadata.")
    passing_ranges: JsonObject | None = Field(
        default=None, description="Metric → {min, max}; kept in the metadata, and judges the scores."
    )

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        """Take the body of older clients, ``{"run": {...}}``, for what it holds."""
        if isinstance(value, dict) and isinstance(value.get("run"), dict) and len(value) == 1:
            return value["run"]
        return value

    @field_validator("name")
    @classmethod
    def _name_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("a name has at least one character that is no space")
        return value

    def _move_legacy(self) -> tuple[dict[str, JsonValue], str | None]:
        legacy = {name: getattr(self, name) for name in LEGACY_FIELDS}
        return move_legacy_fields(self.metadata, legacy, self.dataset_id)


class RunCreateModel(_RunFields):
    """A run to create. Everything may be left out."""

    run_id: Id | None = Field(default=None, description="The client's own id for it; a new one without it.")
    status: Status = "pending"

    def to_request(self) -> RunRequest:
        """Return it in the form of the service."""
        metadata, dataset_id = self._move_legacy()
        return RunRequest(
            run_id=self.run_id,
            name=self.name,
            description=self.description,
            status=self.status,
            dataset_id=dataset_id,
            metadata=metadata,
            results=self.results or {},
            configuration=self.configuration or {},
            event_ids=self.event_ids or [],
        )


class RunUpdateModel(_RunFields):
    """What of a run is to change. Objects are merged key by key, lists are replaced."""

    status: Status | None = None

    def to_changes(self) -> RunChanges:
        """Return it in the form of the service."""
        metadata, dataset_id = self._move_legacy()
        return RunChanges(
            name=self.name,
            description=self.description,
            status=self.status,
            metadata=metadata,
            results=self.results or {},
            configuration=self.configuration or {},
            event_ids=self.event_ids,
            dataset_id=dataset_id,
        )


class RunModel(BaseModel):
    """A run."""

    id: str
    run_id: str
    name: str | None
    description: str | None
    status: str | None
    metadata: dict[str, Any]
    results: dict[str, Any]
    metrics: dict[str, Any] | None = Field(default=None, description="Always null: ask for the run's result.")
    event_ids: list[str]
    configuration: dict[str, Any]
    is_active: bool = Field(description="Whether it is there; a deleted run is gone.")
    created_at: str
    updated_at: str | None
    scope_type: str
    scope_id: str = Field(description="Id of its project.")
    dataset_id: str | None
    dataset_name: str | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return a run as it is on the wire."""
        return cls(
            id=run.run_id,
            run_id=run.run_id,
            name=run.name,
            description=run.description,
            status=run.status,
            metadata=dict(run.metadata),
            results=dict(run.results),
            event_ids=list(run.event_ids),
            configuration=dict(run.configuration),
            is_active=True,
            created_at=run.created_at.isoformat(),
            updated_at=None if run.updated_at is None else run.updated_at.isoformat(),
            scope_type="project",
            scope_id=str(run.project_id),
            dataset_id=run.dataset_id,
            dataset_name=run.dataset_name,
        )


class RunAnswerModel(BaseModel):
    """One run."""

    evaluation: RunModel


class RunCreatedModel(RunAnswerModel):
    """A run that was created."""

    run_id: str


class RunChangedModel(RunAnswerModel):
    """A run that was changed."""

    warning: str | None = Field(default=None, description="What of the request could not be done.")


class DeletedRunModel(BaseModel):
    """A run that is gone."""

    id: str
    deleted: bool


class PaginationModel(BaseModel):
    """Which page of a list this is."""

    page: int = Field(ge=1)
    limit: int = Field(ge=1)
    total: int = Field(ge=0, description="Runs that match.")
    total_unfiltered: int = Field(ge=0, description="Runs of the project.")
    total_pages: int = Field(ge=0)
    has_next: bool
    has_prev: bool


class RunsModel(BaseModel):
    """One page of runs."""

    evaluations: list[RunModel]
    pagination: PaginationModel
    metrics: list[str] = Field(
        description="Names of the metrics of these runs, as of when each one's result was last asked for."
    )

    @classmethod
    def of(cls, page: RunPage) -> Self:
        """Return a page as it is on the wire."""
        number, limit, total = page.search.page, page.search.limit, page.total_count
        pages_count = -(-total // limit)
        return cls(
            evaluations=[RunModel.of(run) for run in page.runs],
            pagination=PaginationModel(
                page=number,
                limit=limit,
                total=total,
                total_unfiltered=page.unfiltered_count,
                total_pages=pages_count,
                has_next=number < pages_count,
                has_prev=number > 1,
            ),
            metrics=sorted({name for run in page.runs for name in run.metric_names}),
        )
