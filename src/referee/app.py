"""The composition root: puts together what one process needs, and takes it apart again.

With ``web_app.py``, which hangs the rooms' pages and APIs into the shell, and
the command line, the only modules that know all rooms. Apart from that one, so
that a command need not load a web framework.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from referee.analysis import AnalysisRoom, analyzers, register_workflows, sweep_analyses
from referee.analysis.integrity import check_analyses, check_artifacts, check_result_folders
from referee.apps import AppsRoom
from referee.apps.generation import register_generation
from referee.audit.integrity import check_decisions
from referee.core.findings import JsonValue
from referee.core.integrity import IntegrityCheck
from referee.experiments import ExperimentsRoom
from referee.experiments.evaluators import (
    EvaluatorsRoom,
    JudgeBook,
    enqueue_evaluations,
    register_evaluator_workflows,
)
from referee.foundation.jobs import JobContext, JobEngine, list_workers
from referee.foundation.llm import open_generator, open_llm
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database, open_artifacts, open_database
from referee.operations.verification import register_verification
from referee.pipelines import PipelinesRoom, register_pipeline_workflows, sweep_pipelines
from referee.pipelines.reports import register_report_workflows
from referee.tools.contract import InstallKit
from referee.tools.install import ToolInstaller
from referee.traces import TracesRoom, open_traces
from referee.traces.integrity import check_spans

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
    "referee.audit.tables",
    "referee.pipelines.tables",
    "referee.pipelines.reports.tables",
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
    pipelines: PipelinesRoom

    @property
    def integrity_checks(self) -> Sequence[IntegrityCheck]:
        """What every room wants read again."""
        checks = (check_artifacts, check_analyses, check_result_folders)
        return (
            *(partial(check, self.analysis) for check in checks),
            partial(check_spans, self.database),
            partial(check_decisions, self.database),
        )


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
        application = _compose(settings, database, install_kit)
        if is_worker is None:
            async with database.reading() as session:
                is_worker = not await list_workers(session)
        await application.engine.start(is_worker=is_worker, worker_kind=worker_kind)
        try:
            async with _call_analyzers(application, is_worker=is_worker):
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


def _call_analyzers(application: Application, *, is_worker: bool) -> AbstractAsyncContextManager[None]:
    """Keep connections to listening analyzers, in a process that also hands out work to them."""
    if not is_worker or not application.settings.analyzer_urls:
        return nullcontext()
    # Looked up only here: it needs the web framework, which most commands do without.
    return analyzers.keep_replicas(application.analysis)


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

    experiments = ExperimentsRoom(settings=settings, database=database)
    traces, evaluators = _compose_evaluators(experiments, engine)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        ended_count = await sweep_analyses(analysis, apps)
        return {"ended_count": ended_count, "pipelines_count": await sweep_pipelines(pipelines, engine)}

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
        pipelines=pipelines,
    )
    register_verification(engine, database, artifacts, lambda: application.integrity_checks)
    return application


def _compose_evaluators(experiments: ExperimentsRoom, engine: JobEngine) -> tuple[TracesRoom, EvaluatorsRoom]:
    """Return the events and what judges them: metrics hear of every event that was stored."""
    traces = open_traces(experiments.settings, experiments.database)
    evaluators = EvaluatorsRoom(experiments=experiments, judges=JudgeBook(experiments.settings))
    register_evaluator_workflows(evaluators, engine)

    async def judge_events(project_id: UUID, event_ids: Sequence[str]) -> None:
        await enqueue_evaluations(evaluators, engine, project_id, event_ids)

    traces.observers.append(judge_events)
    return traces, evaluators
