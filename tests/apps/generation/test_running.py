"""Generations against a scripted server: from the question to the app's folder, and each way to fail."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.apps.generation.conftest import Write
from tests.apps.generation.replies import BACKEND, BACKEND_CODE, FRONTEND, REACT_FRONTEND, block
from tests.llm_server import Response, answer, failure

from referee.apps import get_app, run_generation
from referee.apps.running import read_app_source


async def test_app_is_written_kept_and_placed(write: Write) -> None:
    async with write(answer(BACKEND), answer(FRONTEND)) as writing:
        generation = await writing.run(seed=7)

        assert (generation.state, generation.reason, generation.version) == ("succeeded", "", 1)
        async with writing.room.database.reading() as session:
            app = await get_app(session, writing.project_id, generation.app_id)
        folder = Path(app.path)
        assert folder == writing.room.settings.generated_dir / "apps" / "pico" / "app1"
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert found == [
            "backend/app.py",
            "backend/requirements.txt",
            "frontend/app.js",
            "frontend/index.html",
        ]
        assert (folder / "backend/app.py").read_text() == BACKEND_CODE
        assert generation.source_sha256 is not None
        archive = await writing.room.artifacts.read_bytes(generation.source_sha256)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            assert sorted(packed.getnames()) == found


async def test_every_word_token_and_dollar_is_kept(write: Write) -> None:
    async with write(answer(BACKEND, usage=(1000, 2000)), answer(FRONTEND, usage=(3000, 500))) as writing:
        generation = await writing.run(seed=7, temperature=0.5)
        record = await writing.read_record(generation)

        assert (generation.prompt_tokens, generation.completion_tokens, generation.calls_count) == (
            4000,
            2500,
            2,
        )
        assert generation.cost_usd == pytest.approx((4000 * 2 + 2500 * 10) / 1e6)
        assert [call["purpose"] for call in record["calls"]] == ["backend write", "frontend write"]
        assert await writing.room.artifacts.read_bytes(record["calls"][0]["reply_sha256"]) == BACKEND.encode()
        prompt = json.loads(await writing.room.artifacts.read_bytes(record["calls"][0]["prompt_sha256"]))
        sent = writing.server.requests[0].body
        assert prompt["messages"] == sent["messages"]
        assert (sent["model"], sent["seed"], sent["temperature"]) == ("maker/pico", 7, 0.5)
        trace = json.loads(await writing.room.artifacts.read_bytes(record["trace_sha256"]))
        spans = trace["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert [span["name"] for span in spans] == [
            "generate pico/app1",
            "chat scripted-1",
            "chat scripted-1",
        ]
        assert {span["traceId"] for span in spans} == {generation.traceparent.split("-")[1]}


async def test_frontend_is_asked_for_with_the_routes_that_are_there(write: Write) -> None:
    async with write(answer(BACKEND), answer(REACT_FRONTEND)) as writing:
        generation = await writing.run()

        question = writing.server.requests[1].text
        assert "- GET /api/notes\n- POST /api/notes\n" in question
        assert [(notice.kind, notice.subject) for notice in generation.notices] == [
            ("added_file", "frontend/index.html"),
            ("added_file", "frontend/package.json"),
            ("added_file", "frontend/src/main.jsx"),
            ("added_file", "frontend/vite.config.js"),
            ("added_dependency", "axios"),
        ]
        folder = writing.room.settings.generated_dir / "apps" / "pico" / "app1"
        package = json.loads((folder / "frontend/package.json").read_text())
        assert "axios" in package["dependencies"]


async def test_cut_answer_is_continued(write: Write) -> None:
    cut = len(BACKEND) // 2
    async with write(
        answer(BACKEND[:cut], finish_reason="length"),
        answer(f"Going on:\n```python\n{BACKEND[cut - 40 :]}"),
        answer(FRONTEND),
    ) as writing:
        generation = await writing.run()

        assert generation.state == "succeeded"
        folder = writing.room.settings.generated_dir / "apps" / "pico" / "app1"
        assert (folder / "backend/app.py").read_text() == BACKEND_CODE
        assert [call.purpose for call in generation.calls][:2] == ["backend write", "backend continue"]


@pytest.mark.parametrize(
    ("first", "told", "purpose"),
    [
        ("Shall I begin with the backend?", "decide everything yourself", "backend confirm"),
        ("I cannot say much about it.", "No file could be read", "backend ask_for_code"),
        (
            block("backend/app.py", BACKEND_CODE.replace("    return jsonify(notes)\n", "    ...\n")),
            "stand for code that is not there",
            "backend fill_in",
        ),
        (
            block("backend/app.py", BACKEND_CODE + "# ... rest of the routes\n"),
            "stand for code that is not there",
            "backend fill_in",
        ),
        (block("backend/app.py", "def broken(:\n"), "cannot be parsed", "backend repair"),
    ],
)
async def test_answer_that_is_no_program_is_asked_for_again(
    write: Write, first: str, told: str, purpose: str
) -> None:
    async with write(answer(first), answer(BACKEND), answer(FRONTEND)) as writing:
        generation = await writing.run()

        assert (generation.state, generation.calls[1].purpose) == ("succeeded", purpose)
        assert told in writing.server.requests[1].text
        assert "asked_again" in [notice.kind for notice in generation.notices]


@pytest.mark.parametrize(
    ("always", "word"),
    [
        ("Before I start: would you like me to use SQLite?", "confirmation_seeking"),
        ("Nothing to see here.", "no_code"),
        (block("backend/app.py", "# TO" + "DO: implement the routes\n"), "placeholder"),
        (block("backend/app.py", "def broken(:\n"), "syntax_error"),
        ("```python backend/app.py\nx = 1\n", "truncated"),
    ],
)
async def test_model_that_does_not_learn_fails_with_the_word_for_it(
    write: Write, always: str, word: str
) -> None:
    async with write(answer(always)) as writing:
        generation = await writing.run()

        assert (generation.state, generation.failure) == ("failed", word)
        assert generation.stage == "backend"
        assert generation.source_sha256 is None
        assert (await writing.read_record(generation))["failure"] == word
        assert not (writing.room.settings.generated_dir / "apps" / "pico" / "app1").exists()


async def test_failed_regeneration_leaves_the_version_before(write: Write) -> None:
    changed = BACKEND.replace('"first"', '"second"')
    async with write(
        answer(BACKEND), answer(FRONTEND), answer(changed), answer(FRONTEND), answer("No.")
    ) as writing:
        await writing.run(number=3)
        second = await writing.run(number=3)
        third = await writing.run(number=3)

        folder = writing.room.settings.generated_dir / "apps" / "pico" / "app3"
        assert [second.version, third.version] == [2, 3]
        assert (second.state, third.state) == ("succeeded", "failed")
        assert '"second"' in (folder / "backend/app.py").read_text()
        assert [path.name for path in folder.parent.iterdir()] == ["app3"]


async def test_busy_server_is_asked_again_after_the_time_it_names(write: Write) -> None:
    async with write(
        failure(429, "slow down", retry_after="7"), failure(500, "oops"), answer(BACKEND), answer(FRONTEND)
    ) as writing:
        generation = await writing.run()

        assert (generation.state, generation.calls_count) == ("succeeded", 4)
        assert writing.waits[:2] == [7.0, 2.0]


@pytest.mark.parametrize(
    ("response", "word", "calls_count"),
    [
        (failure(429, "enough"), "rate_limited", 3),
        (failure(503, "down"), "unreachable", 3),
        (failure(403, "no"), "refused", 1),
        (answer("", refusal="I will not."), "refused", 1),
    ],
)
async def test_server_that_gives_no_answer_fails_with_the_word_for_it(
    write: Write, response: object, word: str, calls_count: int
) -> None:
    async with write(response) as writing:
        generation = await writing.run()

        assert (generation.failure, generation.calls_count) == (word, calls_count)
        assert generation.reason


async def test_budget_stops_before_the_request_that_could_exceed_it(write: Write) -> None:
    # At ten dollars a million, an answer of 32,000 tokens may cost 0.32: the second does not fit any more.
    async with write(
        answer(BACKEND, usage=(1000, 2000)), answer(FRONTEND), generator_budget_usd=0.34
    ) as writing:
        generation = await writing.run()

        assert (generation.failure, len(writing.server.requests)) == ("over_budget", 1)
        assert generation.cost_usd == pytest.approx(0.022)
        assert "REFEREE_GENERATOR_BUDGET_USD" in generation.reason


async def test_budget_cannot_be_kept_for_a_model_without_prices(write: Write) -> None:
    async with write(answer(BACKEND), prices=None, generator_budget_usd=5.0) as writing:
        generation = await writing.run()

        assert (generation.failure, generation.cost_usd, writing.server.requests) == ("over_budget", None, [])


async def test_generations_side_by_side_cannot_overdraw_the_budget(write: Write) -> None:
    async with write(
        answer(BACKEND, usage=(10, 10)), generator_budget_usd=0.5, generator_max_tokens_count=32_000
    ) as writing:
        ids = [(await writing.create()).generation_id for _ in range(4)]
        ended = await asyncio.gather(*(run_generation(writing.room, one) for one in ids))

        # Half a dollar holds one request of 0.32 at a time.
        assert "over_budget" in [one.failure for one in ended]
        assert sum(one.cost_usd or 0 for one in ended) <= 0.5


async def test_attempt_that_takes_over_does_not_ask_again(write: Write) -> None:
    async with write(answer(BACKEND), Response(is_silent=True), answer(FRONTEND)) as writing:
        generation = await writing.create()
        first = asyncio.create_task(run_generation(writing.room, generation.generation_id))
        async with asyncio.timeout(30):
            while len(writing.server.requests) < 2:
                await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

        ended = await run_generation(writing.room, generation.generation_id)

        assert ended.state == "succeeded"
        assert ["Write the backend" in request.text for request in writing.server.requests] == [
            True,
            False,
            False,
        ]
        assert [call.purpose for call in ended.calls] == ["backend write", "frontend write"]


async def test_server_that_keeps_failing_is_left_alone_for_a_while(write: Write) -> None:
    async with write(
        failure(503, "down"),
        client={"max_attempts_count": 1},
        breaker_failures_count=2,
        breaker_pause_s=120.0,
    ) as writing:
        await writing.run()
        await writing.run()
        asked_count = len(writing.server.requests)
        third = await writing.run()

        assert (third.failure, third.calls_count) == ("unreachable", 0)
        assert (len(writing.server.requests), len(writing.waits)) == (asked_count, 30)


async def test_generated_app_may_be_read_whatever_the_allowed_roots(write: Write, tmp_path: Path) -> None:
    async with write(answer(BACKEND), answer(FRONTEND), allowed_roots=[tmp_path / "elsewhere"]) as writing:
        generation = await writing.run()
        async with writing.room.database.reading() as session:
            app = await get_app(session, writing.project_id, generation.app_id)
        source = await read_app_source(writing.room, writing.project_id, app.path)

    assert (source.app_id, source.name) == (generation.app_id, "pico/app1")


async def test_thinking_before_an_answer_is_kept_and_not_read(write: Write) -> None:
    thought = "<think>Shall I begin?\n```python backend/app.py\n# ... rest of the code\n```\n</think>\n"
    async with write(answer(thought + BACKEND), answer(FRONTEND)) as writing:
        generation = await writing.run()
        record = await writing.read_record(generation)

        assert (generation.state, len(generation.calls)) == ("succeeded", 2)
        said = await writing.room.artifacts.read_bytes(record["calls"][0]["reply_sha256"])
        assert said.decode().startswith("<think>")


async def test_ended_generation_is_not_carried_out_again(write: Write) -> None:
    async with write(answer(BACKEND), answer(FRONTEND)) as writing:
        generation = await writing.run()
        again = await run_generation(writing.room, generation.generation_id)

        assert (again, len(writing.server.requests)) == (generation, 2)
