"""Requirements: whether an app does what its template asked for, each verdict with its evidence.

Three sources, kept apart: the source text (routes, calls, forms), the running
app (every endpoint called as visitor, person and administrator), and a language
model where one is configured. What none of them can tell stays ``unknown``.

The app's text and answers are data: they are compared, quoted and bounded, and
decide nothing but the verdict on themselves.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from referee.core.errors import InvalidInput
from referee.core.findings import MAX_HOLES, Coverage, CoverageHole, JsonValue, Measurement, ToolReport
from referee.core.requirements import Verdict
from referee.core.sources import Language, SourceSnapshot
from referee.core.templates import Template, parse_template
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox import Limits
from referee.tools.contract import (
    Installation,
    InstallKit,
    Parameter,
    ParameterValue,
    RawOutput,
    RunKit,
    Tool,
    ToolDescription,
    ToolPlan,
)
from referee.tools.exercising import REPORT, Exercise, exercise_app, read_exercise
from referee.tools.planning import EXCLUDE_PARAMETER, plan_files
from referee.tools.reading import (
    OutputUnreadable,
    as_object,
    build_file_coverage,
    compute_place_key,
    describe_end,
    read_json,
)
from referee.tools.requirement_evidence.findings import RULES, make_findings
from referee.tools.requirement_evidence.requirements import Fact, dump_template
from referee.tools.requirement_evidence.source_facts import collect_source_facts, read_source_facts
from referee.tools.requirement_evidence.verdicts import Judged, Opinion, collect_facts, judge_all
from referee.tools.routes import discover_routes
from referee.tools.running import RUNNERS_DIR

__all__ = ["RequirementsScanner", "create_tool"]

_SCAN: Final = "scan.json"
_TEMPLATE: Final = "template.json"
_SOURCE: Final = "source.json"
_JUDGE: Final = "judge.json"
_NO_TEMPLATE: Final = (
    "Nothing says what this app was asked to do: give the app a template, as those in samples/templates."
)
_NO_JUDGE: Final = (
    "No language model judged: requirements in words that neither the source nor the running app can prove stay "
    "unknown. Set judge_url and judge_model to have one."
)
_NO_APP: Final = "The app was not running: endpoints were judged by what the source declares alone."
_NOT_EXERCISED: Final = "The running app was not called, as include_endpoint_tests is off."

_LANGUAGES: Final[tuple[Language, ...]] = ("python", "javascript", "typescript", "jsx", "tsx", "html")

_DESCRIPTION = ToolDescription(
    name="requirements-scanner",
    service=Service.ai,
    summary="Says for each requirement and endpoint of a template whether the app meets it, with the evidence.",
    homepage_url="https://www.rfc-editor.org/rfc/rfc9110",
    license="Apache-2.0",
    languages=(),
    applies_to="Source of apps with a template, and the app while it runs",
    parameters=(
        Parameter(
            name="scan_mode",
            type="string",
            default="full",
            options=("full", "backend_only", "frontend_only", "admin_only"),
            help="Which requirements are judged; backend_only and admin_only bring their endpoints along.",
        ),
        Parameter(
            name="include_endpoint_tests",
            type="boolean",
            default=True,
            help="Whether the endpoints of a running app are called.",
        ),
        Parameter(
            name="judge_source_characters_count",
            type="integer",
            default=24_000,
            minimum=2_000,
            maximum=400_000,
            help="How much of the source a question to the language model shows.",
        ),
        EXCLUDE_PARAMETER,
    ),
    presets={"quick": {}, "deep": {}},
    limits=Limits(wall_s=900),
    exit_codes={0: ExitMeaning.clean},
    identity_fields=("requirement",),
    has_line_identity=False,
    is_default=False,
    needs="source_and_app",
    cost_s=3.0,
)


class RequirementsScanner:
    """The tool requirements-scanner."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return a place holder: the tool is part of Referee."""
        digest = hashlib.sha256()
        for path in sorted((RUNNERS_DIR / "exercise").glob("*.py")):
            digest.update(await asyncio.to_thread(path.read_bytes))
        return Installation(
            root=Path(__file__).parent, program=Path(__file__), read_only=(), lock_digest=digest.hexdigest()
        )

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of the judgement."""
        return f"{_DESCRIPTION.adapter_version}.0"

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan the source files; the template comes with the run."""
        return plan_files(snapshot, parameters, *_LANGUAGES, noun="source files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Read the source, talk to the running app, and ask the judge where there is one."""
        started_ns = time.monotonic_ns()
        if kit.template is None:
            return _build_raw({_SCAN: {"has_template": False}}, None, started_ns)
        kept = set(plan.files)
        snapshot = replace(
            kit.snapshot, files=tuple(file for file in kit.snapshot.files if file.path in kept)
        )
        routes = await asyncio.to_thread(discover_routes, snapshot)
        source = await asyncio.to_thread(collect_source_facts, snapshot, kit.template, routes)
        is_exercised = kit.app is not None and _wants_exercise(plan)
        streams: dict[str, JsonValue] = {
            _SCAN: {"has_template": True, "is_exercised": is_exercised, "is_judged": kit.judge is not None},
            _TEMPLATE: dump_template(kit.template),
            _SOURCE: source,
        }
        exercised = await exercise_app(kit, routes) if is_exercised else None
        if kit.judge is not None:
            from referee.tools.judging import judge_requirements  # noqa: PLC0415 - only a judge needs its client

            facts = _collect(kit.template, plan, source, _try_exercise(exercised))
            record = await judge_requirements(
                kit.judge,
                kit.template,
                snapshot,
                {name: tuple(fact.evidence for fact in found) for name, found in facts.items()},
                parameters=plan.parameters,
            )
            streams[_JUDGE] = record.to_json()
        return _build_raw(streams, exercised, started_ns)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Judge each requirement by what the streams hold.

        Raises:
            OutputUnreadable: A stream is absent, cut, or not of the form that ``run`` writes.
        """
        scan = as_object(read_json(raw, _SCAN), _SCAN)
        if scan.get("has_template") is not True:
            return ToolReport((), (), Coverage("file", 0), not_applicable=_NO_TEMPLATE)
        template = _read_template(read_json(raw, _TEMPLATE))
        exercise, trouble = _read_exercise(raw, is_exercised=scan.get("is_exercised") is True)
        opinions = _read_opinions(raw) if scan.get("is_judged") is True else None
        facts = _collect(template, plan, read_json(raw, _SOURCE), exercise)
        judged = judge_all(template, _mode(plan), facts, opinions)
        findings = sorted(make_findings(judged, exercise), key=compute_place_key)
        is_silent = exercise is not None and not exercise.has_answers
        return ToolReport(
            findings=tuple(findings),
            rules=tuple(RULES[name] for name in sorted({finding.rule_id for finding in findings})),
            coverage=_compute_coverage(plan, judged, exercise),
            measurements=_measure(judged),
            failure=trouble,
            is_partial=trouble is not None,
            notices=_list_notices(plan, exercise, trouble, opinions, judged),
            verdicts=tuple(one.verdict for one in judged),
            unreachable="The app gave no answer to any request." if is_silent else None,
        )


def create_tool() -> Tool:
    """Return the tool."""
    return RequirementsScanner()


def _mode(plan: ToolPlan) -> str:
    return str(plan.parameters.get("scan_mode", "full"))


def _wants_exercise(plan: ToolPlan) -> bool:
    """Whether the app's endpoints are to be called; nothing of the frontend shows in their answers."""
    return plan.parameters.get("include_endpoint_tests") is True and _mode(plan) != "frontend_only"


def _collect(
    template: Template, plan: ToolPlan, source: JsonValue, exercise: Exercise | None
) -> dict[str, tuple[Fact, ...]]:
    # An app that gave no answer at all proves nothing about its endpoints.
    heard = exercise if exercise is not None and exercise.has_answers else None
    return collect_facts(template, _mode(plan), read_source_facts(source), heard)


def _build_raw(streams: Mapping[str, JsonValue], exercised: RawOutput | None, started_ns: int) -> RawOutput:
    contents = {name: json.dumps(value, sort_keys=True).encode() for name, value in streams.items()}
    base = exercised or RawOutput(
        streams={"stdout": b"", "stderr": b""},
        total_bytes={"stdout": 0, "stderr": 0},
        end="exited",
        exit_code=0,
        duration_ms=0,
        cpu_ms=0,
        peak_memory_bytes=None,
        isolation=None,
        command=("requirements-scanner", "$SUBJECT"),
    )
    return replace(
        base,
        streams={**base.streams, **contents},
        total_bytes={**base.total_bytes, **{name: len(content) for name, content in contents.items()}},
        duration_ms=(time.monotonic_ns() - started_ns) // 1_000_000,
    )


def _try_exercise(raw: RawOutput | None) -> Exercise | None:
    """Return what was exercised for the judge's eyes; that it cannot be read is told by ``parse``."""
    try:
        return read_exercise(raw) if raw is not None else None
    except OutputUnreadable:
        return None


def _read_template(document: JsonValue) -> Template:
    try:
        return parse_template(document)
    except InvalidInput as error:
        raise OutputUnreadable(f"{_TEMPLATE} holds no template. {error.message}") from error


def _read_exercise(raw: RawOutput, *, is_exercised: bool) -> tuple[Exercise | None, str | None]:
    """Return the exercise, and one sentence when it was begun and did not end."""
    if not is_exercised:
        return None, None
    if REPORT not in raw.streams and (raw.end != "exited" or raw.exit_code != 0):
        return None, f"The running app could not be called to the end. {describe_end(raw)}"
    return read_exercise(raw), None


def _read_opinions(raw: RawOutput) -> Mapping[str, Opinion]:
    from referee.tools.judging import read_judge_record  # noqa: PLC0415 - only a judge's record needs it

    return read_judge_record(read_json(raw, _JUDGE))


def _compute_coverage(plan: ToolPlan, judged: tuple[Judged, ...], exercise: Exercise | None) -> Coverage:
    """Return what was looked at: endpoints where the app was called, else files."""
    if exercise is None:
        return build_file_coverage(plan.files)
    called = {(one.method, one.route_path) for one in exercise.exchanges if one.status is not None}
    endpoints = [one.requirement.endpoint for one in judged if one.requirement.endpoint is not None]
    missed = [one for one in endpoints if (one.method, one.path.partition("?")[0]) not in called]
    holes = [f"{one.method} {one.path}" for one in missed]
    return Coverage(
        unit="url",
        examined_count=len(endpoints) - len(holes),
        skipped_count=len(holes),
        holes=tuple(
            CoverageHole(name, "skipped", "it was not called, or gave no answer")
            for name in holes[:MAX_HOLES]
        ),
    )


def _measure(judged: tuple[Judged, ...]) -> tuple[Measurement, ...]:
    """Return the shares and counts; what is met with low confidence counts as unknown."""
    found: list[Measurement] = []
    texts = [one for one in judged if one.requirement.endpoint is None]
    endpoints = [one for one in judged if one.requirement.endpoint is not None]
    for noun, verb, group in (("requirements", "met", texts), ("endpoints", "passed", endpoints)):
        sure = [one.verdict.verdict for one in group if one.is_sure]
        met_count, not_met_count = sure.count(Verdict.met), sure.count(Verdict.not_met)
        unknown_count = len(group) - len(sure)
        found += [
            Measurement(f"{noun}_count", len(group), "count", "neither"),
            Measurement(f"{noun}_{verb}_count", met_count, "count", "higher"),
            Measurement(f"{noun}_not_{verb}_count", not_met_count, "count", "lower"),
            Measurement(f"{noun}_unknown_count", unknown_count, "count", "lower"),
        ]
        if group:
            found += [
                Measurement(f"{noun}_{verb}_share", met_count / len(group), "share", "higher"),
                Measurement(f"{noun}_unknown_share", unknown_count / len(group), "share", "lower"),
            ]
    return tuple(found)


def _list_notices(
    plan: ToolPlan,
    exercise: Exercise | None,
    trouble: str | None,
    opinions: Mapping[str, Opinion] | None,
    judged: tuple[Judged, ...],
) -> tuple[str, ...]:
    notices: list[str] = []
    if exercise is not None:
        notices += exercise.notices
    elif trouble is None and _mode(plan) != "frontend_only":
        notices.append(_NO_APP if _wants_exercise(plan) else _NOT_EXERCISED)
    if opinions is None:
        notices.append(_NO_JUDGE)
    open_count = sum(not one.is_sure for one in judged)
    if open_count:
        notices.append(f"{open_count} of {len(judged)} requirements and endpoints stay unknown.")
    return tuple(notices)
