"""The API's document in the hands of strangers' tools: a validator, a maker of clients, a fuzzer on a live server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients.environments import ensure_client
from tests.programs import Referee

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "reference" / "openapi.json"
UNLIKE_THE_SERVER = {
    "negative_data_rejection": "clients send numbers as text and true as 1; both are taken",
    "positive_data_acceptance": "a cursor, a folder or a program has rules that no schema says",
    "allow_header_conformance": "DELETE /v1/events/schema reaches an event of that name, so Allow names it",
    "unsupported_method": "the same: it is 404 and not 405",
}
"""Checks of the fuzzer that do not hold here, with the reason."""
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "5")
"""Of each operation, in the tests that go over all of them."""
SAMPLE = ("/v1/datasets", "/v1/runs", "/v1/events/export", "/v1/analyses", "/v1/keys")


@dataclass(frozen=True)
class Server:
    """A running server that asks for keys."""

    url: str
    key: str


@pytest.fixture
def tools(tools_dir: Path) -> Path:
    """Folder of the tools' programs, which outlives the test."""
    folder = tools_dir.parent / "test-clients"
    folder.mkdir(parents=True, exist_ok=True)
    return ensure_client(folder, "contract-tools").parent


@pytest.fixture
def server(referee: Referee) -> Iterator[Server]:
    """Start a server that listens on all addresses, so that it asks for keys, and make one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = referee("up", "--detach", "--port", str(port), REFEREE_HOST="0.0.0.0")  # noqa: S104 - as said
    assert started.returncode == 0, started.stderr
    yield Server(
        f"http://127.0.0.1:{port}", referee("key", "create", "tools", "--scope", "admin").stdout.strip()
    )
    referee("down")


def run(*arguments: str, timeout_s: float, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def fuzz(tools: Path, server: Server, folder: Path, *options: str, timeout_s: float) -> None:
    """Let Schemathesis ask the server, and fail with what it says when an answer is not as documented."""
    found = run(
        str(tools / "st"), "run", f"{server.url}/v1/openapi.json",
        "--header", f"Authorization: Bearer {server.key}",
        "--exclude-checks", ",".join(UNLIKE_THE_SERVER),
        "--continue-on-failure", "--request-timeout", "60", "--no-color", "--seed", "20260101", *options,
        timeout_s=timeout_s, cwd=folder,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-1000:]


@pytest.mark.timeout(900)
def test_a_sample_of_odd_requests_gets_documented_answers(
    tools: Path, server: Server, tmp_path: Path
) -> None:
    paths = [word for path in SAMPLE for word in ("--include-path", path)]
    fuzz(tools, server, tmp_path, "--phases", "examples,fuzzing", "-n", "4", *paths, timeout_s=800)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_odd_requests_to_every_operation_get_documented_answers(
    tools: Path, server: Server, tmp_path: Path
) -> None:
    # A zip file is nothing that the fuzzer can write; pipelines/test_importing.py does.
    options = ("--exclude-deprecated", "--exclude-path", "/v1/pipelines/import", "-n", EXAMPLES)
    fuzz(tools, server, tmp_path, *options, timeout_s=3500)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_odd_requests_to_addresses_of_older_clients_get_documented_answers(
    tools: Path, server: Server, tmp_path: Path
) -> None:
    options = ("--include-path-regex", "^/(?!v1/)", "--phases", "examples,fuzzing", "-n", EXAMPLES)
    fuzz(tools, server, tmp_path, *options, timeout_s=1700)


@pytest.mark.slow
def test_the_document_is_valid_openapi(tools: Path, tmp_path: Path) -> None:
    found = run(str(tools / "openapi-spec-validator"), str(DOCUMENT), timeout_s=120, cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_client_made_from_the_document_goes_through_the_nouns(
    tools: Path, server: Server, tmp_path: Path
) -> None:
    made = run(
        str(tools / "openapi-python-client"), "generate", "--path", str(DOCUMENT), "--meta", "none",
        "--output-path", str(tmp_path / "generated_client"), "--config", str(HERE / "contract-tools.yaml"),
        timeout_s=600, cwd=tmp_path, PATH=f"{tools}:{os.environ['PATH']}",
    )  # fmt: skip
    left_out = [line for line in made.stdout.splitlines() if "will not be generated" in line]
    assert left_out == []
    driven = run(
        str(tools / "python"), str(HERE / "drive_generated.py"), timeout_s=120, cwd=tmp_path,
        OPENAPI_DOCUMENT=str(DOCUMENT), GENERATED_PARENT=str(tmp_path),
        REFEREE_URL=server.url, REFEREE_KEY=server.key,
    )  # fmt: skip
    assert driven.returncode == 0, driven.stderr
    assert json.loads(driven.stdout) == {
        "session": ["session", "support-chat"],
        "event": [{"rating": 5}],
        "datapoint": [{"question": "2 + 2"}, {"answer": "4"}],
        "configuration": "answer",
        "metric": [True],
        "chart": "Duration of tools",
        "queue": [201, "Odd answers"],
        "run": ["completed", True, "completed"],
        "key": [201, True],
        "deleted": True,
        "gone": "dataset.not_found",
        "analyses": 0,
        "health": "ok",
    }
