"""Calibrating a judge: labels in, agreement out, and one clear sentence for every bad line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.llm_server import Request, Response, answer, serve_llm
from tests.tools.conftest import LIMITS
from typer.testing import CliRunner, Result

from referee.apps.sources import take_snapshot
from referee.core.errors import InvalidInput, NotFound, RefereeError, Unavailable
from referee.core.sources import SourceSnapshot
from referee.tools.judge_calibration import read_labels
from referee.tools.judge_commands import app as judge_app

SAMPLE_LABELS = Path(__file__).parents[2] / "samples" / "labels.jsonl"
TEMPLATE = {
    "slug": "shop",
    "backend_requirements": ["Orders are saved.", "Orders are deleted.", "Orders are paid."],
}
SOURCE = "def save_order(order, store):\n    store.save(order.total)\n"


class Taker:
    """The composition root's part in it."""

    def take_snapshot(self, source: Path, snapshots_dir: Path) -> SourceSnapshot:
        return take_snapshot(source, snapshots_dir, LIMITS, name=source.name)


Run = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def run() -> Run:
    root = typer.Typer()
    root.add_typer(judge_app, name="judge")

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(root, ["judge", "calibrate", *map(str, arguments)], obj=Taker())

    return invoke


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(SOURCE)
    (tmp_path / "shop.json").write_text(json.dumps(TEMPLATE))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "odd.json").write_text("[]")

    def write_lines(*lines: object, name: str = "labels.jsonl") -> Path:
        file = tmp_path / name
        file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return file

    return write_lines


def label(number: int, word: str = "met", **changes: Any) -> dict[str, Any]:
    return {
        "path": "shop", "template": "shop.json", "requirement_id": f"backend-{number}", "label": word, **changes,
    }  # fmt: skip


def verdict(number: int, word: str) -> dict[str, Any]:
    return {"path": "shop", "requirement_id": f"backend-{number}", "verdict": word}


def test_the_sample_apps_have_labels_of_both_kinds_for_all_four() -> None:
    labels = read_labels(SAMPLE_LABELS)
    assert Counter(one.is_met for one in labels) == {True: 27, False: 25}
    assert Counter(one.path.removeprefix("apps/models/") for one in labels) == {
        "aurora-large/app1": 13, "aurora-large/app2": 14, "pico-coder/app1": 12, "pico-coder/app2": 13,
    }  # fmt: skip


def test_given_verdicts_are_compared_without_asking_a_model(run: Run, write: Write) -> None:
    labels = write(label(1), label(2, "not_met"), "", label(3, reason="for people"))
    verdicts = write(verdict(1, "met"), verdict(2, "met"), verdict(3, "unknown"), name="verdicts.jsonl")
    result = run(labels, "--verdicts", verdicts)
    assert (result.exit_code, result.stdout) == (
        0,
        """\
3 labels, 2 judged, 1 without a verdict.

                    judged met  judged not met
labelled met                 1               0
labelled not met             1               0

precision  0.500  95% interval 0.095 to 0.905, n = 2
recall     1.000  95% interval 0.207 to 1.000, n = 1
f1         0.667  95% interval 0.173 to 0.950, n = 2
accuracy   0.500  95% interval 0.095 to 0.905, n = 2
kappa      not defined: too few kinds of cases

Without a verdict, and in none of the numbers:
  shop backend-3: There is no verdict on it.
""",
    )


def test_json_tells_the_same(run: Run, write: Write) -> None:
    labels = write(label(1), label(2, "not_met"), label(3))
    verdicts = write(verdict(1, "met"), verdict(2, "not_met"), name="verdicts.jsonl")
    result = run(labels, "--verdicts", verdicts, "--json")
    document = json.loads(result.stdout)
    assert document["confusion"] == {
        "true_positives_count": 1, "false_positives_count": 0, "false_negatives_count": 0, "true_negatives_count": 1,
    }  # fmt: skip
    assert document["measures"]["kappa"] == {"value": 1.0, "low": 1.0, "high": 1.0, "level": 0.95, "n": 2}
    assert document["unscored"] == [
        {"path": "shop", "requirement_id": "backend-3", "reason": "There is no verdict on it."}
    ]
    assert (document["labels_count"], document["judged_count"], document["unscored_count"]) == (3, 2, 1)


