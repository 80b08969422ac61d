"""Advisories: what an OSV record says of one ecosystem, checked, bounded and ready to match.

A record comes from outside, so everything in it is a claim: sizes are
limited, versions must parse, and a record of which nothing usable is left is
refused with a reason instead of silently matching nothing.

The same problem is often recorded twice for a package, by the Python
packaging authority and by GitHub, each naming the other as an alias.
``group_advisories`` joins them, so a problem is told once.

Source:
    OSV schema 1.6, sections "affected" and "Evaluation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from referee.core.findings import JsonValue
from referee.core.vocabulary import Severity
from referee.tools.advisories.cvss import compute_base_score
from referee.tools.advisories.versions import Ecosystem, SortKey, parse_version
from referee.tools.severity import compute_severity_from_cvss

__all__ = [
    "Advisory",
    "AdvisoryGroup",
    "RecordRefused",
    "VersionEvent",
    "group_advisories",
    "normalize_name",
    "parse_records",
]

EventKind = Literal["introduced", "fixed", "last_affected"]

MAX_ALIASES = 60
MAX_EVENTS = 1_000
MAX_VERSIONS = 20_000
"""The busiest packages of PyPI have some 3,000 versions."""
MAX_SUMMARY_CHARACTERS = 400
MAX_NAME_CHARACTERS = 214
"""npm's limit for a package name; PyPI's are shorter."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,99}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EVENT_KINDS: tuple[EventKind, ...] = ("introduced", "fixed", "last_affected")
_SEVERITY_WORDS = {
    "critical": Severity.critical,
    "high": Severity.high,
    "moderate": Severity.medium,
    "medium": Severity.medium,
    "low": Severity.low,
}
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class RecordRefused(ValueError):
    """A record that cannot be used; the message is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """One step of an affected range."""

    kind: EventKind
    version: str
    """As the record writes it; ``0`` with ``introduced`` means "from the beginning"."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """What one record says of one package."""

    advisory_id: str
    ecosystem: Ecosystem
    name: str
    """Normalised package name."""
    aliases: tuple[str, ...]
    summary: str
    published_on: str
    modified_on: str
    """Dates (ISO); the newest ``modified_on`` of a store is the date of its data."""
    severity: Severity
    severity_basis: str
    """The CVSS vector or the word the severity was made from; empty when the record has none."""
    cwe_ids: tuple[int, ...]
    ranges: tuple[tuple[VersionEvent, ...], ...]
    """Each sorted by version."""
    versions: tuple[str, ...]
    """Versions named one by one, those of PyPI in normal form."""

    def affects(self, version: str) -> bool:
        """Return whether ``version`` is affected.

        Raises:
            ValueError: It is not a version of the ecosystem.
        """
        key = parse_version(self.ecosystem, version)
        if (str(key) if isinstance(key, Version) else version) in self.versions:
            return True
        return any(_is_in_range(self.ecosystem, key, events) for events in self.ranges)

    def fixed_versions(self, version: str) -> tuple[str, ...]:
        """Return the versions after ``version`` that fix it, nearest first."""
        key = parse_version(self.ecosystem, version)
        fixed = {event.version for events in self.ranges for event in events if event.kind == "fixed"}
        keyed = [(parse_version(self.ecosystem, text), text) for text in fixed]
        return tuple(text for later, text in sorted(keyed, key=lambda pair: pair[0]) if _is_less(key, later))

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as an OSV record of this package alone; ``parse_records`` reads it back."""
        events: list[JsonValue] = [
            [{event.kind: event.version} for event in events] for events in self.ranges
        ]
        range_type = "SEMVER" if self.ecosystem == "npm" else "ECOSYSTEM"
        specific: dict[str, JsonValue] = {"cwe_ids": [f"CWE-{number}" for number in self.cwe_ids]}
        severity: list[JsonValue] = []
        if self.severity_basis.startswith("CVSS:3"):
            severity.append({"type": "CVSS_V3", "score": self.severity_basis})
        elif self.severity_basis:
            specific["severity"] = self.severity_basis
        return {
            "schema_version": "1.6.0",
            "id": self.advisory_id,
            "modified": f"{self.modified_on}T00:00:00Z",
            "published": f"{self.published_on}T00:00:00Z",
            "aliases": list(self.aliases),
            "summary": self.summary,
            "severity": severity,
            "affected": [
                {
                    "package": {"ecosystem": self.ecosystem, "name": self.name},
                    "ranges": [{"type": range_type, "events": entry} for entry in events],
                    "versions": list(self.versions),
                }
            ],
            "database_specific": specific,
        }


