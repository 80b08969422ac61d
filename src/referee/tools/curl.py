"""curl: what an app shows to anybody who asks, by a table of probes.

One curl process asks for the start page, one for each redirect of it within the app, and one for
the table. Each target's own answers to paths that do not exist are the measure of the rest, so a
catch-all route that answers everything with 200 exposes nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Final, cast
from urllib.parse import urljoin, urlsplit

from referee.core.addresses import Address
from referee.core.findings import JsonValue, Measurement, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import ExitMeaning, Service
from referee.foundation.sandbox.commands import MIB, Limits
from referee.tools.app_targets import (
    MetTarget,
    PathNames,
    build_url_coverage,
    compute_address_key,
    explain_unreachable,
    get_app,
    join_outputs,
    list_seeds,
    name_streams,
    plan_with_routes,
    read_met_targets,
    select_output,
)
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
from referee.tools.curl_judging import judge_target
from referee.tools.curl_rules import PROBE_RULES
from referee.tools.curl_transfers import (
    Answer,
    Probe,
    dump_probe,
    load_probe,
    read_transfers,
    render_configuration,
)
from referee.tools.exposed_paths import Depth, list_paths
from referee.tools.http_headers import FOREIGN_ORIGIN
from referee.tools.program_version import probe_program_version
from referee.tools.reading import as_array, as_object, get_text, shorten
from referee.tools.running import run_tool_command, work_dir

__all__ = ["Curl", "create_tool"]

MAX_REDIRECTS: Final = 5
MAX_SCRIPTS: Final = 3
"""Scripts of the start page whose source map is asked for."""
MAX_SEED_PROBES: Final[dict[Depth, int]] = {"quick": 4, "standard": 20, "deep": 60}
"""Routes of the source that are asked for, by depth."""
MAX_WRITE_PROBES: Final[dict[Depth, int]] = {"quick": 1, "standard": 3, "deep": 15}
"""Routes that take a body and are sent one that cannot be parsed, by depth."""

MAX_PAGE_BYTES: Final = 256 * 1024
"""Of the start page, when its scripts are looked for."""

_SCRIPT: Final = re.compile(rb"""<script[^>]{0,300}\ssrc\s*=\s*["']?([^"'\s>]{1,300})""", re.IGNORECASE)
_BROKEN_JSON: Final = '{"name": '
_JSON_HEADER: Final = ("Content-Type", "application/json")
_PATH_CHARACTERS: Final = re.compile(r"/[A-Za-z0-9_.~!$&'()*+,;=:@%/?-]{0,500}")

_DESCRIPTION: Final = ToolDescription(
    name="curl",
    service=Service.dynamic,
    summary="Asks a running app for what it should not show, and judges headers, cookies and errors.",
    homepage_url="https://curl.se/",
    license="curl",
    languages=(),
    applies_to="a running app",
    parameters=(
        Parameter(
            name="timeout",
            type="integer",
            default=10,
            minimum=1,
            maximum=120,
            help="Longest time to connect, in seconds.",
        ),
        Parameter(
            name="max_time",
            type="integer",
            default=15,
            minimum=1,
            maximum=300,
            help="Longest time for one request, in seconds.",
        ),
        Parameter(
            name="follow_redirects",
            type="boolean",
            default=True,
            help="Follow redirects of the start page, within the app only.",
        ),
        Parameter(
            name="verify_ssl",
            type="boolean",
            default=True,
            help="Refuse certificates that cannot be verified.",
        ),
        Parameter(
            name="user_agent", type="string", default="", help="What to call itself; empty: curl's own name."
        ),
        Parameter(
            name="depth",
            type="string",
            default="standard",
            options=("quick", "standard", "deep"),
            help="How many paths to ask for.",
        ),
    ),
    presets={"quick": {"depth": "quick", "max_time": 5}, "deep": {"depth": "deep", "max_time": 30}},
    limits=Limits(wall_s=300, cpu_s=60, memory_bytes=512 * MIB, processes_count=16, output_bytes=16 * MIB),
    exit_codes={
        0: ExitMeaning.clean,
        2: ExitMeaning.usage_error,
        7: ExitMeaning.error,
        28: ExitMeaning.error,
        52: ExitMeaning.error,
        56: ExitMeaning.error,
        63: ExitMeaning.clean,
    },
    identity_fields=(),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=1.0,
)


class Curl:
    """The tool curl."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return the machine's curl."""
        return await kit.system_program("curl", "curl", "curl")

    async def probe_version(self, installation: Installation) -> str:
        """Return curl's version."""
        return await probe_program_version(installation.program, r"^curl (\d+(?:\.\d+)+)")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Remember the routes that the source declares."""
        return plan_with_routes(snapshot, parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Ask each target for its start page, then for everything else where that answered."""
        met = name_streams(get_app(kit))
        outputs: dict[str, RawOutput] = {}
        asked: list[JsonValue] = []
        for one in met:
            session = _Session(kit, plan, one)
            await session.run()
            outputs |= session.outputs
            asked += session.asked
        return join_outputs(met, outputs, {"commands": asked})

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Judge the answers.

        Raises:
            OutputUnreadable: The record of what was asked is absent, or curl's lines are not its own.
        """
        met, document = read_met_targets(raw)
        answers, cut = _read_all(raw, document)
        names = PathNames(plan)
        findings: list[ToolFinding] = []
        measurements: list[Measurement] = []
        for one in met:
            given = [answer for answer in answers.get(one.stream, []) if answer.status]
            findings += judge_target(one.target, given, names)
            measurements += _measure(one, given)
        return _build_report(met, answers, cut, findings, measurements, raw)


def create_tool() -> Tool:
    """Return the tool."""
    return Curl()


class _Session:
    """The commands of one target."""

    def __init__(self, kit: RunKit, plan: ToolPlan, met: MetTarget) -> None:
        self._kit = kit
        self._plan = plan
        self._met = met
        self.outputs: dict[str, RawOutput] = {}
        self.asked: list[JsonValue] = []

    async def run(self) -> None:
        """Ask for the start page, follow it, and ask for the table if it answered."""
        home = (await self._ask("home", [Probe(kind="home", method="GET", path="/")]))[:1]
        if not home or not home[0].status:
            return
        final = home[0]
        if self._plan.parameters["follow_redirects"]:
            for number in range(1, MAX_REDIRECTS + 1):
                path = _find_local_redirect(final, self._met.target.url)
                if path is None:
                    break
                step = await self._ask(f"redirect{number}", [Probe(kind="home", method="GET", path=path)])
                if not step or not step[0].status:
                    break
                final = step[0]
        await self._ask("table", list(_list_probes(self._plan, self._met, final)))

    async def _ask(self, name: str, probes: list[Probe]) -> tuple[Answer, ...]:
        prefix, boundary = f"{self._met.stream}.{name}", secrets.token_hex(16)
        configuration = render_configuration(self._met.target.url, probes, boundary, self._plan.parameters)
        output = await run_tool_command(
            self._kit,
            f"curl-{self._met.stream}-{name}",
            [str(self._kit.installation.program), "-q", "--config", "-"],
            working_dir=work_dir(self._kit),
            stdin=configuration,
        )
        self.outputs[prefix] = output
        self.asked.append(
            {
                "stream": self._met.stream,
                "prefix": prefix,
                "boundary": boundary,
                "probes": [dump_probe(probe) for probe in probes],
            }
        )
        return read_transfers(output, probes, boundary).answers


def _list_probes(plan: ToolPlan, met: MetTarget, home: Answer) -> Iterator[Probe]:
    depth = cast(Depth, plan.parameters["depth"])  # its options are these words
    nowhere = secrets.token_hex(8)
    for path in (f"/{nowhere}", f"/{nowhere}/{nowhere}.json"):
        yield Probe(kind="missing", method="GET", path=path)
    for entry in list_paths(depth):
        yield Probe(kind="exposed", method="GET", path=entry.path)
    for path in _list_scripts(home, met.target.url):
        yield Probe(kind="map", method="GET", path=f"{path}.map")
    seeds = list_seeds(plan, met.target)[: MAX_SEED_PROBES[depth]]
    for path in dict.fromkeys(("/", *seeds)):
        yield Probe(kind="cors", method="GET", path=path, headers=(("Origin", FOREIGN_ORIGIN),))
        preflight = (("Origin", FOREIGN_ORIGIN), ("Access-Control-Request-Method", "PUT"))
        yield Probe(kind="preflight", method="OPTIONS", path=path, headers=preflight)
    yield Probe(kind="page", method="GET", path="/login")
    yield Probe(kind="trace", method="TRACE", path="/")
    yield Probe(kind="error", method="GET", path="/%")
    writes = list_seeds(plan, met.target, "writes")[: MAX_WRITE_PROBES[depth]]
    for path in dict.fromkeys(("/", *writes)):
        yield Probe(kind="error", method="POST", path=path, headers=(_JSON_HEADER,), body=_BROKEN_JSON)


def _list_scripts(home: Answer, base_url: str) -> tuple[str, ...]:
    if not home.is_page:
        return ()
    paths = []
    for found in _SCRIPT.finditer(home.body[:MAX_PAGE_BYTES]):
        path = _find_local_path(found.group(1).decode("utf-8", errors="replace"), home, base_url)
        if path is not None and path.endswith((".js", ".mjs")):
            paths.append(path)
    return tuple(dict.fromkeys(paths))[:MAX_SCRIPTS]


def _find_local_redirect(answer: Answer, base_url: str) -> str | None:
    location = answer.get_header("location")
    if not 300 <= answer.status < 400 or not location:
        return None
    return _find_local_path(location, answer, base_url)


def _find_local_path(reference: str, answer: Answer, base_url: str) -> str | None:
    """Return the path and query of a reference that stays within the target, else None."""
    try:
        parts = urlsplit(urljoin(f"{base_url}{answer.probe.path}", reference))
        base = urlsplit(base_url)
    except ValueError:
        return None
    if (parts.scheme, parts.netloc) != (base.scheme, base.netloc):
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path if _PATH_CHARACTERS.fullmatch(path) else None


def _read_all(raw: RawOutput, document: dict[str, JsonValue]) -> tuple[dict[str, list[Answer]], list[str]]:
    """Return the answers by target's stream, and the names of commands whose output was cut."""
    answers: dict[str, list[Answer]] = {}
    cut = []
    for entry in as_array(document.get("commands"), "commands"):
        command = as_object(entry, "a command")
        probes = [load_probe(value) for value in as_array(command.get("probes"), "probes")]
        prefix = get_text(command, "prefix")
        transfers = read_transfers(select_output(raw, prefix), probes, get_text(command, "boundary"))
        answers.setdefault(get_text(command, "stream"), []).extend(transfers.answers)
        if transfers.is_cut:
            cut.append(prefix)
    return answers, cut


def _measure(met: MetTarget, answers: list[Answer]) -> Iterator[Measurement]:
    for answer in answers[:1]:
        if answer.probe.kind == "home":
            address = Address(target=met.target.name, method="GET", path="/")
            yield Measurement("first_byte_ms", answer.first_byte_ms, "ms", "lower", address=address)


def _build_report(
    met: tuple[MetTarget, ...],
    answers: dict[str, list[Answer]],
    cut: list[str],
    findings: list[ToolFinding],
    measurements: list[Measurement],
    raw: RawOutput,
) -> ToolReport:
    answered: list[str] = []
    unanswered: dict[str, str] = {}
    notices: list[str] = []
    for one in met:
        for answer in answers.get(one.stream, []):
            name = f"{one.target.name} {answer.probe.method} {answer.probe.path}"
            if answer.status:
                answered.append(name)
            else:
                unanswered[name] = answer.error or f"curl ended with {answer.curl_code}"
            location = answer.get_header("location")
            if answer.probe.kind == "home" and location:
                followed = _find_local_redirect(answer, one.target.url) is not None
                word = "redirects to" if followed else "redirects to another place, which was not asked:"
                notices.append(
                    shorten(f"{one.target.name} {answer.probe.path} {word} {location}.", limit=300)
                )
    failure = None
    if cut:
        failure = f"The output of {', '.join(cut)} ends before its end."
    is_silent = not answered and bool(unanswered)
    used = sorted({finding.rule_id for finding in findings})
    return ToolReport(
        findings=tuple(sorted(findings, key=compute_address_key)),
        rules=tuple(PROBE_RULES[rule_id].as_rule(rule_id) for rule_id in used),
        coverage=build_url_coverage(answered, unanswered),
        measurements=tuple(measurements),
        failure=failure,
        is_partial=bool(cut),
        notices=tuple(notices),
        unreachable=explain_unreachable(met, next(iter(unanswered.values()))) if is_silent else None,
    )
