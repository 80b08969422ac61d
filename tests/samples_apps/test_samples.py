"""The sample apps and what is expected of them: well formed, consistent, and nothing in them gives it away."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version
from tests.samples_apps.expectations import (
    RUNTIME_TOOLS,
    SAMPLES_DIR,
    TOOLS,
    SampleApp,
    load_sample_apps,
)

from referee.core.vocabulary import Outcome
from referee.tools.advisories import data

APPS = load_sample_apps()
TEMPLATES = sorted((SAMPLES_DIR / "templates").glob("*.json"))
TEMPLATE_KEYS = {
    "slug", "name", "category", "description", "backend_requirements", "frontend_requirements",
    "admin_requirements", "api_endpoints", "admin_api_endpoints", "data_model",
}  # fmt: skip
SCRIPT_SUFFIXES = {".js", ".mjs", ".cjs"}
SECRET_SHAPES = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{20,}|\bsk[-_][0-9A-Za-z_-]{16,}|xox[abprs]-|AIza[0-9A-Za-z_-]{30,}"
    r"|-----BEGIN|eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\."
)
GIVEAWAYS = re.compile(
    r"vulnerab|insecure|unsafe on purpose|planted|deliberate|\bCWE\b|\bflaw|\bFIXME\b|expected\.toml", re.I
)

each_app = pytest.mark.parametrize("app", APPS, ids=lambda app: app.app_id)
each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


def files_of(app: SampleApp) -> list[Path]:
    """Return the app's committed kind of files, without what a run or an installation leaves."""
    left_over = {"node_modules", "dist", "__pycache__", "uploads", "cache", "backups"}
    return [
        path
        for path in sorted(app.path.rglob("*"))
        if path.is_file() and not left_over.intersection(path.relative_to(app.path).parts)
    ]


def source_files_of(app: SampleApp) -> list[Path]:
    """Return the files that the model wrote by hand."""
    return [path for path in files_of(app) if path.name != "package-lock.json"]


def versions_affected(package: str, version: str) -> bool:
    """Tell whether one of the packaged advisories is about this version."""
    records: list[dict[str, Any]] = json.loads((Path(data.__path__[0]) / "pypi.json").read_text("utf-8"))
    return any(
        _is_inside(Version(version), span["events"])
        for record in records
        for affected in record["affected"]
        for span in affected.get("ranges", [])
        if affected["package"]["name"] == package
    )


def _is_inside(version: Version, events: list[dict[str, str]]) -> bool:
    bounds = [(key, Version(text)) for event in events for key, text in event.items()]
    passed = [key for key, bound in bounds if bound <= version]
    return passed.count("introduced") > passed.count("fixed")


def test_two_authors_wrote_two_templates_each() -> None:
    assert Counter((app.model, app.template) for app in APPS) == Counter(
        (model, template)
        for model in ("aurora-large", "pico-coder")
        for template in ("task-board", "shop-orders")
    )


def test_every_app_folder_is_expected() -> None:
    folders = {path.parent for path in (SAMPLES_DIR / "apps" / "models").glob("*/app*/backend")}
    assert folders == {app.path for app in APPS}


@each_app
def test_outcomes_name_every_tool_and_explain_each_that_does_not_succeed(app: SampleApp) -> None:
    assert tuple(app.outcomes) == TOOLS
    assert set(app.outcomes.values()) <= set(Outcome)
    assert set(app.outcome_reasons) == {
        tool for tool, outcome in app.outcomes.items() if outcome != Outcome.succeeded
    }


@each_app
def test_jshint_is_not_applicable_exactly_where_no_plain_script_is(app: SampleApp) -> None:
    has_scripts = any(path.suffix in SCRIPT_SUFFIXES for path in files_of(app))
    assert (app.outcomes["jshint"] == Outcome.succeeded) is has_scripts


@each_app
def test_mistakes_have_unique_ids_and_known_words(app: SampleApp) -> None:
    ids = [mistake.mistake_id for mistake in app.mistakes]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(rf"{app.app_id}/[a-z0-9-]+", mistake_id) for mistake_id in ids)
    assert all(re.fullmatch(r"CWE-\d+", mistake.cwe or "") for mistake in app.mistakes)
    assert {found.tool for mistake in app.mistakes for found in mistake.found_by} <= set(TOOLS)


@each_app
def test_mistakes_that_no_tool_finds_say_why_and_only_those(app: SampleApp) -> None:
    assert all((mistake.reason is None) is bool(mistake.found_by) for mistake in app.mistakes)


@each_app
def test_every_anchor_stands_once_in_its_file(app: SampleApp) -> None:
    places = {
        (mistake.file, anchor)
        for mistake in app.mistakes
        for anchor in (mistake.anchor, *(found.anchor for found in mistake.found_by))
    }
    assert [place for place in places if app.read(place[0]).count(place[1]) != 1] == []


@each_app
def test_every_app_has_at_least_eight_mistakes_that_tools_find(app: SampleApp) -> None:
    assert sum(bool(mistake.found_by) for mistake in app.mistakes) >= 8


def test_every_tool_finds_at_least_two_mistakes() -> None:
    counts = Counter(found.tool for app in APPS for mistake in app.mistakes for found in mistake.found_by)
    assert {tool: counts[tool] for tool in TOOLS if counts[tool] < 2} == {}


