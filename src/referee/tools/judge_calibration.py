"""How far a judge agrees with people: labels by hand, verdicts of the judge, and what follows from both.

Both are files of JSON lines. Paths in them are relative to the file's folder.
A requirement without a verdict is counted and shown, and is in no measure:
what nobody judged is neither right nor wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referee.core.errors import InvalidInput, NotFound, Unavailable
from referee.core.findings import JsonValue
from referee.core.requirements import Verdict
from referee.core.sources import SourceSnapshot
from referee.core.templates import Template, parse_template
from referee.foundation.llm import LlmClient
from referee.foundation.statistics import BinaryAgreement, Confusion, Interval, compute_agreement
from referee.tools.judging import judge_requirements, list_judged_requirements
from referee.tools.reading import shorten

__all__ = [
    "Calibration",
    "Given",
    "Label",
    "calibrate",
    "judge_labels",
    "read_labels",
    "read_verdicts",
    "render_verdicts",
]

_MAX_FILE_BYTES: Final = 20_000_000
_MAX_TEMPLATE_BYTES: Final = 5_000_000
_MAX_LINES: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person says of one requirement of one app."""

    path: str
    """Folder of the app, as the file writes it."""
    requirement_id: str
    is_met: bool
    folder: Path
    template_path: Path
    template: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the judge says of one requirement of one app."""

    verdict: Verdict
    reason: str = ""
    """Why it is ``unknown``."""


Key = tuple[str, str]
"""Path of an app as the labels write it, id of a requirement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A judge compared with labels."""

    confusion: Confusion
    """A yes is "met"."""
    agreement: BinaryAgreement
    labels_count: int
    unscored: Mapping[Key, str]
    """Labels without a verdict, with the reason."""

    def list_measures(self) -> list[tuple[str, Interval | None, int]]:
        """Return (name, interval, number of cases) of each measure."""
        table, measures = self.confusion, self.agreement
        hits = table.true_positives_count
        return [
            ("precision", measures.precision, hits + table.false_positives_count),
            ("recall", measures.recall, hits + table.false_negatives_count),
            ("f1", measures.f1, hits + table.false_positives_count + table.false_negatives_count),
            ("accuracy", measures.accuracy, table.total_count),
            ("kappa", measures.kappa, table.total_count),
        ]

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything for programs."""
        table = self.confusion
        return {
            "labels_count": self.labels_count,
            "judged_count": table.total_count,
            "unscored_count": len(self.unscored),
            "confusion": {
                "true_positives_count": table.true_positives_count,
                "false_positives_count": table.false_positives_count,
                "false_negatives_count": table.false_negatives_count,
                "true_negatives_count": table.true_negatives_count,
            },
            "measures": {
                name: None
                if interval is None
                else {
                    "value": interval.point,
                    "low": interval.low,
                    "high": interval.high,
                    "level": interval.level,
                    "n": cases_count,
                }
                for name, interval, cases_count in self.list_measures()
            },
            "unscored": [
                {"path": path, "requirement_id": requirement_id, "reason": reason}
                for (path, requirement_id), reason in self.unscored.items()
            ],
        }


def read_labels(file: Path) -> tuple[Label, ...]:
    """Return the labels of a file, each with its template.

    Each line is an object with ``path`` (an app's folder), ``template`` (a file), ``requirement_id``
    and ``label`` (``met`` or ``not_met``); other fields, such as ``reason``, are for people.

    Raises:
        NotFound: There is no such file.
        InvalidInput: A line cannot be used; the message names the line and says why.
    """
    templates: dict[Path, Template] = {}
    labels: dict[Key, Label] = {}
    for number, values in _read_lines(file):
        path, requirement_id = (
            _text(file, number, values, "path"),
            _text(file, number, values, "requirement_id"),
        )
        word = _text(file, number, values, "label")
        if word not in (Verdict.met, Verdict.not_met):
            raise _bad_line(file, number, f"the label {shorten(word, limit=40)!r} is neither met nor not_met")
        folder = file.parent / path
        if not folder.is_dir():
            raise _bad_line(file, number, f"{shorten(path, limit=200)!r} is no folder")
        template_path = file.parent / _text(file, number, values, "template")
        if template_path not in templates:
            templates[template_path] = _read_template(file, number, template_path)
        if requirement_id not in list_judged_requirements(templates[template_path]):
            raise _bad_line(
                file, number, f"the template has no requirement {shorten(requirement_id, limit=60)!r}"
            )
        if (path, requirement_id) in labels:
            raise _bad_line(
                file, number, f"{requirement_id} of {shorten(path, limit=200)} has a label already"
            )
        labels[path, requirement_id] = Label(
            path=path,
            requirement_id=requirement_id,
            is_met=word == Verdict.met,
            folder=folder.resolve(),
            template_path=template_path,
            template=templates[template_path],
        )
    if not labels:
        raise InvalidInput(
            "judge.labels_empty", f"{file.name} holds no label.", "Write one JSON object a line."
        )
    return tuple(labels.values())


