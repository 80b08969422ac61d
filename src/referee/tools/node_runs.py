"""Running a script of ours with a tool's Node.js environment, and reading what it prints.

The script and its configuration are copied into the run's own folder beside a link to the
tool's ``node_modules``: Node.js looks there for packages, whatever the app under test holds.
The script prints one JSON object per line (``start``, one ``file``, ``ignored`` or ``crash``
for each file of its request, ``end``), so output that was cut is read up to the cut.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from referee.core.findings import Coverage, JsonValue
from referee.tools.contract import Installation, RawOutput, RunKit, ToolPlan
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    describe_end,
    get_text,
    read_json_lines,
)
from referee.tools.running import run_tool_command, work_dir

__all__ = ["CONFIGS_DIR", "LineReport", "probe_node_package", "read_line_report", "run_node_script"]

CONFIGS_DIR = Path(__file__).parent / "configs"
"""Our own configurations of tools, one folder each. An app's own are never read."""


@dataclass(frozen=True, slots=True)
class LineReport:
    """What a script of ours printed about the files of its request."""

    files: tuple[dict[str, JsonValue], ...]
    """The ``file`` records, with ``path`` and ``messages`` checked."""
    unreadable: dict[str, str]
    """Reason by path for files that made the tool itself fail."""
    skipped: dict[str, str]
    """Reason by path for files that were left out or not reached."""
    extras: Mapping[str, dict[str, JsonValue]] = field(default_factory=dict)
    """The other records by type, the last of each."""
    failure: str | None = None
    """One sentence when the script did not come to its end."""

    def build_coverage(
        self, plan: ToolPlan, *, unreadable: Mapping[str, str], suppressed_count: int
    ) -> Coverage:
        """Return the coverage of the plan's files, with holes that the messages tell of added."""
        return build_file_coverage(
            plan.files,
            unreadable={**self.unreadable, **unreadable},
            skipped=self.skipped,
            suppressed_count=suppressed_count,
        )


async def run_node_script(
    kit: RunKit, label: str, *, script: str, request: Mapping[str, object], files: Mapping[str, str]
) -> RawOutput:
    """Run ``configs/<label>/<script>`` with ``request`` as JSON and return its raw output.

    Args:
        kit: What the tool got to run.
        label: Name of the tool and of its folder in ``CONFIGS_DIR``.
        script: The file to run; the whole folder is copied beside it.
        request: What the script reads.
        files: Further files to write beside it, content by name.
    """
    work = work_dir(kit)
    contents = {**files, "request.json": json.dumps(request)}
    await asyncio.to_thread(_lay_out, work, CONFIGS_DIR / label, kit.installation.root, contents)
    argv = (str(kit.install_kit.node), str(work / script), str(work / "request.json"))
    return await run_tool_command(kit, label, argv)


def _lay_out(work: Path, config_dir: Path, root: Path, contents: Mapping[str, str]) -> None:
    for source in sorted(config_dir.iterdir()):
        shutil.copyfile(source, work / source.name)
    (work / "node_modules").symlink_to(root / "node_modules", target_is_directory=True)
    for name, content in contents.items():
        (work / name).write_text(content, encoding="utf-8")


async def probe_node_package(installation: Installation, package: str) -> str:
    """Return the version of a package in a tool's own Node.js environment. Nothing of the tool runs.

    Empty when the package is not there.
    """

    def find() -> str:
        path = installation.root / "node_modules" / package / "package.json"
        try:
            return str(json.loads(path.read_text(encoding="utf-8")).get("version", ""))
        except (OSError, ValueError):
            return ""

    return await asyncio.to_thread(find)


def read_line_report(raw: RawOutput, plan: ToolPlan, *, schema: str) -> LineReport:
    """Return what the script printed, up to where its output was cut.

    Raises:
        OutputUnreadable: There is no ``start`` line of this schema, or a line is not of its form.
    """
    lines = read_json_lines(raw, "stdout")
    records = [as_object(value, "a line of the output") for value in lines.values]
    if not records or records[0].get("type") != "start" or records[0].get("schema") != schema:
        words = raw.streams.get("stderr", b"").decode("utf-8", errors="replace").strip().splitlines()
        hint = f"Its last words were: {words[-1][:300]}" if words else ""
        raise OutputUnreadable(f"The output has no start line of {schema}. {describe_end(raw)}", hint)

    files: list[dict[str, JsonValue]] = []
    unreadable: dict[str, str] = {}
    skipped: dict[str, str] = {}
    extras: dict[str, dict[str, JsonValue]] = {}
    for record in records:
        match get_text(record, "type"):
            case "file":
                get_text(record, "path")
                as_array(record.get("messages"), "messages")
                files.append(record)
            case "crash":
                unreadable[get_text(record, "path")] = f"The tool failed on it: {get_text(record, 'text')}"
            case "ignored":
                skipped[get_text(record, "path")] = "Left out by the parameter ignore_patterns."
            case other:
                extras[other] = record
    failure = _find_failure(raw, extras, is_cut=lines.is_cut)
    seen: set[str] = {str(record["path"]) for record in files} | unreadable.keys() | skipped.keys()
    skipped.update({path: "Not reached before the run ended." for path in plan.files if path not in seen})
    return LineReport(tuple(files), unreadable, skipped, extras, failure)


def _find_failure(raw: RawOutput, extras: Mapping[str, dict[str, JsonValue]], *, is_cut: bool) -> str | None:
    if "failure" in extras:
        return f"The tool refused its configuration: {get_text(extras['failure'], 'text')}"
    if is_cut:
        return f"The output was cut. {describe_end(raw)}"
    if "end" not in extras or raw.end != "exited" or raw.exit_code != 0:
        return f"The run did not come to its end. {describe_end(raw)}"
    return None
