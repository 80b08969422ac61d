"""nmap: which ports of a running app are open, and what answers there.

A connect scan of explicit ports, as an unprivileged user, inside the app's own network. There every
open port is the app's; in the machine's network only the targets' own ports are looked at, because
the others would be other people's.

Not from its exit code: nmap ends with 0 when no port was open and when no host resolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from referee.core.addresses import Address
from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue, Measurement, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import Confidence, ExitMeaning, Service, Severity
from referee.foundation.sandbox.commands import MIB, Limits
from referee.tools.app_targets import (
    MetTarget,
    build_url_coverage,
    compute_address_key,
    explain_unreachable,
    get_app,
    join_outputs,
    name_streams,
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
from referee.tools.known_ports import KNOWN_SERVICES, WEB_PORTS
from referee.tools.planning import get_words
from referee.tools.program_version import probe_program_version
from referee.tools.reading import OutputUnreadable, shorten
from referee.tools.running import run_tool_command, work_dir
from referee.tools.xml_reading import read_xml

__all__ = ["Nmap", "create_tool"]

_SCAN: Final = "scan"
"""Prefix of the scan's streams: one command looks at all targets."""
MAX_SCRIPT_CHARACTERS: Final = 400
EPHEMERAL_PORT: Final = 32_768
"""From here on the system gives out ports by itself (ip_local_port_range), another one each time."""

_SCRIPTS: Final = {
    "basic": ("http-title", "http-methods"),
    "service": ("http-title", "http-methods", "http-headers", "http-cookie-flags"),
}
"""Each is forced (+) when given: without it they pass over a web server on an unusual port."""

_RULES: Final = {
    "unexpected-service": Rule(
        "unexpected-service",
        "unexpected-service",
        "A service besides the app's own answers on a well-known port.",
        Severity.medium,
        "https://nmap.org/book/man-port-scanning-basics.html",
        (668,),
    ),
    "unexpected-port": Rule(
        "unexpected-port",
        "unexpected-port",
        "A port is open that is none of the app's targets.",
        Severity.low,
        "https://nmap.org/book/man-port-scanning-basics.html",
        (668,),
    ),
    "risky-http-methods": Rule(
        "risky-http-methods",
        "risky-http-methods",
        "The server accepts methods that repeat requests or open tunnels.",
        Severity.medium,
        "https://nmap.org/nsedoc/scripts/http-methods.html",
        (693,),
    ),
}
_RISKY_METHODS: Final = frozenset({"TRACE", "TRACK", "CONNECT", "DEBUG"})
"""PUT, PATCH and DELETE are what a REST interface is made of; these are not."""

_DESCRIPTION: Final = ToolDescription(
    name="nmap",
    service=Service.dynamic,
    summary="Finds open ports of a running app and names what answers there.",
    homepage_url="https://nmap.org/",
    license="LicenseRef-Nmap-NPSL",
    languages=(),
    applies_to="a running app",
    parameters=(
        Parameter(
            name="scan_type",
            type="string",
            default="service",
            options=("basic", "service"),
            help="basic: open ports and what their pages say; service: also which software answers.",
        ),
        Parameter(
            name="ports",
            type="array",
            default=tuple(str(port) for port in sorted({*KNOWN_SERVICES, *WEB_PORTS})),
            help="Ports to look at besides the targets', such as 5432 or 8000-8100; only in the app's own network.",
        ),
        Parameter(
            name="timing",
            type="string",
            default="T4",
            options=("T2", "T3", "T4", "T5"),
            help="nmap's timing template; higher is faster.",
        ),
        Parameter(
            name="timeout",
            type="integer",
            default=120,
            minimum=10,
            maximum=600,
            help="Longest time for the scan, in seconds.",
        ),
        Parameter(
            name="version_intensity",
            type="integer",
            default=2,
            minimum=0,
            maximum=9,
            help="How many questions to ask a service of scan_type service about itself.",
        ),
    ),
    presets={
        "quick": {"scan_type": "basic", "timeout": 20},
        "deep": {"scan_type": "service", "version_intensity": 5, "ports": ("1-65535",), "timeout": 300},
    },
    limits=Limits(wall_s=330, cpu_s=180, memory_bytes=512 * MIB, processes_count=32, output_bytes=32 * MIB),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.usage_error},
    identity_fields=("port",),
    has_line_identity=False,
    is_default=False,
    needs="running_app",
    cost_s=3.0,
)


@dataclass(frozen=True, slots=True)
class _Port:
    """One port as nmap saw it."""

    host: str
    number: int
    state: str
    service: str
    product: str
    scripts: Mapping[str, str]


