"""What the product stored about the sample apps is what ``samples/expected.toml`` says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from tests.acceptance.conftest import AnalysedApp, AnalysedSamples
from tests.samples_apps.expectations import TOOLS, Place, find_missing

from referee.tools.sarif import validate_sarif

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def oasis(pytestconfig: pytest.Config) -> Draft4Validator:
    """The OASIS schema of SARIF 2.1.0 in a validator that is not the product's."""
    path = pytestconfig.rootpath / "src" / "referee" / "tools" / "schemas" / "sarif-2.1.0.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def to_place(finding: dict[str, Any]) -> Place:
    """Return what of a finding of the API decides whether it was expected."""
    return Place(
        rule_id=finding["rule_id"],
        path=finding["path"] or "",
        start_line=finding["start_line"],
        is_suppressed=finding["suppression"] is not None,
        text=f"{finding['message']} {finding['help_url']}",
    )


def test_every_tool_ends_as_expected_of_the_app(samples: AnalysedSamples, sample: AnalysedApp) -> None:
    analysis = samples.get(f"/v1/analyses/{sample.analysis_id}")

    assert analysis["state"] == "completed"
    assert {run["tool"]: run["outcome"] for run in analysis["tool_runs"]} == sample.app.outcomes


def test_every_tool_that_does_not_apply_says_why(samples: AnalysedSamples, sample: AnalysedApp) -> None:
    analysis = samples.get(f"/v1/analyses/{sample.analysis_id}")

    reasons = {
        run["tool"]: run["reason"] for run in analysis["tool_runs"] if run["outcome"] == "not_applicable"
    }
    assert reasons.keys() == sample.app.outcome_reasons.keys()
    assert all(reasons.values())


@pytest.mark.parametrize("tool", TOOLS)
def test_stored_findings_hold_every_mistake_that_the_tool_is_named_for(
    samples: AnalysedSamples, sample: AnalysedApp, tool: str
) -> None:
    findings = samples.list_all(f"/v1/analyses/{sample.analysis_id}/findings", f"tool:{tool}")

    assert find_missing(sample.app, tool, [to_place(finding) for finding in findings]) == []


def test_app_is_known_by_its_model_and_number(samples: AnalysedSamples, sample: AnalysedApp) -> None:
    subject = samples.get(f"/v1/analyses/{sample.analysis_id}")["subject"]

    assert (subject["kind"], subject["model"], subject["number"]) == (
        "app",
        sample.app.model,
        sample.app.app_number,
    )


def test_sarif_log_of_every_tool_run_fits_the_oasis_schema(
    samples: AnalysedSamples, sample: AnalysedApp, oasis: Draft4Validator
) -> None:
    results_path = samples.get(f"/v1/analyses/{sample.analysis_id}")["results_path"]
    folder = samples.referee.home / "results" / str(results_path) / "sarif"
    logs = {tool: _read_log(folder / f"static_{tool}.sarif.json") for tool in TOOLS}

    assert {tool: _list_errors(oasis, log) for tool, log in logs.items()} == {tool: [] for tool in TOOLS}
    assert {tool: log["runs"][0]["tool"]["driver"]["name"] for tool, log in logs.items()} == {
        tool: tool for tool in TOOLS
    }


def test_merged_sarif_log_has_a_run_for_each_tool_and_fits_the_oasis_schema(
    samples: AnalysedSamples, sample: AnalysedApp, oasis: Draft4Validator
) -> None:
    log = json.loads(samples.export(sample.analysis_id, "sarif"))

    validate_sarif(log)
    assert _list_errors(oasis, log) == []
    assert sorted(run["tool"]["driver"]["name"] for run in log["runs"]) == sorted(TOOLS)
    assert all(run["invocations"][0]["executionSuccessful"] for run in log["runs"])


def _read_log(path: Path) -> Any:
    log = json.loads(path.read_text(encoding="utf-8"))
    validate_sarif(log)
    return log


def _list_errors(validator: Draft4Validator, log: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)]


def test_everything_that_was_stored_is_verified(samples: AnalysedSamples) -> None:
    samples.referee.run("verify")
