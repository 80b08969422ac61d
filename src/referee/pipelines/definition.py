"""What a pipeline file says: which cells, how each is analysed, what may be spent.

A file names either what to generate (models × templates × repeats) or apps that exist. Everything it
leaves out has a default here, so that what was understood can be stored and shown whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from referee.analysis import LOADS, PROFILES, AnalysisRequest, plan_runs
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.pipelines.definition_reading import ReadDocument, read_document

__all__ = [
    "EXAMPLE",
    "AnalysisPart",
    "ExistingPart",
    "GeneratePart",
    "LimitsPart",
    "PipelineDefinition",
    "check_definition",
    "parse_definition",
    "read_limits",
]

EXAMPLE: Final = """\
name: two models, two templates
generate:
  models: [aurora-large, beryl-mini]
  templates: [task-board, shop-orders]
  repeats: 1
analysis:
  profile: deep
limits:
  cells_at_once: 2
budget_usd: 5.00
"""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,119}$")]
TemplateSlug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,79}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class GeneratePart(_Part):
    """Apps that are to be written: every model for every template, so many times."""

    models: Annotated[list[Slug], Field(min_length=1, max_length=1_000)]
    templates: Annotated[list[TemplateSlug], Field(min_length=1, max_length=1_000)]
    repeats: Annotated[int, Field(ge=1, le=1_000)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.2
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Of the first repeat; each further one adds one."""

    @model_validator(mode="after")
    def _check_doubles(self) -> Self:
        _refuse_doubles(self.models, "model")
        _refuse_doubles(self.templates, "template")
        return self


class ExistingPart(_Part):
    """Apps that are there: named one by one, or all below a folder."""

    apps: Annotated[
        list[Annotated[str, Field(pattern=r"^.{1,120}[/:](app)?[1-9][0-9]{0,5}$")]], Field(max_length=10_000)
    ] = []
    """``MODEL/appN``, or ``MODEL:N``."""
    folder: Annotated[str, Field(max_length=2_000)] | None = None
    template: TemplateSlug | None = None
    """What those were asked to do that know no template of their own."""

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if not self.apps and self.folder is None:
            raise ValueError("neither apps nor a folder is named")
        _refuse_doubles(self.apps, "app")
        return self


class AnalysisPart(_Part):
    """How every cell is analysed; the fields of an analysis."""

    profile: Annotated[str, Field(max_length=40)] = "standard"
    tools: Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100)] = []
    services: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=10)] = []
    load: Annotated[str, Field(max_length=40)] = "quick"
    parameters: dict[str, dict[str, Any]] = {}
    is_cache_allowed: bool = True

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, value: str) -> str:
        return _require_word(value, "profile", PROFILES)

    @field_validator("load")
    @classmethod
    def _check_load(cls, value: str) -> str:
        return _require_word(value, "load", LOADS)

    @field_validator("tools")
    @classmethod
    def _check_tools(cls, value: list[str]) -> list[str]:
        _check_plan(AnalysisRequest(path=".", tools=tuple(value)))
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        _check_plan(self.build_request("."))
        return self

    def build_request(self, path: str, **more: Any) -> AnalysisRequest:
        """Return the request for one subject; ``more`` are further fields of it."""
        return AnalysisRequest(
            path=path,
            tools=tuple(self.tools),
            services=tuple(self.services),
            profile=self.profile,
            load=self.load,
            parameters=self.parameters,
            is_cache_allowed=self.is_cache_allowed,
            **more,
        )

    @property
    def identity_json(self) -> dict[str, JsonValue]:
        """What makes two analyses of one app two: all but the profile, which stands beside it."""
        return {
            "tools": [*sorted(self.tools)],
            "services": [*sorted(self.services)],
            "load": self.load,
            "parameters": {tool: dict(values) for tool, values in sorted(self.parameters.items())},
        }


class LimitsPart(_Part):
    """Bounds of the whole."""

    cells_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Tries of one cell, the first among them; only transient faults are tried again."""
    retry_pauses_s: Annotated[
        list[Annotated[float, Field(ge=0, le=3_600)]], Field(min_length=1, max_length=10)
    ] = [30, 60, 120]
    """Seconds before each further try; the last one repeats."""


class PipelineDefinition(_Part):
    """A whole pipeline file."""

    name: Name
    generate: GeneratePart | None = None
    existing: ExistingPart | None = None
    analysis: AnalysisPart = Field(default_factory=AnalysisPart)
    limits: LimitsPart = Field(default_factory=LimitsPart)
    budget_usd: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    baseline: Slug | None = None
    """Model that others are compared with."""

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if (self.generate is None) == (self.existing is None):
            raise ValueError("exactly one of generate and existing must be there")
        if (
            self.baseline is not None
            and self.generate is not None
            and self.baseline not in self.generate.models
        ):
            raise ValueError(f"the baseline {self.baseline!r} is not among the models")
        return self

    @property
    def mode(self) -> Literal["generate", "existing"]:
        """What kind of pipeline it is."""
        return "existing" if self.generate is None else "generate"


def read_limits(definition_json: Mapping[str, JsonValue]) -> LimitsPart:
    """Return the limits of a stored definition, without checking the rest of it again."""
    return LimitsPart.model_validate(definition_json["limits"])


def parse_definition(text: str) -> PipelineDefinition:
    """Return the pipeline that a YAML or JSON file describes.

    Raises:
        InvalidInput: It cannot be read or says what cannot be done; line and field are named.
    """
    return check_definition(read_document(text))


def check_definition(document: ReadDocument) -> PipelineDefinition:
    """Return the pipeline that a document describes.

    Raises:
        InvalidInput: It says what cannot be done; line and field are named.
    """
    try:
        return PipelineDefinition.model_validate(document.value)
    except ValidationError as error:
        raise _explain(error, document) from error


def _explain(error: ValidationError, document: ReadDocument) -> InvalidInput:
    problems: list[JsonValue] = []
    for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]:
        place = tuple(one["loc"])
        line = document.find_line(place)
        field = ".".join(str(part) for part in place)
        what = str(one["msg"]).removeprefix("Value error, ").rstrip(".")
        problems.append({"line": line, "field": field, "message": what})
    first = problems[0]
    assert isinstance(first, dict)  # noqa: S101 - built above
    where = f"{first['field']}: " if first["field"] else ""
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidInput(
        "pipeline.definition_invalid",
        f"The pipeline file is not usable, line {first['line']}: {where}{first['message']}{more}.",
        "Correct that line; `referee pipeline example` prints a file that works.",
        problems=problems,
    )


def _require_word(value: str, noun: str, known: Iterable[str]) -> str:
    if value not in known:
        raise ValueError(f"there is no {noun} {value!r}; choose one of {', '.join(known)}")
    return value


def _check_plan(request: AnalysisRequest) -> None:
    try:
        plan_runs(request)
    except InvalidInput as error:
        raise ValueError(f"{error.message} {error.hint}".strip()) from error


def _refuse_doubles(values: list[str], noun: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"the {noun} {value!r} is named twice")
        seen.add(value)
