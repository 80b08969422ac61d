"""The composition root: puts together what one process needs, and takes it apart again.

With ``web_app.py``, which hangs the rooms' pages and APIs into the shell, and
the command line, the only modules that know all rooms. Apart from that one, so
that a command need not load a web framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from referee.alerts import AlertsRoom, keep_samples, register_alert_workflows
from referee.alerts.integrity import check_alerts
from referee.alerts.own_sources import OWN_SOURCES
from referee.alerts.sealing import open_sealer
from referee.analysis import AnalysisRoom, analyzers, register_workflows, sweep_analyses
from referee.analysis.integrity import check_analyses, check_artifacts, check_result_folders
from referee.analysis.own_work import list_analysis_work
from referee.analysis.repairing import repair_analyses
from referee.analysis.watching import ANALYSIS_SOURCES
from referee.apps import AppsRoom
from referee.apps.generation import register_generation
from referee.apps.generation.own_work import list_generation_work
from referee.audit.integrity import check_decisions
from referee.audit.room import AuditRoom
from referee.audit.scans import register_lead_scans
from referee.audit.watching import DECISION_VALUES
from referee.backfills import BackfillsRoom, register_backfill_workflows, register_result_imports
from referee.backfills.watching import BACKFILL_VALUES
from referee.core.findings import JsonValue
from referee.core.integrity import IntegrityCheck, RepairStep
from referee.core.own_work import WorkSource
from referee.experiments import ExperimentsRoom
from referee.experiments.evaluators import (
    EvaluatorsRoom,
    JudgeBook,
    enqueue_evaluations,
    register_evaluator_workflows,
)
from referee.experiments.evaluators.watching import SCORE_VALUES
from referee.experiments.queues.items import fill_queues
from referee.experiments.runs.own_work import list_run_work
from referee.foundation.jobs import JobContext, JobEngine, list_workers
from referee.foundation.llm import open_generator, open_llm
from referee.foundation.outgoing import open_guard
from referee.foundation.sandbox import end_orphans
from referee.foundation.settings import Settings
from referee.foundation.store import (
    ArtifactStore,
    Database,
    claim_artifact_place,
    open_artifacts,
    open_database,
)
from referee.operations.probes import PROBE_VALUES, ProbesRoom, register_probes
from referee.operations.references import check_references
from referee.operations.verification import register_verification
from referee.pipelines import PipelinesRoom, register_pipeline_workflows, sweep_pipelines
from referee.pipelines.own_work import list_pipeline_work
from referee.pipelines.reports import register_report_workflows
from referee.pipelines.watching import CELL_VALUES
from referee.tools.contract import InstallKit
from referee.tools.install import ToolInstaller
from referee.traces import TracesRoom, open_traces
from referee.traces.integrity import check_spans
from referee.traces.own_work import keep_own_work
from referee.traces.own_work_export import register_own_work_export
from referee.traces.retention import register_retention
from referee.traces.watching import SPAN_VALUES
from referee.videos import InstalledVision, VideosRoom, register_video_workflows
from referee.videos.integrity import check_videos

__all__ = ["ALL_TABLES", "Application", "open_application"]

ALL_TABLES = (
    "referee.foundation.access.tables",
    "referee.foundation.jobs.tables",
    "referee.foundation.store.tables",
    "referee.apps.tables",
    "referee.traces.tables",
    "referee.analysis.tables",
    "referee.analysis.analyzers.tables",
    "referee.experiments.tables",
    "referee.experiments.charts.tables",
    "referee.experiments.configurations.tables",
    "referee.experiments.datasets.tables",
    "referee.experiments.metrics.tables",
    "referee.experiments.queues.tables",
    "referee.experiments.runs.tables",
    "referee.experiments.evaluators.tables",
    "referee.videos.tables",
    "referee.audit.tables",
    "referee.pipelines.tables",
    "referee.pipelines.reports.tables",
    "referee.backfills.tables",
    "referee.backfills.old_results.tables",
    "referee.alerts.tables",
    "referee.operations.probes.tables",
)
"""Modules whose tables together are the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What one process works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    engine: JobEngine
    apps: AppsRoom
    traces: TracesRoom
    analysis: AnalysisRoom
    experiments: ExperimentsRoom
    evaluators: EvaluatorsRoom
    videos: VideosRoom
    audit: AuditRoom
    pipelines: PipelinesRoom
    backfills: BackfillsRoom
    alerts: AlertsRoom
    probes: ProbesRoom

    @property
    def integrity_checks(self) -> Sequence[IntegrityCheck]:
        """What every room wants read again."""
        checks = (check_artifacts, check_analyses, check_result_folders)
        return (
            *(partial(check, self.analysis) for check in checks),
            partial(check_spans, self.database),
            partial(check_videos, self.videos),
            partial(check_decisions, self.database),
            partial(check_references, self.database),
            partial(check_alerts, self.alerts),
        )

    @property
    def repair_steps(self) -> Sequence[RepairStep]:
        """What every room can mend."""
        return (partial(repair_analyses, self.analysis),)


