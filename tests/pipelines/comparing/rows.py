"""A finished pipeline as rows, without running a tool: many cells, read and compared as real ones are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from sqlalchemy import insert, update

from referee.analysis.tables import (
    AnalysisRow,
    FindingRow,
    ManifestEntryRow,
    ManifestRow,
    MeasurementRow,
    OccurrenceRow,
    SubjectRow,
    ToolRunRow,
)
from referee.app import Application
from referee.apps.tables import AppRow, AppRunRow, GenerationRow, TemplateRow
from referee.core.ids import new_id
from referee.foundation.store import record_artifacts
from referee.pipelines.tables import CellRow, PipelineRow

AT = datetime(2026, 1, 2, tzinfo=UTC)
TOOLS = (
    ("bandit", "static"),
    ("pylint", "static"),
    ("semgrep", "static"),
    ("vulture", "static"),
    ("zap", "dynamic"),
    ("locust", "performance"),
    ("requirements-scanner", "ai"),
)
RANKS = {"high": 3, "medium": 2, "low": 1}


async def plant_pipeline(
    application: Application,
    project_id: UUID,
    *,
    models: Sequence[str] = ("alpha", "beta"),
    templates: Sequence[str] = ("board", "shop", "notes"),
    repeats: int = 1,
    findings_mean: float = 4,
    step: float = 0.0,
    seed: int = 1,
) -> UUID:
    """Write a pipeline whose cells all ended valid; each model has ``step`` more findings than the one before."""
    planter = _Planter(project_id, seed)
    artifact = await application.artifacts.put_bytes(f"name: planted {seed}\n".encode(), "application/yaml")
    pipeline_id = new_id()
    planter.add_templates(templates, artifact.sha256)
    position = 0
    for index, model in enumerate(models):
        for place, template in enumerate(templates):
            for repeat in range(repeats):
                planter.add_cell(
                    pipeline_id,
                    position,
                    model,
                    template,
                    number=place * repeats + repeat + 1,
                    repeat=repeat + 1,
                    mean=findings_mean + step * index,
                    listing=artifact.sha256,
                )
                position += 1
    async with application.database.transaction() as session:
        await record_artifacts(session, [artifact])
        await session.execute(
            insert(PipelineRow).values(
                pipeline_id=pipeline_id,
                project_id=project_id,
                name="planted",
                state="completed",
                definition_sha256=artifact.sha256,
                definition_json={
                    "generate": {"models": list(models)},
                    "limits": {},
                    "analysis": {"profile": "deep"},
                },
                request_digest="x",
                started_at=AT,
                finished_at=AT,
            )
        )
        for table, rows in planter.rows.items():
            for start in range(0, len(rows), 2_000):
                await session.execute(insert(table), rows[start : start + 2_000])
        for state in ("running", "completed"):  # the way that the database's guard allows
            await session.execute(
                update(AnalysisRow).where(AnalysisRow.state.in_(("queued", "running"))).values(state=state)
            )
    return pipeline_id


class _Planter:
    """Collects rows by table, in an order that foreign keys allow."""

    def __init__(self, project_id: UUID, seed: int) -> None:
        self.project_id = project_id
        self.random = np.random.default_rng(seed)
        self.templates: dict[str, UUID] = {}
        self.rows: dict[type[object], list[dict[str, object]]] = {
            table: []
            for table in (
                TemplateRow, AppRow, SubjectRow, AnalysisRow, GenerationRow, AppRunRow, CellRow, ToolRunRow, FindingRow,
                OccurrenceRow, MeasurementRow, ManifestRow, ManifestEntryRow,
            )
        }  # fmt: skip

    def add_templates(self, templates: Sequence[str], sha256: str) -> None:
        # One artifact serves all: a template is unique by its document, so only the first has a row.
        template_id = new_id()
        self.rows[TemplateRow].append(
            {
                "template_id": template_id, "project_id": self.project_id, "slug": templates[0], "name": templates[0],
                "sha256": sha256,
            }
        )  # fmt: skip
        self.templates = dict.fromkeys(templates, template_id)

    def add_cell(
        self,
        pipeline_id: UUID,
        position: int,
        model: str,
        template: str,
        *,
        number: int,
        repeat: int,
        mean: float,
        listing: str,
    ) -> None:
        app_id, subject_id, analysis_id, generation_id = (new_id() for _ in range(4))
        digest = f"{model}-{template}-{number}"
        shared = {"project_id": self.project_id}
        self.rows[AppRow].append(
            {
                **shared,
                "app_id": app_id,
                "model": model,
                "template": template,
                "number": number,
                "path": f"/x/{digest}",
            }
        )
        self.rows[SubjectRow].append(
            {
                **shared,
                "subject_id": subject_id,
                "kind": "app",
                "app_id": app_id,
                "name": digest,
                "path": f"/x/{digest}",
            }
        )
        self.rows[AnalysisRow].append(
            {
                **shared, "analysis_id": analysis_id, "subject_id": subject_id, "state": "queued", "profile": "deep",
                "parameters_json": {}, "is_cache_allowed": True, "source_digest": digest, "listing_sha256": listing,
                "files_count": 3, "excluded_count": 0, "code_lines_count": int(self.random.integers(500, 3_000)),
                "request_digest": digest, "started_at": AT, "finished_at": AT,
            }
        )  # fmt: skip
        self.rows[GenerationRow].append(
            {
                **shared, "generation_id": generation_id, "app_id": app_id, "model": model,
                "template_id": self.templates[template], "version": 1, "state": "succeeded",
                "source_sha256": listing, "temperature": 0.0,
                "cost_usd": float(self.random.gamma(2, 0.02)), "prompt_tokens": 900,
                "completion_tokens": 4_000, "calls_count": 2, "traceparent": "00", "finished_at": AT,
            }
        )  # fmt: skip
        has_started = bool(self.random.random() < 0.9)
        self.rows[AppRunRow].append(
            {
                **shared, "app_run_id": new_id(), "app_id": app_id, "name": digest, "source_digest": digest,
                "listing_sha256": listing, "machine": "one", "state": "stopped" if has_started else "failed",
                "failure": None if has_started else "crashed", "started_at": AT if has_started else None,
                "finished_at": AT,
            }
        )  # fmt: skip
        self.rows[CellRow].append(
            {
                "cell_id": new_id(), "pipeline_id": pipeline_id, "position": position, "model": model,
                "template": template, "number": repeat, "analysis_kind": "deep", "parameters_digest": "p",
                "state": "completed", "is_valid": True, "app_id": app_id, "generation_id": generation_id,
                "analysis_id": analysis_id, "started_at": AT, "finished_at": AT,
            }
        )  # fmt: skip
        self.rows[ManifestRow].append(
            {"analysis_id": analysis_id, "sha256": listing, "entries_count": 1, "verified_at": AT}
        )
        self.rows[ManifestEntryRow].append(
            {
                "analysis_id": analysis_id,
                "name": "x",
                "sha256": listing,
                "size_bytes": 1,
                "media_type": "text/plain",
            }
        )
        for place, (tool, service) in enumerate(TOOLS):
            self._add_run(analysis_id, subject_id, place, tool, service, mean)

    def _add_run(
        self, analysis_id: UUID, subject_id: UUID, place: int, tool: str, service: str, mean: float
    ) -> None:
        tool_run_id = new_id()
        count = int(self.random.poisson(mean)) if service in ("static", "dynamic") else 0
        self.rows[ToolRunRow].append(
            {
                "tool_run_id": tool_run_id, "analysis_id": analysis_id, "position": place, "tool": tool,
                "service": service, "parameters_json": {}, "parameters_digest": "p", "outcome": "succeeded",
                "reason": "", "did_run": True, "exit_meaning": "clean", "parse_state": "parsed",
                "findings_count": count, "suppressed_count": 0, "version": "1.0", "adapter_version": 1,
                "duration_ms": 1_200, "started_at": AT, "finished_at": AT,
            }
        )  # fmt: skip
        for ordinal in range(count):
            self._add_finding(analysis_id, subject_id, tool_run_id, tool, ordinal)
        numbers = {
            "locust": {
                "latency_p95_ms": float(self.random.gamma(5, 20)),
                "requests_per_s": float(self.random.gamma(9, 9)),
            },
            "requirements-scanner": {
                "requirements_count": 20.0,
                "requirements_met_count": float(self.random.integers(12, 20)),
                "requirements_not_met_count": float(self.random.integers(0, 2)),
            },
        }.get(tool, {})
        self.rows[MeasurementRow] += [
            {
                "tool_run_id": tool_run_id, "ordinal": ordinal, "analysis_id": analysis_id, "name": name,
                "value": value, "unit": "x", "better": "lower",
            }
            for ordinal, (name, value) in enumerate(numbers.items())
        ]  # fmt: skip

    def _add_finding(
        self, analysis_id: UUID, subject_id: UUID, tool_run_id: UUID, tool: str, ordinal: int
    ) -> None:
        finding_id, severity = new_id(), str(self.random.choice(list(RANKS), p=[0.2, 0.3, 0.5]))
        rule, cwes = f"R{int(self.random.integers(0, 9))}", [79] if self.random.random() < 0.3 else []
        shared = {
            "finding_id": finding_id, "rule_id": rule, "severity": severity, "severity_rank": RANKS[severity],
            "message": "m", "cwe_ids": cwes,
        }  # fmt: skip
        self.rows[FindingRow].append(
            {
                **shared, "project_id": self.project_id, "subject_id": subject_id, "fingerprint": finding_id.hex,
                "tool": tool, "is_suppressed": False, "state": "open", "parameters_digest": "p",
                "first_analysis_id": analysis_id, "last_analysis_id": analysis_id,
            }
        )  # fmt: skip
        self.rows[OccurrenceRow].append(
            {
                **shared, "tool_run_id": tool_run_id, "ordinal": ordinal, "analysis_id": analysis_id,
                "tool_severity": severity, "code_line": "", "identity_json": [], "related_json": [],
                "properties_json": {},
            }
        )  # fmt: skip