class Nmap:
    """The tool nmap."""

    def describe(self) -> ToolDescription:
        """Return what the tool is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return the machine's nmap."""
        return await kit.system_program("nmap", "nmap", "nmap")

    async def probe_version(self, installation: Installation) -> str:
        """Return nmap's version."""
        return await probe_program_version(installation.program, r"^Nmap version (\S+)")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Check the ports.

        Raises:
            InvalidInput: The parameter ``ports`` holds something else than ports and ranges.
        """
        for word in get_words(parameters, "ports"):
            _check_ports(word)
        return ToolPlan(parameters=parameters)

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Scan all targets with one command."""
        app = get_app(kit)
        met = name_streams(app)
        has_own_network = app.network is not None
        argv = [str(kit.installation.program), *_build_arguments(met, plan, has_own_network=has_own_network)]
        raw = await run_tool_command(kit, "nmap", argv, working_dir=work_dir(kit))
        return join_outputs(met, {_SCAN: raw}, {"has_own_network": has_own_network})

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the XML.

        Raises:
            OutputUnreadable: It is absent, cut, has entities, or says that nmap did not finish.
        """
        met, document = read_met_targets(raw)
        scan = select_output(raw, _SCAN)
        root = read_xml(scan, "stdout")
        _check_finished(root)
        ports = list(_read_ports(root))
        return _build_report(met, ports, has_own_network=document.get("has_own_network") is True)


def create_tool() -> Tool:
    """Return the tool."""
    return Nmap()


def _check_ports(word: str) -> None:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", word)
    numbers = [int(number) for number in match.groups() if number] if match else []
    if not numbers or not all(1 <= number <= 65_535 for number in numbers) or numbers != sorted(numbers):
        raise InvalidInput(
            "tools.invalid_parameter",
            f"The parameter 'ports' of nmap holds {shorten(word, limit=40)!r}, which is no port.",
            "Write ports from 1 to 65535, or ranges such as 8000-8100.",
            tool="nmap",
            parameter="ports",
        )


def _build_arguments(met: tuple[MetTarget, ...], plan: ToolPlan, *, has_own_network: bool) -> list[str]:
    parameters = plan.parameters
    words = [str(one.target.port) for one in met]
    if has_own_network:
        words += get_words(parameters, "ports")
    scan_type = str(parameters["scan_type"])
    arguments = ["-n", "-Pn", "-sT", f"-{parameters['timing']}", "--unprivileged"]
    if scan_type == "service":
        arguments += ["-sV", "--version-intensity", str(parameters["version_intensity"])]
    arguments += ["--host-timeout", f"{parameters['timeout']}s", "--script-timeout", "15s"]
    arguments += ["--script", ",".join(f"+{name}" for name in _SCRIPTS[scan_type])]
    arguments += ["-p", ",".join(dict.fromkeys(words)), "-oX", "-"]
    return arguments + sorted({_find_host(one) for one in met})


def _find_host(met: MetTarget) -> str:
    return urlsplit(met.target.url).hostname or "127.0.0.1"


def _check_finished(root: Element) -> None:
    if root.tag != "nmaprun":
        raise OutputUnreadable(f"The XML is not nmap's: its root is {shorten(root.tag, limit=40)!r}.")
    finished = root.find("runstats/finished")
    if finished is None:
        raise OutputUnreadable("nmap's XML does not say that the scan finished.")
    if finished.get("exit") != "success":
        reason = shorten(finished.get("errormsg") or "without a reason", limit=300)
        raise OutputUnreadable(f"nmap says that the scan failed: {reason}.")


def _read_ports(root: Element) -> Iterator[_Port]:
    for host in root.iter("host"):
        address = host.find("address")
        name = address.get("addr", "") if address is not None else ""
        for element in host.iterfind("ports/port"):
            state, service = element.find("state"), element.find("service")
            number = element.get("portid", "")
            if state is None or not number.isdecimal() or element.get("protocol") != "tcp":
                raise OutputUnreadable("A port in nmap's XML has no number or no state.")
            details = service.attrib if service is not None else {}
            product = " ".join(details[key] for key in ("product", "version") if key in details)
            yield _Port(
                host=name,
                number=int(number),
                state=state.get("state", ""),
                service=shorten(details.get("name", ""), limit=80),
                product=shorten(product, limit=120),
                scripts={
                    script.get("id", ""): shorten(
                        script.get("output", "").strip(), limit=MAX_SCRIPT_CHARACTERS
                    )
                    for script in element.iterfind("script")
                },
            )


def _build_report(met: tuple[MetTarget, ...], ports: list[_Port], *, has_own_network: bool) -> ToolReport:
    seen = {port.number: port for port in ports}
    answered: list[str] = []
    unanswered: dict[str, str] = {}
    findings: list[ToolFinding] = []
    notices: list[str] = []
    for one in met:
        port = seen.get(one.target.port)
        name = f"{one.target.name} {one.target.url}"
        if port is None or port.state != "open":
            state = "not in nmap's report" if port is None else port.state
            unanswered[name] = f"port {one.target.port} is {state}"
            continue
        answered.append(name)
        findings += _judge_methods(one, port)
        notices += _describe_port(one, port)
    own = {one.target.port for one in met}
    opened = [port for port in ports if port.state == "open"]
    foreign = [port for port in opened if port.number not in own]
    findings += [_judge_port(port) for port in foreign if port.number < EPHEMERAL_PORT]
    passing = sorted(port.number for port in foreign if port.number >= EPHEMERAL_PORT)
    if passing:
        numbers = ", ".join(str(number) for number in passing[:20])
        notices.append(f"Ports that the system gives out by itself are open too: {numbers}.")
    if not has_own_network:
        notices.append("The app shares the machine's network, so only its own ports were looked at.")
    reason = next(iter(unanswered.values()), "")
    return ToolReport(
        findings=tuple(sorted(findings, key=compute_address_key)),
        rules=tuple(_RULES[rule_id] for rule_id in sorted({finding.rule_id for finding in findings})),
        coverage=build_url_coverage(answered, unanswered),
        measurements=(Measurement("open_ports_count", float(len(opened)), "ports", "lower"),),
        notices=tuple(notices),
        unreachable=None if answered else explain_unreachable(met, reason),
    )


def _judge_port(port: _Port) -> ToolFinding:
    known = KNOWN_SERVICES.get(port.number)
    what = f" ({port.product or port.service})" if port.product or port.service else ""
    if known is not None:
        rule_id, severity, cwe_ids = "unexpected-service", known.severity, known.cwe_ids
        message = f"Port {port.number} of {known.name} is open{what}, besides the app's own."
    else:
        rule_id, severity, cwe_ids = "unexpected-port", Severity.low, (668,)
        message = f"Port {port.number} is open{what} and is none of the app's targets."
    properties: dict[str, JsonValue] = {
        "evidence": f"{port.number}/tcp open {port.service} {port.product}".strip(),
        "solution": "Bind it to a socket file or a network of its own, or do not start it.",
        "request": f"TCP connect to port {port.number}",
    }
    # The port is no target's, so it is what names the place.
    return ToolFinding(
        rule_id=rule_id,
        message=shorten(message),
        severity=severity,
        location=None,
        tool_severity=port.state,
        confidence=Confidence.high if port.product else Confidence.medium,
        cwe_ids=cwe_ids,
        identity=(f"tcp/{port.number}",),
        address=Address(target=f"tcp/{port.number}"),
        properties=properties,
    )


def _judge_methods(met: MetTarget, port: _Port) -> Iterator[ToolFinding]:
    output = port.scripts.get("http-methods", "")
    supported = re.search(r"Supported Methods:([A-Z \t]*)", output)
    methods = sorted(_RISKY_METHODS & set(supported.group(1).split())) if supported else []
    if methods:
        rule = _RULES["risky-http-methods"]
        yield ToolFinding(
            rule_id=rule.rule_id,
            message=f"The server says that it accepts {', '.join(methods)}.",
            severity=rule.default_severity,
            location=None,
            confidence=Confidence.medium,
            cwe_ids=rule.cwe_ids,
            identity=("",),
            address=Address(target=met.target.name, method="OPTIONS", path="/"),
            properties={
                "url": f"{met.target.url}/",
                "evidence": output,
                "solution": "Refuse methods that the app does not need.",
                "request": "OPTIONS /",
            },
        )


def _describe_port(met: MetTarget, port: _Port) -> Iterator[str]:
    if port.product:
        yield f"{met.target.name} is served by {port.product}."
    title = port.scripts.get("http-title", "")
    if title and not title.startswith("Site doesn't have a title"):
        yield f"{met.target.name} has the title {shorten(' '.join(title.split()), limit=120)!r}."
    flags = port.scripts.get("http-cookie-flags", "")
    if flags:
        yield f"{met.target.name} sets cookies without flags: {shorten(' '.join(flags.split()), limit=200)}."
