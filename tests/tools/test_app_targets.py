"""Targets in raw output, stable names of paths, and what a source tells about where to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from referee.core.findings import JsonValue
from referee.core.sources import SourceSnapshot
from referee.core.targets import Target
from referee.tools import RawOutput, ToolPlan
from referee.tools.app_targets import (
    PathNames,
    join_outputs,
    list_seeds,
    name_streams,
    plan_with_routes,
    read_met_targets,
    select_output,
)
from referee.tools.contract import RunningApp

BACKEND = Target(name="backend", url="http://127.0.0.1:5001", port=5001, framework="flask")

FLASK = """from flask import Flask, request
app = Flask(__name__)


@app.route("/api/tasks/search")
def search():
    return request.args.get("q", "") + request.args["sort"]


@app.route("/api/tasks/<int:task_id>")
def task(task_id):
    return {}


@app.route("/api/login", methods=["POST"])
def login():
    return {}
"""
FASTAPI = """from fastapi import Depends, FastAPI
app = FastAPI()


@app.get("/api/continue")
def move_on(next: str = "/", page: int = 1, user: str = Depends(print)):
    return next


@app.get("/api/items/{item_id}")
def item(item_id: int, detail: bool = False):
    return {}


@app.get("/api/exports/{kind}")
def download(kind: str, name: str, user: str = Depends(print), limit: int | None = None) -> Response:
    return {}
"""
EXPRESS = """const express = require("express");
const app = express();
app.get("/api/find", (req, res) => {
  const { q, limit } = req.query;
  res.json({ q, limit, order: req.query.order });
});
"""


def make_output(**streams: bytes) -> RawOutput:
    return RawOutput(
        streams=streams,
        total_bytes={name: len(data) for name, data in streams.items()},
        end="exited",
        exit_code=0,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )


def make_names(*paths: str) -> PathNames:
    kept: list[JsonValue] = list(paths)
    return PathNames(ToolPlan(parameters={}, details={"paths": kept}))


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ("/api/tasks/17?q=x#top", "/api/tasks/:task_id"),
        ("http://127.0.0.1:5001/api/tasks/abc", "/api/tasks/:task_id"),
        ("/api/tasks/17/comments/9", "/api/tasks/:id/comments/:id"),
        ("/files/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/files/:id"),
        ("/assets/index-BX3kd9Qa.js", "/assets/index-*.js"),
        ("/assets/index-BX3kd9Qa.js.map", "/assets/index-*.js.map"),
        ("/static/my-settings.js", "/static/my-settings.js"),
        ("", "/"),
        ("http://[", "/"),
    ],
)
def test_names_of_paths_stay_the_same(sent: str, named: str) -> None:
    assert make_names("/api/tasks/:task_id").name(sent) == named


def test_outputs_of_commands_come_back_as_they_went_in() -> None:
    met = name_streams(RunningApp(targets=(BACKEND,), network=None, app_run_id="test"))
    joined = join_outputs(
        met, {"a.home": make_output(stdout=b"1"), "a.table": make_output(stdout=b"2")}, {"n": 3}
    )
    again, document = read_met_targets(joined)
    assert again == met
    assert document["n"] == 3
    assert select_output(joined, "a.home").streams == {"stdout": b"1"}
    assert select_output(joined, "a.table").streams == {"stdout": b"2"}


def test_targets_of_one_name_have_streams_of_their_own() -> None:
    odd = Target(name="../x", url="http://127.0.0.1:1", port=1)
    app = RunningApp(targets=(BACKEND, BACKEND, odd), network=None, app_run_id="test")
    assert [one.stream for one in name_streams(app)] == ["backend", "backend2", "___x"]


@pytest.mark.parametrize(
    ("file", "text", "seeds"),
    [
        ("backend/app.py", FLASK, ("/api/tasks/1", "/api/tasks/search?q=1&sort=1")),
        (
            "backend/main.py",
            FASTAPI,
            ("/api/continue?next=1&page=1", "/api/exports/1?name=1&limit=1", "/api/items/1?detail=1"),
        ),
        ("backend/server.js", EXPRESS, ("/api/find?order=1&q=1&limit=1",)),
    ],
)
def test_source_tells_where_to_begin_and_which_fields_are_read(
    write_app: Callable[[Mapping[str, str]], Path],
    snapshot_of: Callable[[Path], SourceSnapshot],
    file: str,
    text: str,
    seeds: tuple[str, ...],
) -> None:
    plan = plan_with_routes(snapshot_of(write_app({file: text})), {})
    assert tuple(sorted(list_seeds(plan, BACKEND))) == seeds


def test_routes_that_take_a_body_are_known(
    write_app: Callable[[Mapping[str, str]], Path], snapshot_of: Callable[[Path], SourceSnapshot]
) -> None:
    plan = plan_with_routes(snapshot_of(write_app({"backend/app.py": FLASK})), {})
    assert list_seeds(plan, BACKEND, "writes") == ("/api/login",)


def test_seed_that_does_not_fit_into_a_url_is_left_out() -> None:
    entries: list[JsonValue] = [
        {"target": "backend", "path": path} for path in ("/ok", "/a b", "//\n", "/%00", "relative", "/<b>")
    ]
    plan = ToolPlan(parameters={}, details={"seeds": entries})
    assert list_seeds(plan, BACKEND) == ("/ok",)
