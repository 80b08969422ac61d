"""What the answers to the probes say: findings with stable addresses, once each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from referee.core.addresses import Address
from referee.core.findings import JsonValue, ToolFinding
from referee.core.targets import Target
from referee.core.vocabulary import Confidence
from referee.tools.app_targets import PathNames
from referee.tools.curl_rules import PROBE_RULES
from referee.tools.curl_transfers import Answer
from referee.tools.exposed_paths import find_exposed_path, hide_values, is_exposed
from referee.tools.http_headers import (
    Observation,
    judge_cookies,
    judge_cors,
    judge_disclosure,
    judge_protection,
)
from referee.tools.reading import decode_text, shorten

__all__ = ["judge_target"]

_DEBUGGERS: Final = (
    (re.compile(rb"Werkzeug Debugger|__debugger__=yes|EVALEX = true"), "Werkzeug's debugger"),
)
_TRACES: Final = (
    (re.compile(rb"Traceback \(most recent call last\)"), "a Python traceback"),
    (
        re.compile(rb"(?:\n|<br>|&nbsp;)\s{0,16}at .{1,200}\.(?:c|m)?[jt]s:\d+:\d+"),
        "a JavaScript stack trace",
    ),
    (re.compile(rb"You're seeing this error because you have <code>DEBUG = True"), "Django's debug page"),
    (
        re.compile(rb"(?:sqlite3|psycopg2?|mysql\.connector|sqlalchemy\.exc)\.\w*Error"),
        "an error of the database",
    ),
)
_SHARING: Final = ("cors-any-origin-with-credentials", "cors-any-origin-reflected", "cors-wildcard")
"""Rules about other sites that may read, the worst first."""
_MAP: Final = re.compile(rb"""["']mappings["']\s*:""")
_MAX_JUDGED_BYTES: Final = 256 * 1024
"""Of a body, for traces: an error page has them near its beginning."""


def judge_target(target: Target, answers: Sequence[Answer], names: PathNames) -> list[ToolFinding]:
    """Return the findings about one target.

    Args:
        target: The target.
        answers: All its answers, the last home page among them.
        names: Names for paths.
    """
    judge = _Judge(target, names)
    homes = [answer for answer in answers if answer.probe.kind == "home"]
    usual = [*homes, *(answer for answer in answers if answer.probe.kind == "missing")]
    is_secure = target.url.startswith("https://")
    page = _choose_page(homes, answers)
    if page is not None:
        judge.add_all(page, judge_protection(page, is_secure=is_secure))
    for answer in answers:
        judge.add_all(answer, judge_disclosure(answer), is_about_target=True)
        judge.add_all(answer, judge_cookies(answer, is_secure=is_secure), is_about_target=True)
        judge.add_all(answer, _judge_errors(answer))
        match answer.probe.kind:
            case "exposed":
                judge.add_all(answer, _judge_exposure(answer, usual))
            case "map":
                judge.add_all(answer, _judge_map(answer))
            case "cors" | "preflight":
                judge.add_all(answer, judge_cors(answer), is_about_target=True)
            case "trace":
                judge.add_all(answer, _judge_trace(answer), is_about_target=True)
            case _:
                pass
    return _keep_worst_sharing(judge.findings)


def _choose_page(homes: Sequence[Answer], answers: Sequence[Answer]) -> Answer | None:
    """Return the page whose protection is judged: the start page, else one of the app's own, else any answer."""
    own = [
        answer for answer in answers if answer.probe.kind in ("page", "cors") or answer.probe.path == "/admin"
    ]
    return next((answer for answer in [*homes[::-1], *own] if answer.is_page), homes[-1] if homes else None)


def _keep_worst_sharing(findings: list[ToolFinding]) -> list[ToolFinding]:
    """Leave out that everybody may read what is public where it is known that everybody may read more."""
    rule_ids = {finding.rule_id for finding in findings}
    for rank, rule_id in enumerate(_SHARING):
        if rule_id in rule_ids:
            milder = _SHARING[rank + 1 :]
            return [finding for finding in findings if finding.rule_id not in milder]
    return findings


class _Judge:
    """Turns observations into findings, each rule once per place."""

    def __init__(self, target: Target, names: PathNames) -> None:
        self._target = target
        self._names = names
        self._seen: set[tuple[str, str, str]] = set()
        self.findings: list[ToolFinding] = []

    def add_all(
        self, answer: Answer, observations: Iterable[Observation], *, is_about_target: bool = False
    ) -> None:
        """Add what was observed at an answer; what holds for the whole target is told once, without a path."""
        path = "" if is_about_target else self._names.name(answer.probe.path)
        for observation in observations:
            key = (observation.rule_id, path, observation.parameter)
            if key not in self._seen:
                self._seen.add(key)
                self.findings.append(self._make_finding(answer, observation, path))

    def _make_finding(self, answer: Answer, observation: Observation, path: str) -> ToolFinding:
        rule = PROBE_RULES[observation.rule_id]
        probe = answer.probe
        properties: dict[str, JsonValue] = {
            "url": shorten(f"{self._target.url}{probe.path}", limit=300),
            "request": shorten(_describe_request(answer), limit=500),
            "status": answer.status,
            "solution": rule.solution,
        }
        if observation.evidence:
            properties["evidence"] = shorten(observation.evidence, limit=500)
        return ToolFinding(
            rule_id=observation.rule_id,
            message=shorten(observation.message),
            severity=observation.severity or rule.severity,
            location=None,
            confidence=Confidence.medium if observation.rule_id == "open-admin-page" else Confidence.high,
            cwe_ids=rule.cwe_ids,
            identity=(),
            address=Address(
                target=self._target.name,
                method=probe.method if path else "",
                path=path,
                parameter=observation.parameter,
            ),
            properties=properties,
        )


def _describe_request(answer: Answer) -> str:
    headers = "".join(f", {name}: {value}" for name, value in answer.probe.headers)
    body = f", body {answer.probe.body}" if answer.probe.body else ""
    return f"{answer.probe.method} {answer.probe.path}{headers}{body}"


def _judge_exposure(answer: Answer, usual: Sequence[Answer]) -> Iterator[Observation]:
    entry = find_exposed_path(answer.probe.path)
    if entry is not None and is_exposed(entry, answer, usual):
        summary = PROBE_RULES[entry.rule_id].summary
        yield Observation(
            entry.rule_id, f"{entry.path.partition('?')[0]}: {summary}", hide_values(answer.body)
        )


def _judge_map(answer: Answer) -> Iterator[Observation]:
    if 200 <= answer.status < 300 and not answer.is_html and _MAP.search(answer.body):
        yield Observation("exposed-source-map", PROBE_RULES["exposed-source-map"].summary)


def _judge_trace(answer: Answer) -> Iterator[Observation]:
    repeated = re.search(rb"^TRACE /", answer.body, re.MULTILINE)
    if 200 <= answer.status < 300 and (answer.media_type == "message/http" or repeated):
        yield Observation("trace-enabled", PROBE_RULES["trace-enabled"].summary, hide_values(answer.body))


def _judge_errors(answer: Answer) -> Iterator[Observation]:
    """Errors count wherever they show; a 200 that quotes a trace, such as a tutorial's text, does not."""
    if answer.status < 400:
        return
    body = answer.body[:_MAX_JUDGED_BYTES]
    for rule_id, table in (("debugger-enabled", _DEBUGGERS), ("stack-trace", _TRACES)):
        for pattern, what in table:
            found = pattern.search(body)
            if found:
                evidence = decode_text(body[max(0, found.start() - 40) : found.end() + 200])
                yield Observation(rule_id, f"The answer to a request that fails shows {what}.", evidence)
                return
    if answer.status >= 500 and answer.status != 501:
        yield Observation("server-error", f"The request is answered with status {answer.status}.")
