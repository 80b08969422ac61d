"""What the product stored about the sample apps is what ``samples/expected.toml`` says of them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.acceptance.conftest import AnalysedApp, AnalysedSamples
from tests.samples_apps.expectations import TOOLS, Place, find_missing

pytestmark = pytest.mark.timeout(600)


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


def test_everything_that_was_stored_is_verified(samples: AnalysedSamples) -> None:
    samples.referee.run("verify")
