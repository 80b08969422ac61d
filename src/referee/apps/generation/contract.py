"""What a generation is: its states, the ways it can fail, its calls and what was noticed, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias, get_args
from uuid import UUID

from referee.apps.tables import GenerationRow
from referee.core.findings import JsonValue

__all__ = [
    "ENDED_STATES",
    "SERVER_FAILURES",
    "FileSet",
    "Generation",
    "GenerationFailed",
    "GenerationFailure",
    "GenerationState",
    "ModelCall",
    "Notice",
    "NoticeKind",
    "Part",
    "group_notices",
    "view_generation",
]

Part: TypeAlias = Literal["backend", "frontend"]
"""A half of an app, and the folder it lies in."""
FileSet: TypeAlias = Mapping[str, str]
"""Text of each file by its path in the app, such as ``backend/app.py``."""


class GenerationState(StrEnum):
    """Where a generation stands."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    """The app's folder holds what was written."""
    failed = "failed"
    cancelled = "cancelled"


ENDED_STATES: Final = frozenset(
    {GenerationState.succeeded, GenerationState.failed, GenerationState.cancelled}
)


class GenerationFailure(StrEnum):
    """Why a generation failed."""

    placeholder = "placeholder"
    """Parts of the code were left out, also after asking for all of it."""
    confirmation_seeking = "confirmation_seeking"
    """It asked whether to begin or go on, also after being told to."""
    truncated = "truncated"
    """The answer did not come to its end, also after it was continued."""
    syntax_error = "syntax_error"
    """A file cannot be parsed, also after a repair."""
    no_code = "no_code"
    """No file could be taken from what it said."""
    refused = "refused"
    """The model or its server declined."""
    malformed = "malformed"
    """The server's answer is no chat completion."""
    unreachable = "unreachable"
    rate_limited = "rate_limited"
    timeout = "timeout"
    over_budget = "over_budget"
    not_configured = "not_configured"
    """This process knows no server whose models write apps."""
    storage = "storage"
    """The files could not be written."""
    interrupted = "interrupted"
    """Its job ended without it: too many lost workers, or an error of ours."""

    @property
    def is_of_model(self) -> bool:
        """Whether it blames what the model answered."""
        return self in _MODELS_FAULTS


_MODELS_FAULTS: Final = frozenset(
    {
        GenerationFailure.placeholder,
        GenerationFailure.confirmation_seeking,
        GenerationFailure.truncated,
        GenerationFailure.syntax_error,
        GenerationFailure.no_code,
        GenerationFailure.refused,
    }
)


SERVER_FAILURES: Final = frozenset(
    {GenerationFailure.unreachable, GenerationFailure.rate_limited, GenerationFailure.timeout}
)
"""Failures that another request would most likely meet again, for now."""

NoticeKind: TypeAlias = Literal[
    "slopsquatting", "unsafe_path", "refused_file", "unknown_package", "asked_again", "added_dependency",
    "unchecked_syntax", "missing_endpoint", "added_file",
]  # fmt: skip
"""``slopsquatting``: the registry says that the package does not exist. ``unknown_package``: nobody could confirm
it. ``added_dependency``: imported and not declared, so it was declared. ``unsafe_path``: a file that wanted to lie
outside of the app. ``missing_endpoint``: the template asks for it and no route answers it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was noticed about what a model wrote."""

    kind: NoticeKind
    message: str
    """One sentence."""
    subject: str = ""
    """The package, path or endpoint it is about."""
    path: str = ""
    """File that shows it."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return dict(asdict(self))


def group_notices(notices: Iterable[Notice]) -> dict[NoticeKind, list[Notice]]:
    """Return notices by kind, what matters most first."""
    grouped: dict[NoticeKind, list[Notice]] = {kind: [] for kind in get_args(NoticeKind)}
    for notice in notices:
        grouped[notice.kind].append(notice)
    return {kind: found for kind, found in grouped.items() if found}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One answer of the model, and where what was said is kept."""

    purpose: str
    """``backend`` or ``frontend``, with what was asked for: ``write``, ``continue``, ``repair`` and so on."""
    prompt_sha256: str
    """Artifact with the conversation that was sent, as JSON."""
    reply_sha256: str
    """Artifact with the text of the answer."""
    model: str
    """That answered, as the endpoint calls it."""
    prompt_tokens: int
    completion_tokens: int
    attempts_count: int
    cost_usd: float | None
    finish_reason: str
    duration_ms: int
    finished_at: str
    """ISO 8601."""
    span_id: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return dict(asdict(self))

    @classmethod
    def from_json(cls, value: JsonValue) -> ModelCall:
        """Return what ``to_json`` gave."""
        known = value if isinstance(value, dict) else {}
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})  # type: ignore[arg-type]  # ours


class GenerationFailed(Exception):
    """A generation came to no app.

    Args:
        failure: Why.
        reason: One sentence for people.
    """

    def __init__(self, failure: GenerationFailure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One writing of one app by one model: a version of the app."""

    generation_id: UUID
    project_id: UUID
    app_id: UUID
    job_id: UUID | None
    model: str
    """Slug."""
    template_id: UUID
    version: int
    state: GenerationState
    stage: str
    failure: GenerationFailure | None
    reason: str
    seed: int | None
    temperature: float
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """Null when the model has no prices."""
    calls_count: int
    files_count: int | None
    source_sha256: str | None
    record_sha256: str | None
    traceparent: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    calls: tuple[ModelCall, ...] = field(repr=False)
    notices: tuple[Notice, ...] = field(repr=False)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED_STATES

    @property
    def duration_s(self) -> float | None:
        """Seconds from its start to its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def view_generation(row: GenerationRow) -> Generation:
    """Return a row as a value."""
    return Generation(
        generation_id=row.generation_id,
        project_id=row.project_id,
        app_id=row.app_id,
        job_id=row.job_id,
        model=row.model,
        template_id=row.template_id,
        version=row.version,
        state=GenerationState(row.state),
        stage=row.stage,
        failure=None if row.failure is None else GenerationFailure(row.failure),
        reason=row.reason,
        seed=row.seed,
        temperature=row.temperature,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost_usd=row.cost_usd,
        calls_count=row.calls_count,
        files_count=row.files_count,
        source_sha256=row.source_sha256,
        record_sha256=row.record_sha256,
        traceparent=row.traceparent,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        calls=tuple(ModelCall.from_json(call) for call in row.calls_json),
        notices=tuple(Notice(**notice) for notice in row.findings_json if isinstance(notice, dict)),  # type: ignore[arg-type]  # ours
    )
