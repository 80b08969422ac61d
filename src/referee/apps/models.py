"""JSON shapes of runs of apps, of their source and of templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.apps.judgements import AppVersion
from referee.apps.known_templates import KnownTemplate
from referee.apps.runs import AppLease, AppRun, AppRunState, FailureKind
from referee.apps.versions import AppSourceTree
from referee.core.templates import Template

__all__ = [
    "AppLeaseModel",
    "AppRunDetailModel",
    "AppRunModel",
    "AppRunRequestModel",
    "AppSourceModel",
    "AppVersionModel",
    "LogChunkModel",
    "TargetModel",
    "TemplateDetailModel",
    "TemplateModel",
]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class AppRunRequestModel(_Model):
    """For how long an app is to be up."""

    hours: float = Field(default=8.0, gt=0, le=720, description="Hours it stays up.")


class TargetModel(_Model):
    """Where a component of a running app answers, inside its network."""

    name: str
    url: str
    port: int
    framework: str


class AppRunModel(_Model):
    """One start of an app."""

    app_run_id: UUID
    app_id: UUID | None
    name: str
    source_digest: str
    state: AppRunState
    stage: str = Field(description="What its start is busy with.")
    failure: FailureKind | None
    reason: str
    last_lines: list[str] = Field(description="Last lines of the log of the component that failed.")
    targets: list[TargetModel]
    components: list[dict[str, Any]] = Field(
        description="What was found to start, and how it was recognised."
    )
    notices: list[str]
    isolation: dict[str, Any] | None = Field(description="Which protection is in force.")
    created_at: datetime
    started_at: datetime | None = Field(description="When every component answered.")
    finished_at: datetime | None

    @classmethod
    def of(cls, run: AppRun) -> AppRunModel:
        """Return the shape of a run."""
        return cls(
            app_run_id=run.app_run_id,
            app_id=run.app_id,
            name=run.name,
            source_digest=run.source_digest,
            state=run.state,
            stage=run.stage,
            failure=run.failure,
            reason=run.reason,
            last_lines=list(run.last_lines),
            targets=[TargetModel.model_validate(target) for target in run.targets],
            components=[dict(component) for component in run.components],
            notices=list(run.notices),
            isolation=None if run.isolation is None else dict(run.isolation),
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )


class AppLeaseModel(_Model):
    """Somebody's right to find an app running."""

    lease_id: UUID
    holder: str
    is_person: bool
    has_turn: bool = Field(description="Whether it is the one that sends requests now.")
    created_at: datetime
    expires_at: datetime


class AppRunDetailModel(AppRunModel):
    """A run with who holds it and which logs there are."""

    leases: list[AppLeaseModel]
    logs: list[str] = Field(description="Names of its logs.")

    @classmethod
    def build(cls, run: AppRun, leases: Sequence[AppLease], logs: Sequence[str]) -> AppRunDetailModel:
        """Return the shape of a run's page."""
        return cls(
            **AppRunModel.of(run).model_dump(),
            leases=[AppLeaseModel.model_validate(lease) for lease in leases],
            logs=list(logs),
        )


class LogChunkModel(_Model):
    """A part of a component's output."""

    component: str
    text: str
    offset: int
    next_offset: int
    size_bytes: int


class TemplateModel(_Model):
    """One version of a template."""

    template_id: UUID
    slug: str
    name: str
    sha256: str
    created_at: datetime


class EndpointModel(_Model):
    """One route that an app was asked to answer."""

    method: str
    path: str
    description: str
    request: Any
    response: Any
    is_admin: bool


class TemplateDetailModel(TemplateModel):
    """A template with what it asks for."""

    category: str
    description: str
    backend_requirements: list[str]
    frontend_requirements: list[str]
    admin_requirements: list[str]
    endpoints: list[EndpointModel]
    data_model: Any

    @classmethod
    def build(cls, known: KnownTemplate, content: Template) -> TemplateDetailModel:
        """Return the shape of a template."""
        return cls(
            **TemplateModel.model_validate(known).model_dump(),
            category=content.category,
            description=content.description,
            backend_requirements=list(content.backend_requirements),
            frontend_requirements=list(content.frontend_requirements),
            admin_requirements=list(content.admin_requirements),
            endpoints=[EndpointModel.model_validate(endpoint) for endpoint in content.endpoints],
            data_model=content.data_model,
        )


class AppVersionModel(_Model):
    """One state of an app's source."""

    source_digest: str
    first_seen_at: datetime
    last_seen_at: datetime
    analyses_count: int
    latest_analysis_id: UUID | None
    runs_count: int

    @classmethod
    def of(cls, version: AppVersion) -> AppVersionModel:
        """Return the shape of a version."""
        return cls(**{name: getattr(version, name) for name in cls.model_fields})


class ListedFileModel(_Model):
    """One file of a version."""

    path: str
    language: str
    size_bytes: int
    sha256: str


class ExcludedPathModel(_Model):
    """What tools do not see, and why."""

    path: str
    reason: str
    files_count: int


class AppSourceModel(_Model):
    """The files of the version of an app that was seen last."""

    app_id: UUID
    version: AppVersionModel | None = Field(description="Null when the app was neither analysed nor run.")
    files: list[ListedFileModel]
    excluded: list[ExcludedPathModel]

    @classmethod
    def build(cls, app_id: UUID, tree: AppSourceTree | None) -> AppSourceModel:
        """Return the shape of a tree."""
        return cls(
            app_id=app_id,
            version=None if tree is None else AppVersionModel.of(tree.version),
            files=[] if tree is None else [ListedFileModel.model_validate(file) for file in tree.files],
            excluded=[] if tree is None else [ExcludedPathModel(**dict(entry)) for entry in tree.excluded],
        )
