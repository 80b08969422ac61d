"""``referee app run|status|logs|stop`` and ``referee template`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.apps.conftest import SERVER, WriteApp, list_processes
from tests.programs import Referee

TEMPLATES = Path(__file__).parents[2] / "samples" / "templates"
CRASH = "import sys\nprint('KeyError: API_KEY', flush=True)\nsys.exit(3)\n"
ANSWER = "self.send_response(200); self.end_headers()"


@pytest.mark.slow
def test_app_is_started_looked_at_and_stopped(referee: Referee, write_app: WriteApp, home: Path) -> None:
    folder = str(write_app(SERVER.format(answer=ANSWER)))

    started = referee("app", "run", folder, "--json", REFEREE_APP_LINGER_S="0")
    status = referee("app", "status")
    logs = referee("app", "logs", folder)
    stopped = referee("app", "stop", folder)
    after = referee("app", "status")

    run = json.loads(started.stdout)
    assert (run["state"], [target["name"] for target in run["targets"]]) == ("running", ["backend"])
    assert status.stdout.startswith("app  running  app_run_")
    assert "backend  request /" in logs.stdout
    assert (stopped.stdout, after.stdout) == ("app is stopped.\n", "No app is up.\n")
    assert list_processes(f"REFEREE_HOME={home}\0", "hosting") == []


@pytest.mark.slow
def test_down_stops_what_a_person_left_up(referee: Referee, write_app: WriteApp, home: Path) -> None:
    folder = str(write_app(SERVER.format(answer=ANSWER)))
    started = referee("app", "run", folder, REFEREE_APP_LINGER_S="0")

    down = referee("down")

    assert (started.returncode, down.returncode) == (0, 0)
    assert "1 apps that people kept up are stopped too." in down.stdout
    assert list_processes(f"REFEREE_HOME={home}\0", "hosting") == []


@pytest.mark.slow
def test_app_that_does_not_run_says_why_and_ends_with_12(referee: Referee, write_app: WriteApp) -> None:
    failed = referee("app", "run", str(write_app(CRASH)))

    assert failed.returncode == 12
    assert "(crashed): backend ended before it answered" in failed.stderr
    assert "  | KeyError: API_KEY" in failed.stderr


def test_folder_without_an_app_is_bad_input(referee: Referee, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "shapes.py").write_text("SIDES = 4\n")

    refused = referee("app", "run", str(tmp_path / "library"))

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Nothing in this folder can be started." in refused.stderr


@pytest.mark.slow
def test_template_is_imported_and_listed(referee: Referee) -> None:
    imported = referee("template", "import", str(TEMPLATES / "task-board.json"))
    listed = json.loads(referee("template", "list", "--json").stdout)

    assert imported.stdout == "task-board  Task board\n"
    assert [one["slug"] for one in listed["items"]] == ["task-board"]