@asynccontextmanager
async def open_application(
    settings: Settings,
    *,
    is_worker: bool | None,
    worker_kind: str = "server",
    drain_s: float = 0.0,
    install_kit: InstallKit | None = None,
) -> AsyncIterator[Application]:
    """Open everything a process needs, and close it in the opposite order.

    Args:
        settings: Of this process.
        is_worker: Whether it also carries out jobs; None: only when no live worker does.
        worker_kind: ``server``, ``worker`` or ``command``, for people.
        drain_s: Seconds that running jobs get to end before they are handed back.
        install_kit: Where tools get their environments; None: the tools' folder of the settings.

    Raises:
        RefereeError: The database, the disk or the settings do not allow it.
    """
    settings.ensure_home()
    database = await open_database(settings)
    try:
        await claim_artifact_place(database, settings)
        application = _compose(settings, database, install_kit)
        if is_worker is None:
            async with database.reading() as session:
                is_worker = not await list_workers(session)
        await application.engine.start(is_worker=is_worker, worker_kind=worker_kind)
        try:
            async with (
                _end_orphans(settings, is_worker=is_worker),
                _call_analyzers(application, is_worker=is_worker),
                _keep_samples(application, worker_kind),
            ):
                yield application
        finally:
            await application.traces.close()
            await application.engine.stop(drain_s=drain_s)
            for client in (application.analysis.judge, application.apps.generator):
                if client is not None:
                    await client.close()
            await application.evaluators.judges.close()
    finally:
        await database.close()


@asynccontextmanager
async def _end_orphans(settings: Settings, *, is_worker: bool) -> AsyncIterator[None]:
    """End tools that killed workers of this machine left without anyone who watches them, now and at the end."""
    if is_worker:
        await asyncio.to_thread(end_orphans, settings.scratch_dir)
    try:
        yield
    finally:
        if is_worker:
            await asyncio.to_thread(end_orphans, settings.scratch_dir)


def _call_analyzers(application: Application, *, is_worker: bool) -> AbstractAsyncContextManager[None]:
    """Keep connections to listening analyzers, in a process that also hands out work to them."""
    if not is_worker or not application.settings.analyzer_urls:
        return nullcontext()
    # Looked up only here: it needs the web framework, which most commands do without.
    return analyzers.keep_replicas(application.analysis)


def _keep_samples(application: Application, worker_kind: str) -> AbstractAsyncContextManager[None]:
    """Write down what a process counts that stays; a command's few numbers are nobody's alert."""
    return nullcontext() if worker_kind == "command" else keep_samples(application.alerts)