@dataclass(frozen=True, slots=True)
class AdvisoryGroup:
    """All advisories on one problem of one package."""

    key: str
    """The id it is known by everywhere: its first CVE, else its GHSA, else its own."""
    members: tuple[Advisory, ...]
    ids: tuple[str, ...] = field(default=())
    """Every id and alias, sorted."""

    def affects(self, version: str) -> bool:
        """Return whether any of its advisories says that ``version`` is affected."""
        return any(member.affects(version) for member in self.members)

    def fixed_versions(self, version: str) -> tuple[str, ...]:
        """Return the versions that fix it, nearest first, from the first advisory that names any."""
        for member in self.members:
            if member.affects(version) and (fixed := member.fixed_versions(version)):
                return fixed
        return ()

    @property
    def lead(self) -> Advisory:
        """The advisory whose words are shown: the one with a severity of its own, else the first."""
        return next((member for member in self.members if member.severity_basis), self.members[0])


def normalize_name(ecosystem: Ecosystem, name: str) -> str:
    """Return the name by which the ecosystem knows a package (PEP 503 for PyPI)."""
    return str(canonicalize_name(name)) if ecosystem == "PyPI" else name


def parse_records(record: object) -> list[Advisory]:
    """Return what one OSV record says of PyPI and npm packages, one advisory per package.

    The list is empty for a withdrawn record and for one of other ecosystems only.

    Raises:
        RecordRefused: It is not an OSV record, breaks a limit, or nothing in it can be matched.
    """
    if not isinstance(record, dict):
        raise RecordRefused("not a JSON object")
    advisory_id = record.get("id")
    if not isinstance(advisory_id, str) or _ID.fullmatch(advisory_id) is None:
        raise RecordRefused("no usable id")
    if record.get("withdrawn"):
        return []
    packages = _packages_of(record)
    if not packages:
        return []
    severity, basis = _severity_of(record, advisory_id)
    aliases = tuple(
        sorted({text for text in _strings(record.get("aliases"), MAX_ALIASES) if _ID.fullmatch(text)})
    )
    advisories = []
    for (ecosystem, name), entries in packages.items():
        ranges, versions = _matchers_of(ecosystem, entries)
        if not ranges and not versions:
            continue
        advisories.append(
            Advisory(
                advisory_id=advisory_id,
                ecosystem=ecosystem,
                name=name,
                aliases=aliases,
                summary=_summary_of(record),
                published_on=_date_of(record.get("published")),
                modified_on=_date_of(record.get("modified")),
                severity=severity,
                severity_basis=basis,
                cwe_ids=_cwe_ids_of(record),
                ranges=ranges,
                versions=versions,
            )
        )
    if not advisories:
        raise RecordRefused("no version range that can be read")
    return advisories


