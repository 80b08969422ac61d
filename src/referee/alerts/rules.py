"""What a rule says: checked words and numbers, and the forms people write them in.

The short form of other systems is taken too::

    name: duplicates
    condition: duplicate_rate > 5%
    severity: critical
    notify: [ops]
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from referee.alerts.words import Aggregation, AlertSeverity, Comparison, RuleKind
from referee.core.errors import InvalidInput
from referee.foundation.web.values import ValueSource

__all__ = [
    "SHORT_NAMES",
    "RuleDraft",
    "ShortName",
    "check_rule",
    "read_duration_s",
    "read_rule",
    "show_duration",
]

MAX_NAME_CHARS: Final = 120
MAX_CHANNELS_COUNT: Final = 20
_MAX_TEXT_CHARS: Final = 2_000
_DURATION: Final = re.compile(r"(\d{1,9})\s*(s|m|min|h|d|w)?")
_UNITS_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, None: 1}
_WORDS_S: Final = {
    "minutely": 60,
    "hourly": 3_600,
    "daily": 86_400,
    "weekly": 604_800,
    "monthly": 30 * 86_400,
}
_CONDITION: Final = re.compile(
    r"\s*([a-z][a-z0-9_.]*)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*(%|ms|s|h)?\s*", re.IGNORECASE
)
_SIGNS: Final = {one.sign: one for one in Comparison}
_ALIASES: Final = {"avg": "average", "mean": "average", "p50": "median", "minimum": "min", "maximum": "max"}
_SEVERITIES: Final = {"warn": "warning", "error": "critical", "high": "critical", "low": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """What is watched and when it fires. Shares are 0 to 1."""

    name: str
    source: str
    measure: str
    critical_threshold: float
    resolved_threshold: float
    description: str = ""
    kind: RuleKind = RuleKind.aggregate
    filter: str = ""
    aggregation: Aggregation = Aggregation.average
    window_s: int = 3_600
    every_s: int = 300
    comparison: Comparison = Comparison.above
    minimum_count: int = 1
    hold_s: int = 0
    severity: AlertSeverity = AlertSeverity.warning
    channels: tuple[str, ...] = ()
    """Names of channels; empty: every channel of the project."""


@dataclass(frozen=True, slots=True)
class ShortName:
    """What one word of a short condition stands for."""

    source: str
    measure: str
    aggregation: Aggregation = Aggregation.average
    filter: str = ""
    minimum_count: int = 1
    unit_factor: Mapping[str, float] = field(default_factory=dict)
    """Unit → what a number of it is multiplied by."""


_MS: Final = {"ms": 1.0, "s": 1_000.0, "h": 3_600_000.0}
_S: Final = {"ms": 0.001, "s": 1.0, "h": 3_600.0}
_OWN: Final = "metrics"
SHORT_NAMES: Final[Mapping[str, ShortName]] = {
    "duplicate_rate": ShortName("analyses", "doubled", minimum_count=5),
    "websocket_error_rate": ShortName("hand_overs", "errors", minimum_count=5),
    "static_analysis_success": ShortName("services", "success", filter="service:static", minimum_count=5),
    "dynamic_analysis_success": ShortName("services", "success", filter="service:dynamic", minimum_count=5),
    "performance_analysis_success": ShortName(
        "services", "success", filter="service:performance", minimum_count=5
    ),
    "ai_analysis_success": ShortName("services", "success", filter="service:ai", minimum_count=5),
    "task_creation_p95": ShortName(
        _OWN, "milliseconds", Aggregation.p95, "name:referee_analysis_creation_seconds", 5, _MS
    ),
    "artifact_write_failures": ShortName(
        _OWN, "value", Aggregation.sum, "name:referee_store_artifact_failures_total", 0
    ),
    "completion_refusals": ShortName(
        _OWN,
        "value",
        Aggregation.sum,
        "name:(referee_analysis_completions_refused_total OR referee_videos_done_refusals_total)",
        0,
    ),
    "disk_free": ShortName(_OWN, "value", Aggregation.min, "name:referee_alerts_disk_free_share"),
    "queue_age": ShortName("jobs", "waiting_s", Aggregation.max, minimum_count=0, unit_factor=_S),
    "tool_failure_rate": ShortName("tool_runs", "failed", minimum_count=5),
    "error_rate": ShortName("spans", "errors", minimum_count=5),
    "latency_p95": ShortName("spans", "duration_ms", Aggregation.p95, minimum_count=5, unit_factor=_MS),
    "decision_lag_p95": ShortName("decisions", "lag_ms", Aggregation.p95, minimum_count=5, unit_factor=_MS),
    "invalid_cell_rate": ShortName("cells", "invalid", minimum_count=5),
    "backfill_failures": ShortName("backfill_runs", "failed", Aggregation.sum, minimum_count=0),
    "critical_findings": ShortName("findings", "findings", Aggregation.count, "severity:critical", 0),
    "probe_failure_rate": ShortName("probes", "failed"),
    "probe_latency_p95": ShortName("probes", "latency_ms", Aggregation.p95, unit_factor=_MS),
    "cost_usd": ShortName("spans", "cost_usd", Aggregation.sum, minimum_count=0),
}
"""Words of short conditions."""


def read_rule(given: Mapping[str, Any], sources: Mapping[str, ValueSource]) -> RuleDraft:
    """Return the rule that a mapping says: of a YAML file, a body or a form.

    Raises:
        InvalidInput: A member is unknown, missing or out of range.
    """
    values = {str(key).replace("-", "_"): value for key, value in given.items()}
    notify = values.pop("notify", None)
    if notify is not None:
        values.setdefault("channels", notify)
    condition = values.pop("condition", None)
    if condition is not None:
        values = {**_read_condition(str(condition)), **values}
    for old, new in (
        ("window", "window_s"),
        ("every", "every_s"),
        ("frequency", "every_s"),
        ("hold", "hold_s"),
    ):
        if old in values:
            values[new] = read_duration_s(values.pop(old))
    unknown = values.keys() - RuleDraft.__dataclass_fields__.keys()
    if unknown:
        raise _invalid(
            f"A rule has no member {min(unknown)[:60]!r}",
            f"Use: {', '.join(RuleDraft.__dataclass_fields__)}.",
        )
    missing = {"name", "source", "measure", "critical_threshold"} - values.keys()
    if missing:
        raise _invalid(
            f"The rule does not say its {min(missing)}",
            "Give name and condition, or source, measure and thresholds.",
        )
    values.setdefault("resolved_threshold", values["critical_threshold"])
    readers: dict[str, Callable[[Any, str], Any]] = {
        **dict.fromkeys(("name", "source", "measure", "description", "filter"), _text),
        **dict.fromkeys(("critical_threshold", "resolved_threshold"), _number),
        **dict.fromkeys(("window_s", "every_s", "hold_s", "minimum_count"), _whole),
    }
    said = {name: read(values[name], name) for name, read in readers.items() if name in values}
    return check_rule(RuleDraft(**said, **_read_words(values)), sources)


def check_rule(rule: RuleDraft, sources: Mapping[str, ValueSource]) -> RuleDraft:
    """Return the rule, if it can be evaluated.

    Raises:
        InvalidInput: Its source, measure or filter is unknown, or a number is out of range.
    """
    if not rule.name.strip() or len(rule.name) > MAX_NAME_CHARS or not rule.name.isprintable():
        raise _invalid(
            "The rule has no name that can be shown", f"Give 1 to {MAX_NAME_CHARS} printable characters."
        )
    source = sources.get(rule.source)
    if source is None:
        raise InvalidInput(
            "alert.source_unknown",
            f"There are no values called {rule.source[:80]!r}.",
            f"Use one of: {', '.join(sources)}.",
        )
    source.find_measure(rule.measure)
    source.read_filter(rule.filter)
    for name, low, high in (
        ("window_s", 60, 366 * 86_400),
        ("every_s", 60, 31 * 86_400),
        ("hold_s", 0, 7 * 86_400),
        ("minimum_count", 0, 10**9),
    ):
        value = getattr(rule, name)
        if not low <= value <= high:
            raise _invalid(f"{name} is {value}", f"Give a number from {low} to {high:,}.")
    limits = (rule.critical_threshold, rule.resolved_threshold)
    if not all(map(math.isfinite, limits)):
        raise _invalid("A threshold is no finite number", "Give two numbers.")
    is_high_bad = rule.comparison in (Comparison.above, Comparison.at_least)
    if (limits[1] > limits[0]) if is_high_bad else (limits[1] < limits[0]):
        raise _invalid(
            "The resolved threshold is on the bad side of the critical one", "It is the same, or further off."
        )
    return rule


def read_duration_s(value: object) -> int:
    """Return seconds: of a number, ``15m``, ``1h``, ``7d``, or ``hourly`` and its like.

    Raises:
        InvalidInput: It is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    found = _DURATION.fullmatch(word)
    if word in _WORDS_S:
        return _WORDS_S[word]
    if found is None:
        raise _invalid(
            f"{word[:40]!r} is no length of time",
            "Write 90s, 15m, 1h, 7d, or hourly, daily, weekly, monthly.",
        )
    return int(found[1]) * _UNITS_S[found[2]]


