"""What the tools say about themselves: what they found together, what all missed, whether they repeat themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from referee.core.vocabulary import Service
from referee.foundation.statistics import (
    compute_flip_rate,
    count_frequencies,
    count_overlaps,
    estimate_by_chao,
    estimate_by_jackknife,
)
from referee.foundation.statistics.capture import LEAST_TOOLS_COUNT
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.comparing.claims import Options
from referee.pipelines.comparing.measuring import Ground, list_static_runs
from referee.pipelines.comparing.views import CaptureView, FlipView, OverlapView

__all__ = ["build_captures", "build_flips", "build_overlaps"]

_OVERLAPS_COUNT: Final = 15
_CAPTURES_COUNT: Final = 12


def build_overlaps(cells: CellSet, ground: Ground) -> tuple[tuple[OverlapView, ...], int]:
    """Return what exactly which static tools found over all valid cells, and how many combinations are left out."""
    found: dict[str, set[str]] = {tool: set() for tool in ground.list_tools(Service.static)}
    for cell in cells.cells:
        for run in list_static_runs(cell, ground):
            found[run.tool].update(f"{cell.analysis_id}:{thing}" for thing in run.things)
    overlaps = count_overlaps(found)
    shown = [OverlapView(tools=one.tools, count=one.count) for one in overlaps[:_OVERLAPS_COUNT]]
    return tuple(shown), len(overlaps) - len(shown)


def build_captures(cells: CellSet, ground: Ground, options: Options) -> tuple[tuple[CaptureView, ...], str]:
    """Return what all tools missed of each CWE that enough of them look for; or why there is no estimate."""
    by_cwe = _group_by_cwe(cells, ground)
    comparable = {cwe: tools for cwe, tools in by_cwe.items() if len(tools) >= LEAST_TOOLS_COUNT}
    if not comparable:
        most = max((len(tools) for tools in by_cwe.values()), default=0)
        return (), (
            f"It takes {LEAST_TOOLS_COUNT} static tools that look for the same CWE, and here it is {most} at most."
        )
    views: list[CaptureView] = []
    ordered = sorted(comparable.items(), key=lambda item: (-len(set().union(*item[1].values())), item[0]))
    for cwe, tools in ordered[:_CAPTURES_COUNT]:
        frequencies = count_frequencies(tools)
        for estimate in (estimate_by_chao, estimate_by_jackknife):
            found = estimate(frequencies, level=options.level)
            if found is not None:
                views.append(
                    CaptureView(
                        cwe=cwe,
                        tools=tuple(sorted(tools)),
                        method=found.method,
                        seen_count=found.seen_count,
                        missed=found.missed,
                    )
                )
    return tuple(
        views
    ), "" if views else "No two tools found the same thing, so nothing can be learnt from it."


def _group_by_cwe(cells: CellSet, ground: Ground) -> Mapping[int, dict[str, set[str]]]:
    """Return CWE → tool that names it somewhere → the things it found of it."""
    names: dict[str, set[int]] = {}
    """Thing → CWEs that any tool gives it: who found the thing found it, whatever it called it."""
    speakers: dict[int, set[str]] = {}
    finders: dict[str, set[str]] = {}
    for cell in cells.cells:
        for run in list_static_runs(cell, ground):
            for thing, cwes in run.things.items():
                key = f"{cell.analysis_id}:{thing}"
                names.setdefault(key, set()).update(cwes)
                finders.setdefault(key, set()).add(run.tool)
                for cwe in cwes:
                    speakers.setdefault(cwe, set()).add(run.tool)
    found: dict[int, dict[str, set[str]]] = {
        cwe: {tool: set() for tool in sorted(tools)} for cwe, tools in speakers.items()
    }
    for key, named in names.items():
        for cwe in named:
            for tool in finders[key] & speakers[cwe]:
                found[cwe][tool].add(key)
    return found


def build_flips(cells: CellSet, options: Options) -> tuple[tuple[FlipView, ...], str]:
    """Return how often what a tool says comes and goes on unchanged code; or why that is not known."""
    views: list[FlipView] = []
    for tool, groups in cells.repeated_runs.items():
        runs_count = min(len(runs) for runs in groups)
        pooled = [
            frozenset(f"{place}:{thing}" for place, runs in enumerate(groups) for thing in runs[index])
            for index in range(runs_count)
        ]
        found = compute_flip_rate(pooled, level=options.level)
        views.append(
            FlipView(
                tool=tool,
                sources_count=len(groups),
                runs_count=runs_count,
                seen_count=found.seen_count,
                unsteady_count=found.unsteady_count,
                rate=found.rate,
            )
        )
    reason = (
        ""
        if views
        else (
            "No static tool ran twice in one version on the same source: analyse an app again without the cache "
            "to learn how steady the tools are."
        )
    )
    return tuple(views), reason
