"""Metrics that run when events arrive, and metrics that are tried at once: real server, real jobs, scripted judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select
from tests.experiments.runs.events import define, make_event
from tests.llm_server import LlmServer, Request, Response, answer, failure, serve_llm
from tests.web_site import open_web_client

from referee.app import Application, open_application
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.experiments.evaluators import JudgeBook, enqueue_evaluations, select_evaluations
from referee.experiments.evaluators.queries import Evaluation, list_evaluations
from referee.experiments.evaluators.selecting import is_sampled
from referee.experiments.evaluators.tables import EvaluationRow
from referee.experiments.metrics.tables import MetricRow, MetricVersionRow
from referee.foundation.access import get_project
from referee.foundation.settings import LlmProvider, Settings
from referee.traces import create_events, get_event
from referee.traces.service import change_event


def judge(request: Request) -> Response:
    """Answer as the question says to, so that each test writes its own judge."""
    text = request.text
    said = text[text.index("SAY:") + 4 :] if "SAY:" in text else "[[1]]"
    return failure(500, "down") if said.startswith("DOWN") else answer(said, usage=(50, 10))


@pytest.fixture(scope="module")
def server() -> Iterator[LlmServer]:
    with serve_llm(judge) as opened:
        yield opened


@pytest.fixture
def judged_settings(database_settings: Settings, server: LlmServer) -> Settings:
    provider = LlmProvider(url=server.url, model="scripted-1")
    return database_settings.model_copy(
        update={"evaluator_providers": {"local": provider}, "evaluator_max_attempts_count": 1}
    )


@pytest.fixture
async def application(judged_settings: Settings) -> AsyncIterator[Application]:
    async with open_application(judged_settings, is_worker=True) as opened:
        yield opened


async def add_metric(application: Application, name: str, kind: str, criteria: str, **content: Any) -> str:
    """Define an enabled metric that judges every event."""
    project = await get_project(application.database, "default")
    metric_id = new_id()
    whole = {
        "name": name,
        "type": kind,
        "criteria": criteria,
        "return_type": "float",
        "enabled_in_prod": True,
        "sampling_percentage": 100,
        **content,
    }
    async with application.database.transaction() as session:
        await session.execute(
            insert(MetricRow).values(
                metric_id=metric_id, project_id=project.project_id, name=name, kind=kind, is_enabled=True,
                sampling_percentage=whole["sampling_percentage"], content_json=whole, deployed_version=1,
            )
        )  # fmt: skip
        await session.execute(
            insert(MetricVersionRow).values(
                metric_id=metric_id, version=1, project_id=project.project_id, full_sha="0" * 40,
                message="first", content_json=whole,
            )
        )  # fmt: skip
    return str(metric_id)


async def ingest(application: Application, *outputs: str, **fields: Any) -> list[str]:
    """Take in one model event for each output."""
    project = await get_project(application.database, "default")
    batch = await create_events(
        application.traces,
        project.project_id,
        [
            {
                "event_type": "model",
                "event_name": "answer",
                "event_id": str(uuid4()),
                "inputs": {"question": "?"},
                "outputs": {"answer": text},
                **fields,
            }
            for text in outputs
        ],
    )
    return batch.event_ids


async def wait_for_scores(application: Application, event_ids: list[str], count: int) -> list[Evaluation]:
    """Return the evaluations of events when so many have ended."""
    project = await get_project(application.database, "default")
    async with asyncio.timeout(40):
        while True:
            async with application.database.reading() as session:
                found = await list_evaluations(session, project.project_id, event_ids)
            ended = [one for one in found if one.state != "waiting"]
            if len(ended) >= count:
                return ended
            await asyncio.sleep(0.1)


async def read_metrics(application: Application, event_id: str) -> dict[str, Any]:
    project = await get_project(application.database, "default")
    return (await get_event(application.database, project.project_id, event_id)).metrics


async def test_code_runs_on_what_arrives_and_composites_follow(application: Application) -> None:
    await add_metric(
        application, "length", "PYTHON", "def f(event):\n    return len(event['outputs']['answer'])\n"
    )
    await add_metric(
        application, "double", "COMPOSITE", "weighted sum", child_metrics=[{"name": "length", "weight": 2}]
    )
    await add_metric(application, "taste", "HUMAN", "By people.")
    [event_id] = await ingest(application, "four")
    await wait_for_scores(application, [event_id], 2)
    metrics = await read_metrics(application, event_id)
    assert metrics == {"length": 4.0, "length_explanation": "", "double": 8.0, "double_explanation": ""}


async def test_a_ground_truth_that_comes_later_is_what_a_metric_waited_for(application: Application) -> None:
    code = "def f(event):\n    return event['outputs']['answer'] == event['feedback']['ground_truth']\n"
    await add_metric(application, "right", "PYTHON", code, needs_ground_truth=True, return_type="boolean")
    [event_id] = await ingest(application, "four")
    project = await get_project(application.database, "default")
    async with application.database.reading() as session:
        assert await list_evaluations(session, project.project_id, [event_id]) == []
    changes: dict[str, JsonValue] = {"feedback": {"ground_truth": "four"}}
    assert await change_event(application.traces, project.project_id, event_id, changes)
    await wait_for_scores(application, [event_id], 1)
    assert (await read_metrics(application, event_id))["right"] is True


async def test_an_event_is_judged_by_a_version_of_a_metric_once(application: Application) -> None:
    await add_metric(application, "one", "PYTHON", "def f(event):\n    return 1\n")
    event_ids = await ingest(application, "a", "b")
    await wait_for_scores(application, event_ids, 2)
    project = await get_project(application.database, "default")
    again = [
        await enqueue_evaluations(application.evaluators, application.engine, project.project_id, event_ids)
        for _ in range(2)
    ]
    assert again == [0, 0]
    async with application.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(EvaluationRow)) == 2


async def test_a_judges_score_and_words_reach_the_event(application: Application, server: LlmServer) -> None:
    await add_metric(
        application,
        "tone",
        "LLM",
        "Judge {{outputs.answer}}",
        scale=5,
        model_provider="local",
        model_name="m-1",
    )
    event_ids = await ingest(application, "SAY:Fine. [[4]]", "SAY:I say 4 of 5", "SAY:[[9]]", "SAY:DOWN")
    found = {one.event_id: one for one in await wait_for_scores(application, event_ids, 4)}
    good, bare, beyond, down = await asyncio.gather(*(read_metrics(application, one) for one in event_ids))
    assert (good["tone"], good["tone_explanation"]) == (4.0, "Fine. [[4]]")
    assert bare["tone"] == beyond["tone"] == down["tone"] == "unscored"
    assert bare["tone_explanation"].startswith("unscored: The answer has no score inside [[ ]].")
    assert beyond["tone_explanation"].startswith("unscored: 9.0 is outside the metric's scale, 0 to 5.")
    assert [found[one].state for one in event_ids] == ["scored", "unscored", "unscored", "unscored"]
    assert (found[event_ids[0]].prompt_tokens, found[event_ids[0]].completion_tokens) == (50, 10)
    assert {request.body["model"] for request in server.requests} == {"m-1"}


async def test_a_spent_budget_leaves_events_unscored_with_the_reason(
    judged_settings: Settings, server: LlmServer
) -> None:
    asked_count = len(server.requests)
    small = judged_settings.model_copy(update={"evaluator_max_tokens_count": 1_000})
    async with open_application(small, is_worker=True) as application:
        await add_metric(application, "tone", "LLM", "Judge {{outputs.answer}}")
        event_ids = await ingest(application, "SAY:[[1]]")
        [one] = await wait_for_scores(application, event_ids, 1)
    assert one.state == "unscored"
    assert one.explanation.startswith("The project's budget of 1,000 tokens in 24 hours has 1,000 left")
    assert len(server.requests) == asked_count


def test_selection_goes_by_filters_type_ground_truth_and_what_is_there() -> None:
    model = make_event("s", "e1", event_type="model", feedback={"ground_truth": "x"})
    chain = make_event("s", "e2", event_type="chain", metrics={"tone": 3})
    only_models: dict[str, Any] = {
        "filterArray": [{"field": "event_type", "operator": "is", "value": "model", "type": "string"}]
    }
    metrics = [
        define("all", enabled_in_prod=True),
        define("models", enabled_in_prod=True, filters=only_models),
        define("truth", enabled_in_prod=True, needs_ground_truth=True),
        define("tone", enabled_in_prod=True),
        define("off"),
        define("people", enabled_in_prod=True, type="HUMAN"),
        define("none", enabled_in_prod=True, sampling_percentage=0),
        define("broken", enabled_in_prod=True, filters={"filterArray": [{"operator": "?"}]}),
        define("both", enabled_in_prod=True, type="COMPOSITE", child_metrics=["tone"]),
    ]
    found = [(one.definition.name, one.event.event_id) for one in select_evaluations([model, chain], metrics)]
    assert found == [
        ("all", "e1"),
        ("all", "e2"),
        ("models", "e1"),
        ("truth", "e1"),
        ("tone", "e1"),
        ("both", "e2"),
    ]


def test_a_sample_is_repeatable_and_as_large_as_it_says() -> None:
    chosen = [is_sampled(f"event-{n}", "metric", 30) for n in range(5_000)]
    assert chosen == [is_sampled(f"event-{n}", "metric", 30) for n in range(5_000)]
    assert 0.27 < sum(chosen) / 5_000 < 0.33
    assert chosen != [is_sampled(f"event-{n}", "other", 30) for n in range(5_000)]


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with open_web_client(settings) as opened:
        yield opened


async def test_a_metric_is_tried_at_once(judged_settings: Settings) -> None:
    event = {"event_type": "model", "outputs": {"answer": "SAY:Poor. [[2]]"}, "workspace_id": "w"}
    llm = {"name": "tone", "type": "LLM", "criteria": "Judge {{outputs.answer}}", "scale": 5}
    code = {"name": "n", "type": "PYTHON", "criteria": "def f(event):\n    return len(event['outputs'])\n"}
    async with open_client(judged_settings) as client:

        async def run(path: str, metric: dict[str, Any]) -> dict[str, Any]:
            answered = await client.post(path, json={"metric": metric, "event": event})
            assert answered.status_code == 200, answered.text
            found: dict[str, Any] = answered.json()
            return found

        assert await run("/v1/metrics/run", llm) == {
            "success": True, "loading": False, "result": 2.0, "explanation": "Poor. [[2]]",
        }  # fmt: skip
        assert (await run("/v1/metrics/run_metric", code))["result"] == 1.0
        assert (await run("/metrics/run_metric", {**llm, "criteria": "{{inputs.gone}}"})) == {
            "success": False, "loading": False, "result": None,
            "explanation": "unscored: The prompt asks for inputs.gone, which the event does not have.",
        }  # fmt: skip
        assert (await run("/v1/metrics/run", {**llm, "model_provider": "elsewhere"}))["explanation"] == (
            "unscored: No provider 'elsewhere' is named in the settings."
        )
        for wrong in ({**llm, "type": "HUMAN"}, {**llm, "criteria": ""}, {**llm, "name": ""}, {"name": "x"}):
            refused = await client.post("/v1/metrics/run", json={"metric": wrong, "event": event})
            assert (refused.status_code, bool(refused.json()["message"])) == (400, True)


def test_the_key_of_a_provider_comes_from_its_variable(judged_settings: Settings, server: LlmServer) -> None:
    provider = LlmProvider(url=server.url, model="m", key_variable="JUDGE_KEY")
    settings = judged_settings.model_copy(update={"evaluator_providers": {"paid": provider}})
    open_with: Callable[[dict[str, str]], object] = lambda variables: JudgeBook(  # noqa: E731
        settings, variables
    ).open_judge("PAID", None, 100)
    assert open_with({"JUDGE_KEY": "secret"})
    with pytest.raises(Exception, match="JUDGE_KEY is not set"):
        open_with({})
