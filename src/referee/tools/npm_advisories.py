"""npm-advisories: known vulnerabilities of locked npm packages, by our own matching.

``npm audit`` needs a registry that answers advisory queries; this needs only
the advisory store. It compares names and versions, in this process: the lock
files are read with limits, and nothing of the app runs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from referee.core.findings import JsonValue, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox import Limits
from referee.tools.advisories.store import AdvisoryStore
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
from referee.tools.dependencies import NPM_FILES, find_npm_dependencies
from referee.tools.reading import OutputUnreadable, as_array, as_object, get_text, read_json
from referee.tools.vulnerabilities import (
    PARAMETERS,
    StoreLocation,
    add_advisories,
    build_report,
    find_problems,
    make_plan,
    planned_pins,
    read_judgement,
)

__all__ = ["create_tool"]

_REPORT: Final = "report.json"

_DESCRIPTION: Final = ToolDescription(
    name="npm-advisories",
    service=Service.static,
    summary="Finds npm dependencies with known vulnerabilities.",
    homepage_url="https://osv.dev",
    license="Apache-2.0",
    languages=(),
    applies_to=NPM_FILES,
    parameters=PARAMETERS,
    presets={"quick": {}, "deep": {}},
    limits=Limits(wall_s=60, cpu_s=60),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.findings},
    identity_fields=("package", "advisory"),
    has_line_identity=False,
    is_default=False,
    cost_s=0.2,
)


def create_tool() -> Tool:
    """Return the tool."""
    return NpmAdvisoriesTool()


class NpmAdvisoriesTool:
    """Our own matcher of npm versions against advisories."""

    def __init__(self) -> None:
        self._store = StoreLocation()

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return a place holder: there is nothing to install."""
        self._store.remember(kit)
        with self._store.open() as store:
            digest = store.digest
        return Installation(
            root=Path(__file__).parent, program=Path(__file__), read_only=(), lock_digest=digest
        )

    async def probe_version(self, installation: Installation) -> str:
        """Return the version of the matcher and the date of its data."""
        with self._store.open() as store:
            return f"{_DESCRIPTION.adapter_version}+{store.data_of('npm').data_on}"

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Read the dependency files."""
        return make_plan(parameters, find_npm_dependencies(snapshot), self._store, NPM_FILES)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Match every locked version."""
        return await asyncio.to_thread(_match, kit.install_kit.advisories_dir, plan)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Turn the matches into findings."""
        judgement = read_judgement(raw)
        document = as_object(read_json(raw, _REPORT), _REPORT)
        problems = {(problem.name, problem.key): problem for problem in judgement.problems}
        affected = []
        for entry in as_array(document.get("matches"), "matches"):
            match = as_object(entry, "a match")
            problem = problems.get((get_text(match, "package"), get_text(match, "advisory")))
            if problem is None:
                raise OutputUnreadable("A match names an advisory that the output does not hold.")
            affected.append((problem, get_text(match, "version")))
        return build_report(plan, judgement, affected)


def _match(advisories_dir: Path, plan: ToolPlan) -> RawOutput:
    started_ns, cpu_started_ns = time.monotonic_ns(), time.thread_time_ns()
    with AdvisoryStore.open(advisories_dir) as store:
        problems = [problem for problem, _ in find_problems(store, "npm", planned_pins(plan))]
        data, digest = store.data_of("npm"), store.digest
    matches: list[JsonValue] = [
        {"package": problem.name, "version": version, "advisory": problem.key}
        for problem in problems
        for version in problem.fixed_versions
    ]
    content = json.dumps({"matches": matches}, sort_keys=True).encode()
    raw = RawOutput(
        streams={"stdout": b"", "stderr": b"", _REPORT: content},
        total_bytes={"stdout": 0, "stderr": 0, _REPORT: len(content)},
        end="exited",
        exit_code=1 if matches else 0,
        duration_ms=(time.monotonic_ns() - started_ns) // 1_000_000,
        cpu_ms=(time.thread_time_ns() - cpu_started_ns) // 1_000_000,
        peak_memory_bytes=None,
        isolation=None,
        command=("npm-advisories", "$SUBJECT"),
    )
    return add_advisories(raw, data, problems, digest)
