"""Requests for curl as one configuration, and curl's output as answers.

Every transfer prints headers, body, and then a line that begins with a boundary nobody else knows,
followed by curl's own numbers as JSON. An app can print what it likes: it cannot guess the boundary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from referee.core.findings import JsonValue
from referee.tools.contract import ParameterValue, RawOutput
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    decode_text,
    describe_end,
    get_text,
    shorten,
)

__all__ = [
    "Answer",
    "Probe",
    "Transfers",
    "dump_probe",
    "load_probe",
    "read_transfers",
    "render_configuration",
]

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""A body that announces more is not fetched; nothing we look for is larger."""
MAX_RATE: Final = "2M"
"""Bytes per second: bounds a body that announces nothing, together with the time limit."""
MAX_HEADERS: Final = 200
MAX_INTERIM_ANSWERS: Final = 10

_STATUS_LINE: Final = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})")
_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One request."""

    kind: str
    """What it is for: ``home``, ``missing``, ``exposed``, ``page``, ``map``, ``cors``, ``preflight``,
    ``trace`` or ``error``."""
    method: str
    path: str
    """As it is sent, query included."""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for a probe."""

    probe: Probe
    status: int
    """0 when no answer came."""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case, in the order they came."""
    body: bytes = field(default=b"", repr=False)
    first_byte_ms: float = 0.0
    curl_code: int = 0
    """curl's own code for this transfer."""
    error: str = ""
    """curl's sentence when it met with an error; else empty."""

    def get_header(self, name: str) -> str:
        """Return the values of a header, joined; empty when there is none."""
        return ", ".join(value for key, value in self.headers if key == name)

    def list_headers(self, name: str) -> tuple[str, ...]:
        """Return each value of a header that may come several times."""
        return tuple(value for key, value in self.headers if key == name)

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.get_header("content-type").partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        """Whether a browser would show it as a page."""
        return self.media_type in ("text/html", "application/xhtml+xml")

    @property
    def is_page(self) -> bool:
        """Whether it is a page that a person gets to see."""
        return self.is_html and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Transfers:
    """All answers of one curl process."""

    answers: tuple[Answer, ...]
    is_cut: bool
    """True when fewer came out than were asked for."""


def dump_probe(probe: Probe) -> JsonValue:
    """Return a probe as JSON, for the record of a run."""
    return {
        "kind": probe.kind,
        "method": probe.method,
        "path": probe.path,
        "headers": [list(pair) for pair in probe.headers],
        "body": probe.body,
    }


def load_probe(value: JsonValue) -> Probe:
    """Return the probe that ``dump_probe`` wrote.

    Raises:
        OutputUnreadable: It is something else.
    """
    values = as_object(value, "a probe")
    headers = []
    for entry in as_array(values.get("headers"), "headers"):
        pair = as_array(entry, "a header")
        if len(pair) != 2:
            raise OutputUnreadable("A header is not a pair.")
        headers.append((str(pair[0]), str(pair[1])))
    return Probe(
        kind=get_text(values, "kind"),
        method=get_text(values, "method"),
        path=get_text(values, "path"),
        headers=tuple(headers),
        body=get_text(values, "body", default=""),
    )


def render_configuration(
    base_url: str, probes: Sequence[Probe], boundary: str, parameters: Mapping[str, ParameterValue]
) -> bytes:
    """Return the text that ``curl --config -`` reads: one transfer after the other, in order."""
    return "next\n".join(_render_transfer(base_url, probe, boundary, parameters) for probe in probes).encode()


def _render_transfer(
    base_url: str, probe: Probe, boundary: str, parameters: Mapping[str, ParameterValue]
) -> str:
    lines = [
        _option("url", f"{base_url}{probe.path}"),
        _option("request", probe.method),
        "include",
        "silent",
        "show-error",
        "globoff",
        "path-as-is",
        _option("proto", "=http,https"),
        _option("noproxy", "*"),
        _option("connect-timeout", str(parameters["timeout"])),
        _option("max-time", str(parameters["max_time"])),
        _option("max-filesize", str(MAX_BODY_BYTES)),
        _option("limit-rate", MAX_RATE),
        _option("output", "-"),
        _option("write-out", f"\n--{boundary} %{{json}}\n"),
    ]
    if parameters["user_agent"]:
        lines.append(_option("user-agent", str(parameters["user_agent"])))
    if not parameters["verify_ssl"]:
        lines.append("insecure")
    lines += [_option("header", f"{name}: {value}") for name, value in probe.headers]
    if probe.body:
        lines.append(_option("data-raw", probe.body))
    return "\n".join(lines) + "\n"


def _option(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'{name} = "{escaped}"'


def read_transfers(raw: RawOutput, probes: Sequence[Probe], boundary: str) -> Transfers:
    """Return the answers that one curl process printed, in the order of the probes.

    Raises:
        OutputUnreadable: There is no output at all, or a line of numbers is not curl's.
    """
    data = raw.streams.get("stdout")
    if data is None:
        raise OutputUnreadable(f"stdout is missing. {describe_end(raw)}")
    if raw.end == "exited" and not data and raw.exit_code == 2:
        raise OutputUnreadable(
            f"curl refused its configuration. {decode_text(raw.streams.get('stderr', b''))[:300]}"
        )
    answers: list[Answer] = []
    position, marker = 0, f"\n--{boundary} ".encode()
    for probe in probes:
        start = data.find(marker, position)
        end = data.find(b"\n", start + len(marker)) if start >= 0 else -1
        if end < 0:
            break
        numbers = data[start + len(marker) : end]
        answers.append(_read_answer(probe, data[position:start], numbers))
        position = end + 1
    return Transfers(tuple(answers), is_cut="stdout" in raw.truncated or len(answers) < len(probes))


def _read_answer(probe: Probe, printed: bytes, numbers: bytes) -> Answer:
    try:
        values = as_object(json.loads(decode_text(numbers)), "a transfer")
    except (ValueError, RecursionError):
        raise OutputUnreadable("A transfer's numbers are not whole JSON.") from None
    code, status, started = (
        values.get("exitcode"),
        values.get("response_code"),
        values.get("time_starttransfer"),
    )
    if not isinstance(code, int) or not isinstance(status, int) or not isinstance(started, int | float):
        raise OutputUnreadable("A transfer's numbers lack the exit code, the status or the time.")
    headers, body = _split_printed(printed)
    error = values.get("errormsg")
    return Answer(
        probe=probe,
        status=status,
        headers=headers,
        body=body,
        first_byte_ms=round(float(started) * 1000, 3),
        curl_code=code,
        error=shorten(error, limit=300) if isinstance(error, str) else "",
    )


def _split_printed(printed: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Return the final headers and the body; interim answers (1xx) before them are left out."""
    block = b""
    for _ in range(MAX_INTERIM_ANSWERS + 1):
        match, end = _STATUS_LINE.match(printed), _HEADERS_END.search(printed)
        if match is None or end is None:
            break
        block, printed = printed[: end.start()], printed[end.end() :]
        if not match.group(1).startswith(b"1"):
            break
    headers = []
    for line in decode_text(block).splitlines()[1 : MAX_HEADERS + 1]:
        name, separator, value = line.partition(":")
        if separator:
            headers.append((name.strip().lower(), shorten(value.strip())))
    return tuple(headers), printed
