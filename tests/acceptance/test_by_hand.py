"""What the product stores of an app is what each tool prints when a person runs it: counted tool by tool."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.by_hand import BY_HAND, SILENCERS, Bench, copy_files
from tests.acceptance.conftest import AnalysedSamples, Referee, Site, open_client

from referee.tools import ToolInstaller

pytestmark = pytest.mark.timeout(900)

SDIST = "flask-admin==2.2.1"
"""A medium code base with Python and JavaScript, some of it vendored and minified."""
SAMPLE = "aurora-large-app1"
SLOW_TOOLS = ("pylint", "mypy", "semgrep")
TOOLS = [pytest.param(tool, marks=pytest.mark.slow) if tool in SLOW_TOOLS else tool for tool in BY_HAND]

MakeBench = Callable[[Site, str, Path, str], Bench]


@pytest.fixture
def make_bench(tmp_path: Path, tools_dir: Path) -> MakeBench:
    """Return a function that makes the bench for one tool: the same files, in a copy that silences nothing."""

    def make(site: Site, analysis_id: str, source: Path, tool: str) -> Bench:
        entries = site.get(f"/v1/analyses/{analysis_id}/manifest")["entries"]
        sha256 = next(entry["sha256"] for entry in entries if entry["name"] == "listing.json")
        listing = site.get(f"/v1/artifacts/{sha256}", analysis_id=analysis_id)
        languages = {file["path"]: file["language"] for file in listing["files"]}
        runs = site.get(f"/v1/analyses/{analysis_id}")["tool_runs"]
        sources, originals, work = tmp_path / "sources", tmp_path / "originals", tmp_path / "work"
        work.mkdir()
        copy_files(source, sources, languages, silencer=SILENCERS.get(tool))
        copy_files(source, originals, languages)
        return Bench(
            sources=sources,
            originals=originals,
            work=work,
            installer=ToolInstaller(tools_dir, advisories_dir=tmp_path / "advisories"),
            languages=languages,
            run=next(run for run in runs if run["tool"] == tool),
        )

    return make


@pytest.mark.parametrize("tool", TOOLS)
def test_counts_on_a_sample_are_those_of_the_tool_by_hand(
    samples: AnalysedSamples, make_bench: MakeBench, tool: str
) -> None:
    sample = samples.by_app_id[SAMPLE]
    bench = make_bench(samples, sample.analysis_id, sample.app.path, tool)

    assert bench.run["outcome"] == "succeeded"
    assert bench.run["findings_count"] + bench.run["suppressed_count"] == BY_HAND[tool](bench)


@pytest.fixture(scope="module")
def code_base(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path) -> Iterator[tuple[Site, str, Path]]:
    """A source distribution from the package index, the id of its analysis, and a server that has both."""
    folder = tmp_path_factory.mktemp("sdist")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*fetch, "--dest", str(folder), SDIST], check=True, timeout=300)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    referee = Referee(folder / "home", tools_dir)
    exported = json.loads(referee.run("analyze", str(source), "--format", "json").stdout)
    analysis_id = str(exported["results"]["task"]["task_id"]).removeprefix("task_")
    referee.ensure_up()
    try:
        with open_client(referee) as client:
            yield Site(referee, client), analysis_id, source
    finally:
        referee.run("down")


@pytest.mark.slow
@pytest.mark.parametrize("tool", BY_HAND)
def test_counts_on_a_code_base_from_the_index_are_those_of_the_tool_by_hand(
    code_base: tuple[Site, str, Path], make_bench: MakeBench, tool: str
) -> None:
    bench = make_bench(*code_base, tool)
    run = bench.run

    # The distribution pins no dependency, and the product says so instead of calling it clean.
    expected = ("not_applicable", "None of the") if tool == "safety" else ("succeeded", "")
    assert run["outcome"] == expected[0] and run["reason"].startswith(expected[1])
    assert (run["findings_count"] or 0) + (run["suppressed_count"] or 0) == BY_HAND[tool](bench)
