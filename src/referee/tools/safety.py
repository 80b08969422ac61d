"""safety: known vulnerabilities of pinned Python packages, offline.

safety gets its database from the advisory store and a list of exact versions
that we read from the app's dependency files, so no line of the app's own files
reaches it. It runs beside a stub of the server it insists on asking
(``runners/safety_offline.py``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from packaging.specifiers import SpecifierSet

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
from referee.tools.running import RUNNERS_DIR, probe_python_package, run_tool_command, work_dir
from referee.tools.vulnerabilities import (
    PARAMETERS,
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

_REPORT: Final = "report.json"
_FIRST_ID: Final = 90_000
"""safety knows a vulnerability by a number of its own; equal numbers would be merged."""

_DESCRIPTION: Final = ToolDescription(
    name="safety",
    service=Service.static,
    summary="Finds Python dependencies with known vulnerabilities.",
    homepage_url="https://github.com/pyupio/safety",
    license="MIT",
    languages=(),
    applies_to=PYTHON_FILES,
    parameters=PARAMETERS,
    presets={"quick": {}, "deep": {}},
    limits=Limits(wall_s=120, cpu_s=120, memory_bytes=1024 * 1024 * 1024, processes_count=64),
    exit_codes={
        0: ExitMeaning.clean,
        64: ExitMeaning.findings,
        1: ExitMeaning.error,
        2: ExitMeaning.usage_error,
        69: ExitMeaning.error,
    },
    identity_fields=("package", "advisory"),
    has_line_identity=False,
    cost_s=1.5,
)


def create_tool() -> Tool:
    """Return the tool."""
    return SafetyTool()


class SafetyTool:
    """safety 3 with a generated database."""

    def __init__(self) -> None:
        self._store = StoreLocation()

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return safety's own environment."""
        self._store.remember(kit)
        return await kit.python_environment("safety", "safety.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return safety's version."""
        return await probe_python_package(installation, "safety")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Read the dependency files."""
        return make_plan(parameters, find_python_dependencies(snapshot), self._store, PYTHON_FILES)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Generate the database and run safety in the sandbox."""
        work = work_dir(kit)
        data, problems, digest = await asyncio.to_thread(
            _prepare, kit.install_kit.advisories_dir, work, planned_pins(plan)
        )
        argv = [str(kit.installation.program), "-I", str(RUNNERS_DIR / "safety_offline.py")]
        argv += ["check", "-r", str(work / "requirements.txt"), "--db", str(work / "db")]
        argv += ["--save-json", str(work / _REPORT), "--output", "bare"]
        raw = await run_tool_command(
            kit, "safety", argv, report_files=[_REPORT], working_dir=work, read_only=[RUNNERS_DIR]
        )
        return add_advisories(raw, data, problems, digest)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn safety's report into findings."""
        judgement = read_judgement(raw)
        pins = set(planned_pins(plan))
        if raw.end == "exited" and raw.exit_code not in (0, 64) and _REPORT not in raw.streams:
            reason = "safety failed before it judged anything"
            return build_report(
                plan,
                judgement,
                (),
                unaudited=dict.fromkeys(sorted(pins), reason),
                failure=_explain_failure(raw),
            )
        document = as_object(read_json(raw, _REPORT), _REPORT)
        scanned = as_object(document.get("scanned_packages"), "scanned_packages")
        unaudited = {pin: "safety did not report on it" for pin in sorted(pins) if pin[0] not in scanned}
        affected: list[tuple[Problem, str]] = []
        for entry in as_array(document.get("vulnerabilities"), "vulnerabilities"):
            vulnerability = as_object(entry, "a vulnerability")
            number = get_text(vulnerability, "vulnerability_id")
            index = int(number) - _FIRST_ID if number.isdecimal() else -1
            name, version = (
                get_text(vulnerability, "package_name"),
                get_text(vulnerability, "analyzed_version"),
            )
            if 0 <= index < len(judgement.problems) and (name, normal_version(version)) in pins:
                affected.append((judgement.problems[index], normal_version(version)))
            else:
                unaudited[name, version] = f"safety reported an unknown vulnerability {number}"
        return build_report(plan, judgement, affected, unaudited=unaudited)


def _prepare(
    advisories_dir: Path, work: Path, pins: Sequence[Pin]
) -> tuple[EcosystemData, list[Problem], str]:
    with AdvisoryStore.open(advisories_dir) as store:
        found = find_problems(store, "PyPI", pins)
        data, digest = store.data_of("PyPI"), store.digest
    short: dict[str, list[JsonValue]] = {}
    full: dict[str, list[JsonValue]] = {}
    for number, (problem, group) in enumerate(found, start=_FIRST_ID):
        specifiers: list[JsonValue] = list(_specifiers_of(group, tuple(problem.fixed_versions)))
        short.setdefault(problem.name, []).extend(specifiers)
        ids: list[JsonValue] = [{"type": "pyup", "id": str(number)}]
        if problem.key.startswith("CVE-"):
            ids.append({"type": "cve", "id": problem.key})
        fixed: list[JsonValue] = list(
            dict.fromkeys(one for some in problem.fixed_versions.values() for one in some)
        )
        full.setdefault(problem.name, []).append(
            {
                "specs": specifiers,
                "advisory": problem.summary,
                "ids": ids,
                "more_info_path": f"/vulnerability/{problem.lead_id}",
                "fixed_versions": fixed,
                "transitive": False,
            }
        )
    meta: dict[str, JsonValue] = {"schema_version": "2.0.0", "base_domain": "https://osv.dev", "timestamp": 0}
    full_meta: dict[str, JsonValue] = {**meta, "severities": {}, "packages": {}}
    database = work / "db"
    database.mkdir(exist_ok=True)
    _write_json(database / "insecure.json", {"meta": meta, "vulnerable_packages": short})
    _write_json(database / "insecure_full.json", {"meta": full_meta, "vulnerable_packages": full})
    (work / "requirements.txt").write_text(
        "".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8"
    )
    return data, [problem for problem, _ in found], digest


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _specifiers_of(group: AdvisoryGroup, affected: Sequence[str]) -> list[str]:
    """Return the group's ranges as specifiers, and by name each affected version that these would miss."""
    specifiers: list[str] = []
    for member in group.members:
        for events in member.ranges:
            lower = ""
            for event in events:
                if event.kind == "introduced":
                    lower = "" if event.version == "0" else f">={event.version}"
                    is_open = True
                    continue
                upper = ("<" if event.kind == "fixed" else "<=") + event.version
                specifiers.append(f"{lower},{upper}" if lower else upper)
                is_open = False
            if is_open:
                specifiers.append(lower or ">=0")
    unique = list(dict.fromkeys(specifiers))
    # A specifier hides pre-releases (PEP 440), a range of an advisory does not.
    missed = [
        version for version in affected if not any(SpecifierSet(one).contains(version) for one in unique)
    ]
    return unique + [f"=={version}" for version in missed]


def _explain_failure(raw: RawOutput) -> str:
    lines = decode_text(raw.streams.get("stderr", b"")).strip().splitlines()
    reason = f": {shorten(lines[-1].strip(), limit=200)}" if lines else "."
    return f"safety ended with exit code {raw.exit_code}{reason}"