def _compose(settings: Settings, database: Database, install_kit: InstallKit | None) -> Application:
    artifacts = open_artifacts(settings)
    engine = JobEngine(settings, database)
    kit = install_kit or ToolInstaller(
        settings.tools_path,
        advisories_dir=settings.advisories_dir,
        install_timeout_s=settings.install_timeout_s,
    )
    apps = AppsRoom(
        settings=settings,
        database=database,
        artifacts=artifacts,
        install_kit=kit,
        generator=open_generator(settings),
    )
    analysis = AnalysisRoom(
        settings=settings, database=database, artifacts=artifacts, install_kit=kit, judge=open_llm(settings)
    )
    register_workflows(analysis, apps, engine)
    analyzers.register_remote_workflows(analysis, engine)
    register_generation(apps, engine)
    pipelines = PipelinesRoom(
        settings=settings, database=database, artifacts=artifacts, apps=apps, analysis=analysis
    )
    register_pipeline_workflows(pipelines, engine)
    register_report_workflows(pipelines, engine)
    backfills = BackfillsRoom(settings=settings, database=database, analysis=analysis)
    register_backfill_workflows(backfills, engine)
    register_result_imports(backfills, engine)

    alerts = AlertsRoom(
        settings=settings,
        database=database,
        sources={
            source.name: source
            for source in (
                SPAN_VALUES, SCORE_VALUES, *ANALYSIS_SOURCES, CELL_VALUES, DECISION_VALUES,
                BACKFILL_VALUES, PROBE_VALUES, *OWN_SOURCES,
            )
        },
        guard=open_guard(settings),
        sealer=open_sealer(settings.home),
    )  # fmt: skip
    register_alert_workflows(alerts, engine)

    videos = VideosRoom(
        settings=settings, database=database, artifacts=artifacts, vision=InstalledVision(settings)
    )
    register_video_workflows(videos, engine)
    audit = AuditRoom(settings=settings, database=database)
    register_lead_scans(audit, engine)
    experiments = ExperimentsRoom(settings=settings, database=database)
    traces, evaluators = _compose_evaluators(experiments, engine)

    probes = ProbesRoom(
        settings=settings,
        database=database,
        artifacts=artifacts,
        engine=engine,
        traces=traces,
        analysis=analysis,
    )
    register_probes(probes, engine)

    works = _list_work_sources(settings, database)
    register_own_work_export(settings, database, engine, works)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        ended_count = await sweep_analyses(analysis, apps)
        pipelines_count = await sweep_pipelines(pipelines, engine)
        works_count = await keep_own_work(traces, works)
        return {"ended_count": ended_count, "pipelines_count": pipelines_count, "works_count": works_count}

    engine.register_schedule("sweep_analyses", "* * * * *", sweep)
    application = Application(
        settings=settings,
        database=database,
        artifacts=artifacts,
        engine=engine,
        apps=apps,
        traces=traces,
        analysis=analysis,
        experiments=experiments,
        evaluators=evaluators,
        videos=videos,
        audit=audit,
        pipelines=pipelines,
        backfills=backfills,
        alerts=alerts,
        probes=probes,
    )
    register_verification(
        engine,
        database,
        artifacts,
        lambda: application.integrity_checks,
        lambda: application.repair_steps,
    )
    return application


def _list_work_sources(settings: Settings, database: Database) -> dict[str, WorkSource]:
    """Return who describes what Referee itself has done, by kind of work."""
    return {
        "analysis": partial(list_analysis_work, database, left_out_project=settings.probe_project),
        "generation": partial(list_generation_work, database),
        "pipeline": partial(list_pipeline_work, database),
        "run": partial(list_run_work, database),
    }


def _compose_evaluators(experiments: ExperimentsRoom, engine: JobEngine) -> tuple[TracesRoom, EvaluatorsRoom]:
    """Return the events and what judges them: metrics hear of every event that was stored."""
    traces = open_traces(experiments.settings, experiments.database)
    evaluators = EvaluatorsRoom(experiments=experiments, judges=JudgeBook(experiments.settings))
    register_evaluator_workflows(evaluators, engine)

    async def judge_events(project_id: UUID, event_ids: Sequence[str]) -> None:
        await enqueue_evaluations(evaluators, engine, project_id, event_ids)

    traces.teller.observers.extend((judge_events, partial(fill_queues, experiments.database)))
    register_retention(experiments.database, engine)
    return traces, evaluators
