"""``referee run`` as a person types it, on a database in which two runs are."""

from __future__ import annotations

import asyncio
import json
from subprocess import CompletedProcess

from tests.experiments.runs.conftest import MakeRun
from tests.programs import Referee

from referee.foundation.settings import Settings


async def test_runs_are_listed_shown_and_compared(
    make_run: MakeRun, referee: Referee, database_settings: Settings
) -> None:
    baseline = await make_run("before", {f"d{n}": {"accuracy": 0.25} for n in range(6)})
    candidate = await make_run("after", {f"d{n}": {"accuracy": 0.75} for n in range(6)})

    async def run(*words: str) -> CompletedProcess[str]:
        url = str(database_settings.database_url)
        return await asyncio.to_thread(lambda: referee("run", *words, REFEREE_DATABASE_URL=url))

    listed, shown, compared, wrong, unknown = await asyncio.gather(
        run("list", "name:after", "--json"),
        run("show", baseline),
        run("compare", baseline, candidate, "--json"),
        run("list", "nmae:after"),
        run("show", "nobody"),
    )

    found = json.loads(listed.stdout)
    assert [(one["run_id"], one["status"]) for one in found["items"]] == [(candidate, "completed")]
    assert found["total_count"] == 1
    assert "accuracy" in shown.stdout
    assert "0.25" in shown.stdout
    (metric,) = json.loads(compared.stdout)["metrics"]
    assert metric["metric_name"] == "accuracy"
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "name" in wrong.stderr
    assert unknown.returncode == 4
    assert "There is no such run." in unknown.stderr