def group_advisories(advisories: Iterable[Advisory]) -> tuple[AdvisoryGroup, ...]:
    """Join advisories that name each other as aliases; sorted by key."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in sorted(advisories, key=lambda one: one.advisory_id):
        ids = {advisory.advisory_id, *advisory.aliases}
        members = [advisory]
        apart = []
        for known_ids, known_members in groups:
            if known_ids & ids:
                ids |= known_ids
                members = known_members + members
            else:
                apart.append((known_ids, known_members))
        groups = [*apart, (ids, members)]
    made = [
        AdvisoryGroup(key=_key_of(ids), members=tuple(members), ids=tuple(sorted(ids)))
        for ids, members in groups
    ]
    return tuple(sorted(made, key=lambda group: group.key))


def _key_of(ids: set[str]) -> str:
    for prefix in ("CVE-", "GHSA-"):
        if known := sorted(one for one in ids if one.startswith(prefix)):
            return known[0]
    return min(ids)


def _is_less(left: SortKey, right: SortKey) -> bool:
    # Both come from parse_version with the same ecosystem, so they are of the same class.
    return left < right  # type: ignore[operator]


def _is_in_range(ecosystem: Ecosystem, key: SortKey, events: tuple[VersionEvent, ...]) -> bool:
    is_affected = False
    for event in events:
        if event.kind == "introduced" and event.version == "0":
            is_affected = True
            continue
        bound = parse_version(ecosystem, event.version)
        if event.kind == "introduced" and not _is_less(key, bound):
            is_affected = True
        elif (event.kind == "fixed" and not _is_less(key, bound)) or (
            event.kind == "last_affected" and _is_less(bound, key)
        ):
            is_affected = False
    return is_affected


def _packages_of(record: Mapping[str, object]) -> dict[tuple[Ecosystem, str], list[Mapping[str, object]]]:
    found: dict[tuple[Ecosystem, str], list[Mapping[str, object]]] = {}
    affected = record.get("affected")
    for entry in affected if isinstance(affected, list) else []:
        package = entry.get("package") if isinstance(entry, dict) else None
        if not isinstance(package, dict):
            continue
        ecosystem, name = package.get("ecosystem"), package.get("name")
        if ecosystem not in ("PyPI", "npm") or not isinstance(name, str) or not name.isprintable():
            continue
        if not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise RecordRefused("a package name that no registry allows")
        found.setdefault((ecosystem, normalize_name(ecosystem, name)), []).append(entry)
    return found


def _matchers_of(
    ecosystem: Ecosystem, entries: list[Mapping[str, object]]
) -> tuple[tuple[tuple[VersionEvent, ...], ...], tuple[str, ...]]:
    ranges: list[tuple[VersionEvent, ...]] = []
    versions: set[str] = set()
    for entry in entries:
        versions.update(_normal_versions(ecosystem, _strings(entry.get("versions"), MAX_VERSIONS)))
        described = entry.get("ranges")
        for one in described if isinstance(described, list) else []:
            if isinstance(one, dict) and one.get("type") in ("ECOSYSTEM", "SEMVER"):
                events = _events_of(ecosystem, one.get("events"))
                if events and events not in ranges:
                    ranges.append(events)
    return tuple(ranges), tuple(sorted(versions))


def _normal_versions(ecosystem: Ecosystem, versions: Iterable[str]) -> Iterator[str]:
    for version in versions:
        if ecosystem == "npm":
            yield version
            continue
        with suppress(InvalidVersion):
            yield str(Version(version))


def _events_of(ecosystem: Ecosystem, described: object) -> tuple[VersionEvent, ...]:
    """Return the events sorted by version; nothing when one of them cannot be read."""
    if not isinstance(described, list):
        return ()
    if len(described) > MAX_EVENTS:
        raise RecordRefused("a range of too many events")
    first: list[VersionEvent] = []
    rest: list[tuple[SortKey, int, VersionEvent]] = []
    for entry in described:
        for kind in _EVENT_KINDS:
            version = entry.get(kind) if isinstance(entry, dict) else None
            if not isinstance(version, str):
                continue
            event = VersionEvent(kind, version)
            if kind == "introduced" and version == "0":
                first = [event]
                continue
            try:
                rest.append((parse_version(ecosystem, version), _EVENT_KINDS.index(kind), event))
            except ValueError:
                return ()
    if not any(event.kind == "introduced" for event in [*first, *(event for _, _, event in rest)]):
        return ()
    rest.sort(key=lambda item: (item[0], item[1]))
    return (*first, *(event for _, _, event in rest))


def _severity_of(record: Mapping[str, object], advisory_id: str) -> tuple[Severity, str]:
    scored: list[tuple[float, str]] = []
    severities = record.get("severity")
    for entry in severities if isinstance(severities, list) else []:
        score = entry.get("score") if isinstance(entry, dict) else None
        if isinstance(score, str):
            try:
                scored.append((compute_base_score(score), score))
            except ValueError:
                continue
    if scored:
        best, vector = max(scored)
        return compute_severity_from_cvss(best), vector
    specific = record.get("database_specific")
    word = specific.get("severity") if isinstance(specific, dict) else None
    if isinstance(word, str) and word.lower() in _SEVERITY_WORDS:
        return _SEVERITY_WORDS[word.lower()], word.upper()
    if advisory_id.startswith("MAL-"):
        return Severity.critical, "CRITICAL"
    return Severity.medium, ""


def _cwe_ids_of(record: Mapping[str, object]) -> tuple[int, ...]:
    specific = record.get("database_specific")
    texts = _strings(specific.get("cwe_ids"), 50) if isinstance(specific, dict) else ()
    numbers = {text[4:] for text in texts if text.startswith("CWE-")}
    return tuple(sorted(int(number) for number in numbers if number.isdecimal() and len(number) <= 6))


def _summary_of(record: Mapping[str, object]) -> str:
    for name in ("summary", "details"):
        text = record.get(name)
        if isinstance(text, str) and text.strip():
            line = _CONTROL_CHARACTERS.sub(" ", text.strip().split("\n", 1)[0]).strip("# ")
            if len(line) > MAX_SUMMARY_CHARACTERS:
                line = line[: MAX_SUMMARY_CHARACTERS - 1].rstrip() + "…"
            if line:
                return line
    return "No description."


def _date_of(value: object) -> str:
    match = _DATE.match(value) if isinstance(value, str) else None
    return match.group() if match else "1970-01-01"


def _strings(value: object, limit: int) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    if len(value) > limit:
        raise RecordRefused("a list that is longer than the limit")
    return tuple(item for item in value if isinstance(item, str) and 0 < len(item) <= 256)
