"""``referee pipeline run|plan|preset`` and ``app import|sbom`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.apps.strangers_folder import APP, write_files
from tests.programs import Referee

FILE = "name: kept\nexisting: {apps: [ash/app1]}\nanalysis: {tools: [vulture]}\n"


@pytest.mark.slow
def test_folder_is_imported_and_planned_and_an_app_has_its_bill(referee: Referee, tmp_path: Path) -> None:
    write_files(tmp_path / "models/ash/app1", {"main.py": APP, "requirements.txt": "flask==2.2.2\n"})
    write_files(tmp_path / "models/ash/app2", {"main.py": "pass\n"})

    imported = referee("app", "import", str(tmp_path), "--json")
    assert imported.returncode == 0, imported.stderr
    found = json.loads(imported.stdout)
    assert [(one["number"], one["placeholder"]) for one in found["items"]] == [(1, None), (2, "empty")]
    assert found["left_out_count"] == 0

    planned = referee("pipeline", "plan", "--folder", str(tmp_path), "--tool", "vulture")
    assert planned.returncode == 0, planned.stderr
    assert "Cells: 2 cells: apps of 1 model that exist, each analysed once." in planned.stdout
    assert "ash/app2: It holds 1 file with code, and none does anything." in planned.stdout

    bill = referee("app", "sbom", "ash/app1")
    assert [one["purl"] for one in json.loads(bill.stdout)["components"]] == ["pkg:pypi/flask@2.2.2"]


@pytest.mark.slow
def test_preset_is_kept_shown_and_named_when_it_is_missing(referee: Referee, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(FILE)

    missing = referee("pipeline", "run")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "No pipeline was named, and no preset is the default." in missing.stderr

    saved = referee(
        "pipeline", "preset", "save", "my $(nightly)", str(tmp_path / "pipeline.yaml"), "--default"
    )
    assert saved.stdout.splitlines() == [
        "Saved 'my $(nightly)', the default.",
        "Start it with: referee pipeline run --preset 'my $(nightly)'",
    ]
    assert referee("pipeline", "preset", "show", "my $(nightly)").stdout == FILE
    unknown = referee("pipeline", "plan")
    assert unknown.returncode == 2
    assert "There is no app 'ash/app1'." in unknown.stderr, "the default is what is planned"