def read_verdicts(file: Path) -> dict[Key, Given]:
    """Return the verdicts of a file that ``render_verdicts`` wrote, or another judge in the same form.

    Each line is an object with ``path``, ``requirement_id`` and ``verdict`` (``met``, ``not_met``, ``unknown``).

    Raises:
        NotFound: There is no such file.
        InvalidInput: A line cannot be used; the message names the line and says why.
    """
    given: dict[Key, Given] = {}
    for number, values in _read_lines(file):
        key = _text(file, number, values, "path"), _text(file, number, values, "requirement_id")
        word = _text(file, number, values, "verdict")
        if word not in Verdict.__members__:
            raise _bad_line(
                file, number, f"the verdict {shorten(word, limit=40)!r} is not met, not_met or unknown"
            )
        if key in given:
            raise _bad_line(file, number, f"{key[1]} of {shorten(key[0], limit=200)} has a verdict already")
        reason = values.get("reason")
        given[key] = Given(verdict=Verdict(word), reason=reason if isinstance(reason, str) else "")
    return given


def render_verdicts(given: Mapping[Key, Given]) -> str:
    """Return verdicts as JSON lines."""
    return "".join(
        json.dumps(
            {
                "path": path,
                "requirement_id": requirement_id,
                "verdict": one.verdict.value,
                "reason": one.reason,
            },
            ensure_ascii=False,
        )
        + "\n"
        for (path, requirement_id), one in given.items()
    )


async def judge_labels(
    labels: Sequence[Label],
    open_client: Callable[[], LlmClient | None],
    take_snapshot: Callable[[Path], SourceSnapshot],
    report: Callable[[str], None],
) -> dict[Key, Given]:
    """Return a judge's verdicts on every requirement of the labelled apps, without facts found by programs.

    Args:
        labels: What was labelled.
        open_client: Gives a client with a purse of its own, one for each app.
        take_snapshot: Gives the source of an app's folder.
        report: Gets a line about each app as it begins.

    Raises:
        Unavailable: No judge is configured.
    """
    given: dict[Key, Given] = {}
    apps = {(label.path, label.template_path): label for label in labels}
    for (path, _), label in apps.items():
        client = open_client()
        if client is None:
            raise Unavailable(
                "judge.not_configured",
                "No language model is configured that could judge.",
                "Set REFEREE_JUDGE_URL and REFEREE_JUDGE_MODEL, or give verdicts by --verdicts.",
            )
        report(f"Judging {path} …")
        async with client:
            snapshot = take_snapshot(label.folder)
            record = await judge_requirements(client, label.template, snapshot, {}, parameters={})
        for requirement_id, opinion in record.opinions.items():
            given[path, requirement_id] = Given(verdict=opinion.verdict, reason=opinion.unscored_reason)
    return given


def calibrate(labels: Sequence[Label], given: Mapping[Key, Given]) -> Calibration:
    """Compare verdicts with labels."""
    counts = {(said, true): 0 for said in (True, False) for true in (True, False)}
    unscored: dict[Key, str] = {}
    for label in labels:
        key = label.path, label.requirement_id
        one = given.get(key)
        if one is None or one.verdict is Verdict.unknown:
            unscored[key] = (one.reason if one else "") or "There is no verdict on it."
        else:
            counts[one.verdict is Verdict.met, label.is_met] += 1
    confusion = Confusion(
        true_positives_count=counts[True, True],
        false_positives_count=counts[True, False],
        false_negatives_count=counts[False, True],
        true_negatives_count=counts[False, False],
    )
    return Calibration(
        confusion=confusion,
        agreement=compute_agreement(confusion),
        labels_count=len(labels),
        unscored=unscored,
    )


def _read_lines(file: Path) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    for number, line in enumerate(_read_bounded(file, _MAX_FILE_BYTES).split(b"\n"), start=1):
        if not line.strip():
            continue
        if number > _MAX_LINES:
            raise _bad_line(file, number, f"more than {_MAX_LINES:,} lines are not read")
        try:
            value: JsonValue = json.loads(line)
        except (ValueError, RecursionError):
            raise _bad_line(file, number, "it is not JSON") from None
        if not isinstance(value, dict):
            raise _bad_line(file, number, "it is not an object")
        yield number, value


def _read_bounded(file: Path, max_bytes: int) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise NotFound(
            "judge.file_not_found",
            f"{str(file)!r} cannot be read: {error.strerror or error}.",
            "Name a file that exists.",
        ) from error
    if len(data) > max_bytes:
        raise InvalidInput(
            "judge.file_too_large", f"{str(file)!r} has more than {max_bytes:,} bytes.", "Split it."
        )
    return data


def _read_template(file: Path, number: int, path: Path) -> Template:
    try:
        return parse_template(json.loads(_read_bounded(path, _MAX_TEMPLATE_BYTES)))
    except NotFound as error:
        raise _bad_line(file, number, f"its template cannot be read: {error.message.rstrip('.')}") from error
    except InvalidInput as error:
        raise _bad_line(file, number, error.message[:1].lower() + error.message[1:].rstrip(".")) from error
    except (ValueError, RecursionError):
        raise _bad_line(file, number, "its template is not JSON") from None


def _text(file: Path, number: int, values: Mapping[str, JsonValue], field: str) -> str:
    value = values.get(field)
    if not isinstance(value, str) or not value or "\0" in value:
        raise _bad_line(file, number, f"the field {field} is missing or not text")
    return value


def _bad_line(file: Path, number: int, what: str) -> InvalidInput:
    return InvalidInput(
        "judge.line_invalid",
        f"Line {number} of {file.name} cannot be used: {what}.",
        "Compare it with samples/labels.jsonl.",
        line=number,
    )
