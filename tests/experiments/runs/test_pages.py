"""Pages of runs: what they show of real runs, with hostile names and texts."""

from __future__ import annotations

import re

import httpx
from tests.experiments.runs.conftest import MakeRun

HOSTILE = "<img src=x onerror=alert(1)>"


async def read(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text[:400]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


async def test_the_list_of_runs_is_found_filtered_and_says_when_it_is_empty(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    assert "No runs yet" in await read(client, "/ui/runs")
    await make_run("baseline", {}, dataset_id="EXT-golden")
    await client.post("/v1/runs", json={"name": "candidate", "status": "failed"})
    text = await read(client, "/ui/runs")
    assert "baseline" in text
    assert "EXT-golden" in text
    failed = await read(client, "/ui/runs?filter=status:failed")
    assert ("candidate" in failed, "EXT-golden" in failed) == (True, False)
    assert "No runs match" in await read(client, "/ui/runs?filter=nothing")


async def test_a_result_shows_aggregates_with_intervals_and_failures_first(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    scores = {f"EXT-{n}": {"ok": n > 2, "accuracy": n / 10} for n in range(8)}
    run_id = await make_run("baseline", {**scores, "EXT-boom": {"error": "ValueError: no"}})
    text = await read(client, f"/ui/runs/{run_id}")
    assert "Datapoints 9 9 trials" in text
    assert "Failed 4 of 9" in text
    assert re.search(r"ok answer client side 0\.625 0\.306 to 0\.863 8 5 of 8", text)
    assert text.index("EXT-boom") < text.index("EXT-0") < text.index("EXT-7")
    assert "ValueError: no" in text


async def test_a_comparison_shows_the_worst_datapoints_first_with_the_words_that_differ(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    old = await make_run("old", {f"EXT-{n}": {"accuracy": 0.5} for n in range(5)})
    new = await make_run("new", {f"EXT-{n}": {"accuracy": n / 4} for n in range(5)})
    path = f"/ui/runs/{new}/compare/{old}"
    text = await read(client, path)
    assert "Common datapoints 5 0 are in one run only" in text
    rows = re.findall(r"(EXT-\d) (worse|better|same) 0\.5", text)
    assert rows == [
        ("EXT-0", "worse"),
        ("EXT-1", "worse"),
        ("EXT-2", "same"),
        ("EXT-3", "better"),
        ("EXT-4", "better"),
    ]
    html = (await client.get(path, headers={"Accept": "text/html"})).text
    assert "<del>old</del><ins>new</ins> on EXT-0" in html
    better = await read(client, f"{path}?change=improved&metric=accuracy%40answer")
    assert ("EXT-4 better" in better, "EXT-0 worse" in better) == (True, False)
    assert "No datapoint is of this kind" in await read(client, f"{path}?change=missing")
    assert "No datapoint is of this kind" in await read(client, f"{path}?page=9")


async def test_hostile_texts_stay_texts(client: httpx.AsyncClient, make_run: MakeRun) -> None:
    metrics = {HOSTILE: 1.0, f"{HOSTILE}_explanation": HOSTILE, "tone": HOSTILE, "error": HOSTILE}
    old = await make_run(HOSTILE, {HOSTILE: metrics}, dataset_id=f"EXT-{HOSTILE}", description=HOSTILE)
    new = await make_run(f"{HOSTILE}{HOSTILE}", {HOSTILE: metrics})
    for path in ("/ui/runs", f"/ui/runs/{old}", f"/ui/runs/{new}/compare/{old}"):
        answer = await client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text
        assert "&lt;img" in answer.text


async def test_the_form_of_a_result_leads_to_a_comparison(
    client: httpx.AsyncClient, make_run: MakeRun
) -> None:
    old, new = await make_run("old", {}), await make_run("new", {})
    answer = await client.get(f"/ui/runs/{new}", params={"baseline": old})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/runs/{new}/compare/{old}")
    assert "Common datapoints 0" in await read(client, answer.headers["location"])


async def test_a_run_that_is_not_there_is_a_page_that_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ui/runs/nothing", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "There is no such run." in answer.text
