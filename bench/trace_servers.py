"""The backends that are measured beside each other, each started on a folder and a port of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench.environments import install_peer
from bench.otlp_spans import SpanSet
from bench.processes import find_free_port, list_home_processes

__all__ = ["PEERS", "TraceServer", "start_mlflow", "start_phoenix", "start_referee"]

READY_S = 180.0
ANSWER_S = 300.0
PEERS = ("phoenix", "mlflow")


@dataclass(slots=True, kw_only=True)
class TraceServer:
    """A running backend and how to ask it."""

    name: str
    base: str
    folder: Path
    process: subprocess.Popen[bytes]
    list_processes: Callable[[], list[psutil.Process]]
    count_spans: Callable[[], int]
    """Asks the backend's own API."""
    make_queries: Callable[[SpanSet], Mapping[str, Callable[[], object]]]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where spans go."""
        return f"{self.base}/v1/traces"


_CLIENT = httpx.Client(timeout=ANSWER_S, trust_env=False)
"""One for all, whose connections stay open as those of a browser do; making one takes longer than many answers."""


def ask(method: str, url: str, body: object = None) -> Any:
    """Return the JSON of an answer."""
    answer = _CLIENT.request(method, url, json=body)
    answer.raise_for_status()
    return answer.json()


@contextmanager
def start_referee(folder: Path) -> Iterator[TraceServer]:
    """Start this Referee with the database it brings along."""
    port = find_free_port()
    home = folder / "home"
    environment = {**os.environ, "REFEREE_HOME": str(home), "REFEREE_DATABASE_IDLE_STOP_S": "0"}
    command = [str(Path(sys.executable).with_name("referee")), "up", "--port", str(port)]
    base = f"http://127.0.0.1:{port}"

    def count() -> int:
        body = {"filters": [], "limit": 1}
        return int(ask("POST", f"{base}/v1/events/export", body)["totalEvents"])

    def make_queries(spans: SpanSet) -> Mapping[str, Callable[[], object]]:
        chooser = random.Random(5)
        has_text = [
            {"field": "outputs", "operator": "contains", "value": "generator expression", "type": "string"}
        ]
        return {
            "latest 50 traces": lambda: ask("GET", f"{base}/v1/traces?limit=50"),
            "one trace, all spans": lambda: ask("GET", f"{base}/v1/traces/{chooser.choice(spans.trace_ids)}"),
            "error filter": lambda: ask("GET", f"{base}/v1/traces?limit=50&filter=is:failed"),
            "attribute filter": lambda: ask(
                "GET", f"{base}/v1/traces?limit=50&filter=user:user-{chooser.randrange(2_000)}"
            ),
            "text in output": lambda: ask(
                "POST", f"{base}/v1/events/export", {"filters": has_text, "limit": 50}
            ),
            "latest 50 sessions": lambda: ask("GET", f"{base}/v1/sessions?limit=50"),
        }

    with _running(command, environment, f"{base}/ready", folder) as process:
        yield TraceServer(
            name="referee",
            base=base,
            folder=folder,
            process=process,
            list_processes=lambda: list_home_processes(str(home)),
            count_spans=count,
            make_queries=make_queries,
        )


@contextmanager
def start_phoenix(folder: Path) -> Iterator[TraceServer]:
    """Start Phoenix as its documentation does, on SQLite."""
    program = install_peer("phoenix")
    port = find_free_port()
    environment = {
        **os.environ,
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(find_free_port()),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    base = f"http://127.0.0.1:{port}"

    def find_project() -> dict[str, Any]:
        query = "{projects(first:50){edges{node{id name recordCount}}}}"
        found = ask("POST", f"{base}/graphql", {"query": query})["data"]["projects"]["edges"]
        named = [edge["node"] for edge in found if edge["node"]["name"] == "bench"]
        return named[0] if named else {"recordCount": 0}

    def make_queries(spans: SpanSet) -> Mapping[str, Callable[[], object]]:
        chooser, project = random.Random(5), find_project()["id"]

        def of_project(inner: str) -> object:
            query = '{project:node(id:"%s"){...on Project{%s}}}' % (project, inner)  # noqa: UP031  # braces
            answer = ask("POST", f"{base}/graphql", {"query": query})
            if answer.get("errors"):
                raise AssertionError(answer["errors"])
            return answer

        def search(condition: str) -> object:
            wanted = "edges{node{spanId name startTime latencyMs statusCode tokenCountTotal}}"
            sort = "sort:{col:startTime,dir:desc}"
            return of_project(f"spans(first:50,filterCondition:{json.dumps(condition)},{sort}){{{wanted}}}")

        def get_trace() -> object:
            wanted = "spans(first:100){edges{node{spanId name attributes startTime latencyMs}}}"
            return of_project(f'trace(traceId:"{chooser.choice(spans.trace_ids)}"){{{wanted}}}')

        return {
            "latest 50 traces": lambda: search("parent_id is None"),
            "one trace, all spans": get_trace,
            "error filter": lambda: search("status_code == 'ERROR'"),
            "attribute filter": lambda: search(
                f"attributes['user']['id'] == 'user-{chooser.randrange(2_000)}'"
            ),
            "text in output": lambda: search("'generator expression' in output.value"),
        }

    command = [str(program.with_name("phoenix")), "serve"]
    with _running(command, environment, f"{base}/healthz", folder) as process:
        yield TraceServer(
            name="phoenix",
            base=base,
            folder=folder,
            process=process,
            list_processes=lambda: _list_tree(process),
            count_spans=lambda: int(find_project()["recordCount"]),
            make_queries=make_queries,
        )


@contextmanager
def start_mlflow(folder: Path) -> Iterator[TraceServer]:
    """Start MLflow's server as its documentation does, on SQLite."""
    program = install_peer("mlflow")
    port = find_free_port()
    base = f"http://127.0.0.1:{port}"
    command = [
        *(str(program), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1"),  # several are killed by their parent on a busy machine before they have started
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--default-artifact-root", str(folder / "artifacts")),
    ]

    def count() -> int:
        body = {
            "experiment_ids": ["0"],
            "view_type": "SPANS",
            "metric_name": "span_count",
            "aggregations": [{"aggregation_type": "COUNT"}],
            "max_results": 1,
        }
        points = ask("POST", f"{base}/api/3.0/mlflow/traces/metrics", body).get("data_points") or []
        return int(next(iter(points[0]["values"].values()))) if points else 0

    def make_queries(spans: SpanSet) -> Mapping[str, Callable[[], object]]:
        chooser = random.Random(5)
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}

        def search(wanted: str | None = None) -> object:
            body: dict[str, object] = {
                "locations": [place],
                "max_results": 50,
                "order_by": ["timestamp_ms DESC"],
            }
            return ask(
                "POST",
                f"{base}/api/3.0/mlflow/traces/search",
                body if wanted is None else {**body, "filter": wanted},
            )

        get = f"{base}/api/3.0/mlflow/traces/get?trace_id=tr-"
        return {
            "latest 50 traces": search,
            "one trace, all spans": lambda: ask("GET", get + chooser.choice(spans.trace_ids)),
            "error filter": lambda: search("status = 'ERROR'"),
            "attribute filter": lambda: search(
                f"span.attributes.`user.id` LIKE '%user-{chooser.randrange(2_000)}%'"
            ),
        }

    with _running(command, dict(os.environ), f"{base}/health", folder) as process:
        yield TraceServer(
            name="mlflow",
            base=base,
            folder=folder,
            process=process,
            list_processes=lambda: _list_tree(process),
            count_spans=count,
            make_queries=make_queries,
            headers={"x-mlflow-experiment-id": "0"},
        )


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], ready_url: str, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; give it once it answers."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                httpx.get(ready_url, timeout=5, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline_s:
                    said = (folder / "server.log").read_text(errors="replace")[-2_000:]
                    raise AssertionError(f"{command[0]} does not answer: {said}") from None
                time.sleep(0.2)
        yield process
    finally:
        tree = _list_tree(process)
        process.terminate()
        _, left = psutil.wait_procs(tree, timeout=30)
        for one in left:
            one.kill()


def _list_tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