def show_duration(seconds: int) -> str:
    """Return a length of time as it is written: ``15m``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _read_condition(text: str) -> dict[str, Any]:
    found = _CONDITION.fullmatch(text[:200])
    if found is None:
        raise _invalid(
            f"The condition {text[:60]!r} cannot be read",
            "Write a name, one of > >= < <=, and a number: duplicate_rate > 5%.",
        )
    name, unit = found[1].lower(), (found[4] or "").lower()
    short = SHORT_NAMES.get(name)
    if short is None:
        raise _invalid(f"There is no condition about {name[:60]!r}", f"Use one of: {', '.join(SHORT_NAMES)}.")
    factor = 0.01 if unit == "%" else short.unit_factor.get(unit, 1.0) if unit else 1.0
    if unit in ("ms", "s", "h") and not short.unit_factor:
        raise _invalid(f"{name} is no time", "Write the number alone, or with %.")
    threshold = float(found[3]) * factor
    return {
        "source": short.source,
        "measure": short.measure,
        "aggregation": short.aggregation.value,
        "filter": short.filter,
        "minimum_count": short.minimum_count,
        "comparison": _SIGNS[found[2]].value,
        "critical_threshold": threshold,
    }


def _read_words(values: Mapping[str, Any]) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for name, kind in (
        ("kind", RuleKind),
        ("aggregation", Aggregation),
        ("comparison", Comparison),
        ("severity", AlertSeverity),
    ):
        if name not in values:
            continue
        word = str(values[name]).strip().lower()
        word = _ALIASES.get(word, _SEVERITIES.get(word, word))
        comparison = _SIGNS.get(word)
        if comparison is not None:
            word = comparison.value
        try:
            words[name] = kind(word)
        except ValueError:
            raise _invalid(f"{name} is {word[:40]!r}", f"Use one of: {', '.join(kind)}.") from None
    if "channels" in values:
        words["channels"] = _read_channels(values["channels"])
    return words


def _read_channels(value: Any) -> tuple[str, ...]:
    listed = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or len(listed) > MAX_CHANNELS_COUNT:
        raise _invalid("The channels are no list", f"Name {MAX_CHANNELS_COUNT} channels at most.")
    return tuple(dict.fromkeys(_text(one, "channels").strip() for one in listed))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT_CHARS or "\0" in value:
        raise _invalid(f"{name} is no text", f"Give at most {_MAX_TEXT_CHARS} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _invalid(f"{name} holds half a character", "Give whole characters.") from None
    return value


def _number(value: Any, name: str) -> float:
    text = str(value).strip()
    factor = 0.01 if text.endswith("%") else 1.0
    try:
        number = float(text.removesuffix("%")) * factor if not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _invalid(f"{name} is no number", "Write it as 0.05 or 5%.")
    return number


def _whole(value: Any, name: str) -> int:
    if name.endswith("_s"):
        return read_duration_s(value)
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 12:
        raise _invalid(f"{name} is no whole number", "Give a whole number.")
    return int(text)


def _invalid(what: str, hint: str) -> InvalidInput:
    return InvalidInput("alert.rule_invalid", f"{what}.", hint)
