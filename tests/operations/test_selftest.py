"""``referee selftest`` against a real server, and against what is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.programs import Referee

EXIT_UNFIT = 12


class Nonsense(BaseHTTPRequestHandler):
    """Answers everything with JSON that means nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'["what?"]')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_nonsense() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_installation_that_works_passes_every_check(referee: Referee, home: Path) -> None:
    assert referee("up", "--detach", "--port", "0").returncode == 0
    try:
        done = referee("selftest", "--json", "--no-run-apps", "--submitters", "8")
        listed = referee("pipeline", "list", "--json", "--project", "selftest")
        default = referee("pipeline", "list", "--json")
    finally:
        referee("down")

    rows = {row["check"]: row for row in json.loads(done.stdout)}
    slow = rows.pop("creation time")
    assert slow["measured"].endswith("ms of 8 requests")
    assert [name for name, row in rows.items() if row["verdict"] == "failed"] == [], done.stdout
    assert rows["pipeline"]["measured"] == "1 of 1 rounds completed"
    assert rows["duplicates"]["measured"] == "4 everywhere, for 8 submitters at once"
    assert "of 4 analyses read again" in rows["hand-over"]["measured"]
    assert done.returncode in (0, EXIT_UNFIT), "how fast it is depends on what else this machine does"
    (pipeline,) = json.loads(listed.stdout)["items"]
    assert (pipeline["state"], pipeline["cells"]["total_count"]) == ("completed", 4)
    assert json.loads(default.stdout)["total_count"] == 0, "its apps are in nobody else's counts"


def test_server_that_is_not_there_or_is_another_one_fails_with_a_sentence(referee: Referee) -> None:
    with serve_nonsense() as other:
        answers = [referee("selftest", "--json", "--server", url) for url in ("http://127.0.0.1:9", other)]

    for done in answers:
        assert done.returncode == EXIT_UNFIT
        assert "Traceback" not in done.stderr
        rows = json.loads(done.stdout)
        assert rows[0]["check"] == "health"
        assert {row["verdict"] for row in rows} == {"failed"}
        assert rows[0]["measured"]


def test_home_without_a_server_says_how_to_start_one(referee: Referee) -> None:
    done = referee("selftest")

    assert done.returncode == 6
    assert "Start it with `referee up`" in done.stderr


@pytest.mark.parametrize("arguments", [("--rounds", "0"), ("--submitters", "501")])
def test_numbers_out_of_range_are_refused(referee: Referee, arguments: tuple[str, str]) -> None:
    assert referee("selftest", *arguments).returncode == 2
