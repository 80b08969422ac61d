"""Cells as values, with numbers that are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np

from referee.analysis import ToolFacts
from referee.apps import GenerationFacts
from referee.core.vocabulary import Outcome, Service
from referee.pipelines.comparing.cells import CellFacts, CellSet, SourceFacts

SOURCE = SourceFacts(
    kind="pipeline",
    name="planted",
    pipeline_id=UUID(int=1),
    definition_sha256="0" * 64,
    state="completed",
    mode="generate",
)


def make_run(
    tool: str = "bandit",
    severities: Mapping[str, int] | None = None,
    *,
    service: Service = Service.static,
    outcome: Outcome = Outcome.succeeded,
    reason: str = "",
    rules: Mapping[str, int] | None = None,
    cwes: Mapping[int, int] | None = None,
    things: Mapping[str, frozenset[int]] | None = None,
    numbers: Mapping[str, float] | None = None,
) -> ToolFacts:
    counts = severities or {}
    return ToolFacts(
        tool=tool,
        service=service,
        outcome=outcome,
        reason=reason,
        findings_count=sum(counts.values()) if outcome is Outcome.succeeded else None,
        version="1.0",
        duration_ms=10,
        severities=counts,
        rules=rules or {},
        cwes=cwes or {},
        things=things or {},
        numbers=numbers or {},
    )


def make_cell(
    model: str,
    unit: str,
    *runs: ToolFacts,
    number: int = 1,
    is_valid: bool = True,
    reason: str = "",
    code_lines_count: int | None = 1_000,
    has_started: bool | None = None,
    cost_usd: float | None = None,
    failure: str | None = None,
) -> CellFacts:
    generation = None
    if cost_usd is not None or failure is not None:
        generation = GenerationFacts(
            attempts_count=1,
            calls_count=2,
            cost_usd=cost_usd,
            prompt_tokens=100,
            completion_tokens=200,
            state="failed" if failure else "succeeded",
            failure=failure,
            is_models_fault=failure == "no_code",
        )
    return CellFacts(
        model=model,
        unit=unit,
        number=number,
        analysis_id=None if failure else UUID(int=abs(hash((model, unit, number))) % (1 << 100)),
        state="completed" if is_valid else "failed",
        is_valid=is_valid,
        reason=reason,
        source_digest=f"{model}{unit}{number}",
        code_lines_count=code_lines_count,
        tools={run.tool: run for run in runs},
        has_started=has_started,
        generation=generation,
    )


def make_cells(*cells: CellFacts) -> CellSet:
    return CellSet(
        source=SOURCE,
        cells=cells,
        models=tuple(dict.fromkeys(cell.model for cell in cells)),
        units=tuple(dict.fromkeys(cell.unit for cell in cells)),
        unit_word="template",
        repeated_runs={},
    )


def with_repeats(cells: CellSet, repeats: Mapping[str, Sequence[Sequence[frozenset[str]]]]) -> CellSet:
    return replace(cells, repeated_runs=repeats)


def plant(
    models_count: int, units_count: int, repeats_count: int, *, seed: int = 1, step: float = 0.0
) -> CellSet:
    """Return cells with findings, loads, requirements and costs; each model finds ``step`` more than the one before."""
    random = np.random.default_rng(seed)
    cells = []
    for model in range(models_count):
        for unit in range(units_count):
            for number in range(1, repeats_count + 1):
                counts = {
                    word: int(random.poisson(rate + unit % 5 + step * model))
                    for word, rate in (("high", 1), ("medium", 3), ("low", 6))
                }
                total = sum(counts.values())
                things = {f"t{unit}-{int(random.integers(0, 40))}": frozenset({79}) for _ in range(total)}
                static = [
                    make_run(
                        tool,
                        counts,
                        rules={f"R{rule}": int(random.poisson(2)) for rule in range(8)},
                        cwes={79: total // 2, 89: int(random.poisson(2))},
                        things=things,
                    )
                    for tool in ("bandit", "pylint", "semgrep", "vulture")
                ]
                requirements = {
                    "requirements_count": 20.0,
                    "requirements_met_count": float(random.integers(10, 21)),
                    "requirements_not_met_count": float(random.integers(0, 2)),
                }
                cells.append(
                    make_cell(
                        f"model-{model}",
                        f"template-{unit}",
                        *static,
                        make_run("zap", {"low": int(random.poisson(4))}, service=Service.dynamic),
                        make_run(
                            "locust",
                            service=Service.performance,
                            numbers={
                                "latency_p95_ms": float(random.gamma(5, 20)),
                                "requests_per_s": float(random.gamma(9, 30)),
                            },
                        ),
                        make_run("requirements-scanner", service=Service.ai, numbers=requirements),
                        number=number,
                        code_lines_count=int(random.integers(500, 3_000)),
                        has_started=bool(random.random() < 0.9),
                        cost_usd=float(random.gamma(2, 0.01 * (model + 1))),
                    )
                )
    return make_cells(*cells)