def test_without_any_verdict_nothing_is_computed(run: Run, write: Write) -> None:
    result = run(write(label(1)), "--verdicts", write(name="verdicts.jsonl"))
    assert "precision  not defined: too few kinds of cases" in result.stdout


def test_the_configured_judge_is_asked_and_its_verdicts_can_be_kept(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labels = write(label(1), label(2, "not_met"), label(3, "not_met"))
    kept = tmp_path / "verdicts.jsonl"
    with serve_llm(_judge) as server:
        monkeypatch.setenv("REFEREE_JUDGE_URL", server.url)
        monkeypatch.setenv("REFEREE_JUDGE_MODEL", "judge-1")
        asked = run(labels, "--write-verdicts", kept)
    assert (asked.exit_code, asked.stderr) == (0, "Judging shop …\n")
    assert [json.loads(line)["verdict"] for line in kept.read_text().splitlines()] == [
        "met",
        "not_met",
        "unknown",
    ]
    assert "shop backend-3: The judge gave no opinion on it." in asked.stdout
    assert run(labels, "--verdicts", kept).stdout == asked.stdout


def test_without_a_judge_or_verdicts_the_command_says_what_to_set(run: Run, write: Write) -> None:
    error = fail(run(write(label(1))), Unavailable)
    assert (error.code, error.exit_code) == ("judge.not_configured", 6)
    assert "REFEREE_JUDGE_URL" in error.hint


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "it is not an object"),
        (label(2, "maybe"), "the label 'maybe' is neither met nor not_met"),
        (label(2, label=True), "the field label is missing or not text"),
        ({"path": "shop"}, "the field requirement_id is missing or not text"),
        (label(2, path="nowhere"), "'nowhere' is no folder"),
        (label(2, path="shop/app.py"), "'shop/app.py' is no folder"),
        (label(2, path="a\0b"), "the field path is missing or not text"),
        (label(2, template="nothing.json"), "its template cannot be read: "),
        (label(2, template="broken.json"), "its template is not JSON"),
        (label(2, template="odd.json"), "the template cannot be used: it is not an object"),
        (label(4), "the template has no requirement 'backend-4'"),
        (label(1), "backend-1 of shop has a label already"),
    ],
)
def test_a_bad_label_is_named_by_its_line(run: Run, write: Write, line: object, why: str) -> None:
    error = fail(run(write(label(1), "", line)), InvalidInput)
    assert error.message.startswith(f"Line 3 of labels.jsonl cannot be used: {why}")
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (verdict(1, "yes"), "the verdict 'yes' is not met, not_met or unknown"),
        ({"path": "shop", "verdict": "met"}, "the field requirement_id is missing or not text"),
        (verdict(3, "met"), "backend-3 of shop has a verdict already"),
    ],
)
def test_a_bad_verdict_is_named_by_its_line(run: Run, write: Write, line: object, why: str) -> None:
    verdicts = write(verdict(3, "met"), line, name="verdicts.jsonl")
    error = fail(run(write(label(1)), "--verdicts", verdicts), InvalidInput)
    assert error.message == f"Line 2 of verdicts.jsonl cannot be used: {why}."


def test_files_that_are_absent_or_empty_are_one_sentence(run: Run, write: Write, tmp_path: Path) -> None:
    assert fail(run(tmp_path / "nothing.jsonl"), NotFound).code == "judge.file_not_found"
    assert fail(run(write()), InvalidInput).code == "judge.labels_empty"
    nowhere = tmp_path / "nowhere" / "verdicts.jsonl"
    assert (
        fail(run(write(label(1)), "--write-verdicts", nowhere), InvalidInput).code == "judge.folder_not_found"
    )


def fail(result: Result, kind: type[RefereeError]) -> RefereeError:
    assert isinstance(result.exception, kind), result.output
    return result.exception


def _judge(request: Request) -> Response:
    if request.body["response_format"]["json_schema"]["name"] == "refutations":
        return answer(
            {"results": [{"requirement_id": "backend-1", "result": "stands", "reason": "It saves."}]}
        )
    opinion = {
        "file": "app.py", "start_line": 2, "end_line": 2, "quote": "store.save(order.total)", "reason": "It saves.",
        "confidence": "high",
    }  # fmt: skip
    return answer(
        {
            "opinions": [
                {**opinion, "requirement_id": "backend-1", "met": "met"},
                {**opinion, "requirement_id": "backend-2", "met": "not_met"},
            ]
        }
    )
