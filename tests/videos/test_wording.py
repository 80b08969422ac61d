"""Reports worded by a model on a scripted server: it can put sentences differently, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.llm_server import LlmServer, Request, Response, answer, failure, serve_llm
from tests.videos.recorded import outcome_of

from referee.foundation.llm import LlmClient, Purse
from referee.foundation.settings import load_settings
from referee.videos.shapes import Report, ReportSection
from referee.videos.wording import Wording, reword, reword_report
from referee.videos.wording_checks import find_deviation, split_sentences

VALUE = "Front knee brace 31 degrees (95 % interval 26 to 36): level high."
DOUBT = "The interval crosses a limit, so the level is uncertain."
REPORT = Report(
    "Quick pass, bowling, right-handed. 3 of 5 metrics were measured.",
    "medium",
    (ReportSection("The front knee gives way", (f"{VALUE} {DOUBT}", "Land tall on the front leg.")),),
    ("The front knee gives way: level high.",),
    ("Step-ups",),
    ("Monday: step-ups",),
)


@asynccontextmanager
async def ask(script: Callable[[Request], Response]) -> AsyncIterator[tuple[LlmClient, LlmServer]]:
    with serve_llm(script) as server:
        async with LlmClient(server.url, "words-1", purse=Purse(100_000, 6), timeout_s=10.0) as client:
            yield client, server


def rewriter(change: Callable[[str], str]) -> Callable[[Request], Response]:
    """Return a model that changes each sentence."""

    def script(request: Request) -> Response:
        lines = request.body["messages"][-1]["content"].split("\n")[1:]
        return answer({"sentences": [change(line.partition(". ")[2]) for line in lines]})

    return script


async def run(script: Callable[[Request], Response], *, timeout_s: float = 10.0) -> tuple[Report, Wording]:
    async with ask(script) as (client, _):
        return await reword_report(client, REPORT, (), timeout_s=timeout_s)


async def test_sentences_that_say_the_same_are_taken_and_all_is_kept() -> None:
    told = {DOUBT: "Its level is uncertain, as the interval crosses a limit."}
    report, wording = await run(rewriter(lambda one: told.get(one, one)))
    assert report.wording == "model"
    assert report.sections[0].paragraphs[0] == f"{VALUE} {told[DOUBT]}"
    assert report.sections[0].title == REPORT.sections[0].title
    assert (report.overall_level, report.top_issues, report.drills) == (
        "medium",
        REPORT.top_issues,
        REPORT.drills,
    )
    assert VALUE in wording.messages[1]["text"]
    assert told[DOUBT] in wording.reply
    assert all(one["deviation"] == "" for one in wording.sentences)


async def test_each_sentence_falls_back_by_itself() -> None:
    told = {
        VALUE: "Front knee brace 13 degrees (95 % interval 26 to 36): level high.",
        DOUBT: "Its level is uncertain, as the interval crosses a limit.",
    }
    report, wording = await run(rewriter(lambda one: told.get(one, one)))
    assert report.sections[0].paragraphs[0] == f"{VALUE} {told[DOUBT]}"
    refused = [one for one in wording.sentences if one["deviation"]]
    assert [(one["original"], one["deviation"]) for one in refused] == [(VALUE, "numbers")]


@pytest.mark.parametrize(
    ("reworded", "deviation"),
    [
        ("Front knee brace about 31 degrees (95 % interval 26 to 37): level high.", "numbers"),
        ("Front knee brace 31 ms (95 % interval 26 to 36): level high.", "kept_words"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level low.", "kept_words"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level not high.", "kept_words"),
        ("Front knee brace isn't 31 degrees (95 % interval 26 to 36): level high.", "kept_words"),
        ("Knee 31 degrees (95 % interval 26 to 36): level high, at the front.", "names"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level high, an injury.", "verdicts"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level high. Rest well.", "sentences"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level high, says Thomson.", "proper_names"),
        ("Front knee brace 31 degrees (95 % interval 26 to 36): level high <b>now</b>.", "markup"),
        (f"{VALUE[:-1]} {'indeed ' * 20}.", "length"),
        ("", "length"),
        (f"{VALUE[:-1]} while bowling quick swinging deliveries yesterday.", "added_words"),
    ],
)
def test_what_says_anything_else_is_refused(reworded: str, deviation: str) -> None:
    assert find_deviation(VALUE, reworded) == deviation


def test_same_sentence_and_reordered_words_are_no_deviation() -> None:
    assert find_deviation(VALUE, VALUE) == ""
    assert find_deviation("It cannot be measured.", "It can not be measured.") == ""
    assert (
        find_deviation(VALUE, "At 31 degrees, front knee brace has level high (95 % interval 26 to 36).")
        == ""
    )


def test_sentences_are_split_and_joined_without_loss() -> None:
    text = f"{VALUE} {DOUBT}"
    assert split_sentences(text) == (VALUE, DOUBT)
    assert split_sentences("At 1.5 s, ± 0.02 s. 3 of 5 remain.") == ("At 1.5 s, ± 0.02 s.", "3 of 5 remain.")


@pytest.mark.parametrize(
    ("script", "word"),
    [
        (lambda _: failure(401, "no key"), "401"),
        (lambda _: answer("Here is your report!"), "JSON"),
        (lambda _: answer({"sentences": ["one"]}), "JSON"),
    ],
)
async def test_model_that_fails_leaves_the_rules_report(
    script: Callable[[Request], Response], word: str
) -> None:
    report, wording = await run(script)
    assert report == REPORT
    assert word in wording.problem


async def test_silent_model_costs_its_time_and_no_report() -> None:
    report, wording = await run(lambda _: Response(is_silent=True), timeout_s=0.3)
    assert report == REPORT
    assert "0.3 s" in wording.problem


async def test_settings_decide_and_nothing_is_sent_by_default(tmp_path: Path) -> None:
    outcome = outcome_of()
    with serve_llm(rewriter(lambda one: one)) as server:
        quiet = load_settings(home=tmp_path, judge_url=server.url, judge_model="words-1")
        assert await reword(quiet, outcome.report, outcome.findings) == (outcome.report, None)
        assert server.requests == []
        asked = load_settings(
            home=tmp_path, judge_url=server.url, judge_model="words-1", video_wording="model"
        )
        report, wording = await reword(asked, outcome.report, outcome.findings)
        assert report.wording == "rules"
        assert wording is not None
        assert len(server.requests) == 1
        assert json.dumps(server.requests[0].body).count("The front knee bends.") == 1
    missing = load_settings(home=tmp_path, video_wording="model")
    report, wording = await reword(missing, outcome.report, outcome.findings)
    assert wording is not None
    assert "REFEREE_JUDGE_URL" in wording.problem