def test_suppressed_mistakes_exist_for_python_and_for_scripts() -> None:
    tools = {
        found.tool
        for app in APPS
        for mistake in app.mistakes
        for found in mistake.found_by
        if mistake.is_suppressed
    }
    assert tools == {"bandit", "eslint"}


@each_app
def test_runtime_outcomes_name_every_tool_that_meets_the_app(app: SampleApp) -> None:
    assert tuple(app.runtime_outcomes) == RUNTIME_TOOLS
    assert {outcome for outcomes in app.runtime_outcomes.values() for outcome in outcomes} <= set(Outcome)


@each_app
def test_runtime_mistakes_have_unique_ids_and_known_words(app: SampleApp) -> None:
    ids = [mistake.mistake_id for mistake in app.runtime_mistakes]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(rf"{app.app_id}/[a-z0-9-]+", mistake_id) for mistake_id in ids)
    assert all(re.fullmatch(r"CWE-\d+", mistake.cwe or "CWE-0") for mistake in app.runtime_mistakes)
    assert {found.tool for mistake in app.runtime_mistakes for found in mistake.found_by} <= set(
        RUNTIME_TOOLS
    )


@each_app
def test_runtime_mistakes_that_no_tool_finds_say_why_and_only_those(app: SampleApp) -> None:
    assert all((mistake.reason is None) is bool(mistake.found_by) for mistake in app.runtime_mistakes)


@each_app
def test_every_app_has_at_least_eight_runtime_mistakes_that_tools_find(app: SampleApp) -> None:
    assert sum(bool(mistake.found_by) for mistake in app.runtime_mistakes) >= 8


@each_app
def test_vulnerable_pins_are_in_the_packaged_advisories(app: SampleApp) -> None:
    pins = [
        mistake.anchor.lower().split("==")
        for mistake in app.mistakes
        if "==" in mistake.anchor and mistake.dependency
    ]
    assert pins
    assert [pin for pin in pins if not versions_affected(pin[0], pin[1])] == []


@each_app
def test_python_files_compile(app: SampleApp) -> None:
    files = [path for path in files_of(app) if path.suffix == ".py"]
    assert files
    for path in files:
        compile(path.read_text("utf-8"), str(path), "exec")


@each_app
def test_sources_are_small_but_real(app: SampleApp) -> None:
    suffixes = {".py", ".js", ".jsx", ".mjs", ".ts", ".tsx"}
    lines_count = sum(
        len(path.read_text("utf-8").splitlines()) for path in files_of(app) if path.suffix in suffixes
    )
    assert 250 <= lines_count <= 1000


@each_app
def test_nothing_in_the_source_gives_the_mistakes_away(app: SampleApp) -> None:
    assert [path.name for path in source_files_of(app) if GIVEAWAYS.search(path.read_text("utf-8"))] == []


@each_app
def test_no_secret_looks_real(app: SampleApp) -> None:
    assert [path.name for path in source_files_of(app) if SECRET_SHAPES.search(path.read_text("utf-8"))] == []


@each_app
def test_lock_files_name_no_address(app: SampleApp) -> None:
    locks = [path for path in files_of(app) if path.name == "package-lock.json"]
    assert [path for path in locks if "://" in path.read_text("utf-8")] == []


@each_app
def test_lock_files_agree_with_their_package_files(app: SampleApp) -> None:
    package = json.loads(app.read("frontend/package.json"))
    locked = [
        json.loads(path.read_text("utf-8"))["packages"][""]
        for path in app.path.glob("frontend/package-lock.json")
    ]
    assert [entry["dependencies"] for entry in locked] == [package["dependencies"]] * len(locked)


def test_most_frontends_are_locked() -> None:
    assert sum((app.path / "frontend" / "package-lock.json").exists() for app in APPS) == 3


def test_every_app_was_asked_for_a_template_that_is_here() -> None:
    assert {app.template for app in APPS} == {path.stem for path in TEMPLATES}


@each_template
def test_templates_are_valid(path: Path) -> None:
    template: dict[str, Any] = json.loads(path.read_text("utf-8"))
    endpoints = [*template["api_endpoints"], *template["admin_api_endpoints"]]
    assert set(template) == TEMPLATE_KEYS
    assert template["slug"] == path.stem
    assert len(template["backend_requirements"]) == 6
    assert 6 <= len(template["frontend_requirements"]) <= 8
    assert len(template["admin_requirements"]) == 2
    assert all(set(entry) == {"method", "path", "description", "request", "response"} for entry in endpoints)
    assert all(entry["path"].startswith("/api/") for entry in endpoints)
    assert len({(entry["method"], entry["path"]) for entry in endpoints}) == len(endpoints)
    assert set(template["data_model"]) == {"name", "fields"}


@each_app
def test_unmet_endpoints_are_in_the_template(app: SampleApp) -> None:
    template = json.loads((SAMPLES_DIR / "templates" / f"{app.template}.json").read_text("utf-8"))
    asked = {
        f"{entry['method']} {entry['path']}"
        for entry in (*template["api_endpoints"], *template["admin_api_endpoints"])
    }
    assert set(app.unmet_endpoints) <= asked


def test_readme_warns_against_deploying() -> None:
    text = (SAMPLES_DIR / "README.md").read_text("utf-8")
    assert "deliberately flawed" in text
    assert "must not be deployed" in text
