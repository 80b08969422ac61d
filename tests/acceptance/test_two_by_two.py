"""A pipeline of two models × two templates, by the command line alone: four apps, fifteen tools, four everywhere."""

from __future__ import annotations

import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.apps.generation.conftest import NOTES
from tests.apps.generation.replies import BACKEND, FRONTEND
from tests.llm_server import Request, Response, answer, serve_llm
from tests.programs import Referee

from referee.analysis import AnalysisRequest, plan_runs

pytestmark = [pytest.mark.slow, pytest.mark.apt, pytest.mark.timeout(1_500)]

PIPELINE = """\
name: two by two
generate: {models: [pico, nano], templates: [notes, memos]}
analysis: {profile: deep}
limits: {cells_at_once: 2, attempts: 2, retry_pauses_s: [1]}
"""
MODELS = """\
model_name,slug,input_usd_per_mtok,output_usd_per_mtok,context_tokens
maker/pico-7b,pico,0.5,1.5,128000
maker/nano-1b,nano,0.1,0.2,32000
"""


def replay(request: Request) -> Response:
    """Answer as a model that can: the backend, then the frontend."""
    asks_for_frontend = "frontend" in request.body["messages"][-1]["content"].lower().split("\n", 1)[0]
    return answer(FRONTEND if asks_for_frontend else BACKEND, usage=(1_000, 500))


def test_four_apps_are_four_on_page_api_command_line_export_and_disk(
    tmp_path: Path, home: Path, referee: Referee
) -> None:
    (tmp_path / "models.csv").write_text(MODELS)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    assert referee("model", "import", str(tmp_path / "models.csv")).returncode == 0
    for slug in ("notes", "memos"):
        (tmp_path / f"{slug}.json").write_text(json.dumps({**NOTES, "slug": slug}))
        assert referee("template", "import", str(tmp_path / f"{slug}.json")).returncode == 0
    try:
        with serve_llm(replay) as server:
            check_four(tmp_path, home, referee, server.url)
    finally:
        referee("down")


def check_four(tmp_path: Path, home: Path, referee: Referee, generator_url: str) -> None:
    """Run the pipeline and count on every surface."""
    variables = {
        "REFEREE_GENERATOR_URL": generator_url,
        "REFEREE_GENERATOR_REQUESTS_PER_MINUTE_COUNT": "6000",
    }
    assert referee("up", "--detach", "--port", "0", **variables).returncode == 0
    file = str(tmp_path / "pipeline.yaml")
    started = referee("pipeline", "run", file, "--no-wait", "--key", "once", **variables)
    pipeline_id = re.search(r"pipeline_([0-9a-f-]+)", started.stdout)
    assert pipeline_id is not None, started.stderr
    url = json.loads(referee("status", "--json").stdout)["url"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        pipeline = wait_for_end(client, pipeline_id[1])
        again = referee("pipeline", "run", file, "--no-wait", "--key", "once", **variables)
        assert pipeline_id[1] in again.stdout, "the same key with the same file is the same pipeline"
        cells = client.get(f"/v1/pipelines/{pipeline_id[1]}/cells").json()["items"]
        assert pipeline["state"] == "completed", [cell["reason"] for cell in cells]
        assert [cell["is_valid"] for cell in cells] == [True] * 4
        assert pipeline["cells"]["total_count"] == pipeline["cells"]["valid_count"] == len(cells) == 4
        analyses = {cell["analysis_id"] for cell in cells}
        assert len(analyses) == client.get("/v1/analyses").json()["total_count"] == 4
        assert client.get("/v1/apps").json()["total_count"] == 4
        page = client.get(f"/ui/pipelines/{pipeline_id[1]}", headers={"Accept": "text/html"}).text
        assert set(re.findall(r"/ui/analyses/([0-9a-f-]{36})", page)) == analyses
        planned = {run.tool for run in plan_runs(AnalysisRequest(path=".", profile="deep"))}
        assert len(planned) >= 15
        for analysis_id in analyses:
            runs = client.get(f"/v1/analyses/{analysis_id}").json()["tool_runs"]
            assert {run["tool"] for run in runs} >= planned
            assert {run["outcome"] for run in runs} <= {"succeeded", "not_applicable", "unavailable"}
    shown = json.loads(referee("pipeline", "show", pipeline_id[0], "--json").stdout)
    assert shown["cells"]["total_count"] == 4
    exported = tmp_path / "export.zip"
    assert referee("pipeline", "export", pipeline_id[0], "-o", str(exported)).returncode == 0
    with zipfile.ZipFile(exported) as archive:
        counts = json.loads(archive.read("export_metadata.json"))["statistics"]
    assert (counts["cells_count"], counts["apps_count"], counts["analyses_count"]) == (4, 4, 4)
    assert counts["apps_with_source_count"] == 4
    assert len(list((home / "results").glob("*/app*/task_*"))) == 4
    assert len(list((home / "generated" / "apps").glob("*/app*"))) == 4


def wait_for_end(client: httpx.Client, pipeline_id: str) -> dict[str, Any]:
    """Return the pipeline when it has ended."""
    deadline_s = time.monotonic() + 1_200
    while True:
        pipeline: dict[str, Any] = client.get(f"/v1/pipelines/{pipeline_id}").json()
        if pipeline["finished_at"] is not None or pipeline["state"] == "paused":
            return pipeline
        assert time.monotonic() < deadline_s, pipeline
        time.sleep(1)
