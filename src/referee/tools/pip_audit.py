"""pip-audit: known vulnerabilities of pinned Python packages, offline.

It asks an OSV server, which ``runners/pip_audit_offline.py`` is, about exact
versions that we read from the app's dependency files. It says the same as
safety from the same advisories and is off by default; run both to compare.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from referee.core.findings import JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox import Limits
from referee.tools.advisories.records import AdvisoryGroup
from referee.tools.advisories.store import AdvisoryStore, EcosystemData
from referee.tools.contract import (
    Installation,
    InstallKit,
    ParameterValue,
    RawOutput,
    RunKit,
    Tool,
    ToolDescription,
    ToolPlan,
)
from referee.tools.dependencies import PYTHON_FILES, find_python_dependencies
from referee.tools.reading import as_array, as_object, decode_text, get_text, read_json, shorten
from referee.tools.running import RUNNERS_DIR, merge_outputs, probe_python_package, run_tool_command, work_dir
from referee.tools.vulnerabilities import (
    PARAMETERS,
    Judgement,
    Pin,
    Problem,
    StoreLocation,
    add_advisories,
    build_report,
    find_problems,
    make_plan,
    normal_version,
    planned_pins,
    read_judgement,
)

__all__ = ["create_tool"]

MAX_RUNS_COUNT: Final = 5
"""An app that pins one package to more than five versions has other troubles."""

_DESCRIPTION: Final = ToolDescription(
    name="pip-audit",
    service=Service.static,
    summary="Finds Python dependencies with known vulnerabilities.",
    homepage_url="https://github.com/pypa/pip-audit",
    license="Apache-2.0",
    languages=(),
    applies_to=PYTHON_FILES,
    parameters=PARAMETERS,
    presets={"quick": {}, "deep": {}},
    limits=Limits(wall_s=180, cpu_s=180, memory_bytes=1024 * 1024 * 1024, processes_count=64),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.findings, 2: ExitMeaning.usage_error},
    identity_fields=("package", "advisory"),
    has_line_identity=False,
    is_default=False,
    cost_s=1.5,
)


def create_tool() -> Tool:
    """Return the tool."""
    return PipAuditTool()


class PipAuditTool:
    """pip-audit with a loopback OSV server."""

    def __init__(self) -> None:
        self._store = StoreLocation()

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return pip-audit's own environment."""
        self._store.remember(kit)
        return await kit.python_environment("pip-audit", "pip-audit.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return pip-audit's version."""
        return await probe_python_package(installation, "pip-audit")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Read the dependency files."""
        return make_plan(parameters, find_python_dependencies(snapshot), self._store, PYTHON_FILES)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Write the server's answers and run pip-audit in the sandbox."""
        work = work_dir(kit)
        pins = planned_pins(plan)
        data, problems, digest = await asyncio.to_thread(_prepare, kit.install_kit.advisories_dir, work, pins)
        outputs = [
            await self._audit(kit, number, group) for number, group in enumerate(_split(pins), start=1)
        ]
        others = {str(number): raw for number, raw in enumerate(outputs[1:], start=2)}
        return add_advisories(merge_outputs(outputs[0], others), data, problems, digest)

    async def _audit(self, kit: RunKit, number: int, group: Mapping[str, str]) -> RawOutput:
        work = work_dir(kit)
        requirements, report = work / f"requirements-{number}.txt", f"report-{number}.json"
        lines = [f"{name}=={version}\n" for name, version in group.items()]
        requirements.write_text("".join(lines), encoding="utf-8")
        argv = [str(kit.installation.program), "-I", str(RUNNERS_DIR / "pip_audit_offline.py")]
        argv += [str(work / "records.json"), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        argv += ["--cache-dir", str(work / "cache"), "-f", "json", "-o", str(work / report)]
        argv += ["-r", str(requirements)]
        return await run_tool_command(
            kit,
            f"pip-audit-{number}",
            argv,
            report_files=[report],
            working_dir=work,
            read_only=[RUNNERS_DIR],
        )

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn pip-audit's report into findings."""
        judgement = read_judgement(raw)
        pins = planned_pins(plan)
        unaudited: dict[Pin, str] = dict.fromkeys(pins, "pip-audit did not report on it")
        affected: list[tuple[Problem, str]] = []
        failure = None
        for number in range(1, len(_split(pins)) + 1):
            report = f"report-{number}.json" if number == 1 else f"{number}.report-{number}.json"
            if raw.end == "exited" and report not in raw.streams:
                failure = failure or _explain_failure(raw)
            else:
                _read_report(raw, report, judgement, unaudited, affected)
        if failure is None and pins and len(unaudited) == len(pins):
            failure = "pip-audit judged none of the dependencies, so that it found nothing means nothing."
        return build_report(plan, judgement, affected, unaudited=unaudited, failure=failure)


def _read_report(
    raw: RawOutput,
    report: str,
    judgement: Judgement,
    unaudited: dict[Pin, str],
    affected: list[tuple[Problem, str]],
) -> None:
    """Move what a report judges from ``unaudited`` to ``affected``."""
    by_id = {(problem.name, one): problem for problem in judgement.problems for one in problem.ids}
    document = as_object(read_json(raw, report), report)
    for entry in as_array(document.get("dependencies"), "dependencies"):
        dependency = as_object(entry, "a dependency")
        name = get_text(dependency, "name")
        if "skip_reason" in dependency:
            reason = f"skipped by pip-audit: {shorten(get_text(dependency, 'skip_reason'), limit=200)}"
            unaudited |= {pin: reason for pin in unaudited if pin[0] == name}
            continue
        pin = (name, normal_version(get_text(dependency, "version")))
        if unaudited.pop(pin, None) is None:
            continue
        for vulnerability in as_array(dependency.get("vulns"), "vulns"):
            number = get_text(as_object(vulnerability, "a vulnerability"), "id")
            problem = by_id.get((name, number))
            if problem is None:
                unaudited[pin] = f"pip-audit reported an unknown vulnerability {shorten(number, limit=100)}"
            else:
                affected.append((problem, pin[1]))


def _prepare(
    advisories_dir: Path, work: Path, pins: Sequence[Pin]
) -> tuple[EcosystemData, list[Problem], str]:
    with AdvisoryStore.open(advisories_dir) as store:
        found = find_problems(store, "PyPI", pins)
        data, digest = store.data_of("PyPI"), store.digest
    answers: dict[str, list[JsonValue]] = {}
    for problem, group in found:
        for version in problem.fixed_versions:
            answers.setdefault(f"{problem.name}=={version}", []).append(_make_record(problem, group))
    (work / "records.json").write_text(json.dumps(answers), encoding="utf-8")
    return data, [problem for problem, _ in found], digest


def _make_record(problem: Problem, group: AdvisoryGroup) -> JsonValue:
    """Return one OSV record for all advisories on a problem, so that it is reported once."""
    events: list[JsonValue] = [
        {event.kind: event.version}
        for member in group.members
        for events in member.ranges
        for event in events
    ]
    return {
        "schema_version": "1.6.0",
        "id": problem.key,
        "aliases": [one for one in problem.ids if one != problem.key],
        "summary": problem.summary,
        "modified": f"{group.lead.modified_on}T00:00:00Z",
        "published": f"{group.lead.published_on}T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": problem.name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }


def _split(pins: Sequence[Pin]) -> list[dict[str, str]]:
    """Return groups in which each package has one version, as pip-audit demands of one run.

    Never more than ``MAX_RUNS_COUNT``: what is left over is told as not judged.
    """
    groups: list[dict[str, str]] = [{}]
    for name, version in pins:
        free = next((group for group in groups if name not in group), None)
        if free is not None:
            free[name] = version
        elif len(groups) < MAX_RUNS_COUNT:
            groups.append({name: version})
    return groups


def _explain_failure(raw: RawOutput) -> str:
    lines = decode_text(raw.streams.get("stderr", b"")).strip().splitlines()
    reason = f": {shorten(lines[-1].strip(), limit=200)}" if lines else "."
    return f"pip-audit ended with exit code {raw.exit_code}{reason}"
