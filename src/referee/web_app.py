"""The web half of the composition root: all rooms' pages and APIs in one shell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from referee import __version__
from referee.alerts.shell import create_alert_routes
from referee.alerts.shell import register_in_shell as register_alerts
from referee.analysis.analyzers.api import create_api as analyzers_api
from referee.analysis.analyzers.pages import create_pages as analyzers_pages
from referee.analysis.analyzers.pages import register_in_shell as register_analyzers
from referee.analysis.api import create_api as analysis_api
from referee.analysis.app_judgements import AnalysisJudgements
from referee.analysis.breakers import ServiceGate
from referee.analysis.completeness_surface import create_completeness_routes
from referee.analysis.pages import create_pages as analysis_pages
from referee.analysis.runtime_api import create_runtime_api
from referee.analysis.shell import register_in_shell as register_analysis
from referee.analysis.trend_surface import create_trend_routes
from referee.api_description import API_DESCRIPTION, API_TAGS
from referee.api_examples import API_EXAMPLES
from referee.app import Application, open_application
from referee.apps.api import create_api as apps_api
from referee.apps.generation.api import create_generation_api
from referee.apps.model_pages import create_catalogue_pages
from referee.apps.pages import create_pages as apps_pages
from referee.apps.run_api import create_run_api
from referee.apps.shell import register_in_shell as register_apps
from referee.audit.api import create_api as audit_api
from referee.audit.pages import create_pages as audit_pages
from referee.audit.shell import register_in_shell as register_audit
from referee.backfills.old_results.pages import create_result_import_routes
from referee.backfills.pages import create_backfill_routes
from referee.backfills.shell import register_in_shell as register_backfills
from referee.core.errors import Unavailable
from referee.experiments.charts.data_api import create_chart_data_api
from referee.experiments.evaluators.api import create_evaluators_api
from referee.experiments.evaluators.playground_pages import create_playground_pages
from referee.experiments.nouns_api import create_nouns_api
from referee.experiments.nouns_shell import create_nouns_pages, register_nouns_in_shell
from referee.experiments.runs.api import create_runs_api
from referee.experiments.runs.pages import create_runs_pages
from referee.experiments.runs.results_api import create_schema_api
from referee.experiments.runs.shell import register_runs_in_shell
from referee.foundation.access import Principal, authenticate, confirm_principal, find_local_principal
from referee.foundation.jobs import refresh_metrics
from referee.foundation.settings import Settings
from referee.foundation.web import LiveHub, create_shell
from referee.foundation.web.access_api import create_access_api
from referee.foundation.web.key_pages import create_key_pages, register_keys_in_shell
from referee.foundation.web.keys_api import create_keys_api
from referee.foundation.web.sessions import ensure_session_secret
from referee.foundation.web.shell import Shell
from referee.operations.api import create_api as operations_api
from referee.operations.overview_surface import create_overview_routes
from referee.operations.pages import create_pages as operations_pages
from referee.operations.probes.surface import create_probe_routes
from referee.operations.retention_surface import create_retention_routes
from referee.operations.serving import DRAIN_S
from referee.operations.shell import register_in_shell as register_operations
from referee.pipelines.api import create_api as pipelines_api
from referee.pipelines.comparing.pages import create_comparing_routes
from referee.pipelines.import_surface import IMPORT_PATHS, create_import_routes
from referee.pipelines.pages import create_pages as pipelines_pages
from referee.pipelines.planning_api import create_planning_api
from referee.pipelines.presets_api import create_presets_api
from referee.pipelines.reports.pages import create_reports_routes
from referee.pipelines.shell import register_in_shell as register_pipelines
from referee.pipelines.success_surface import create_success_routes
from referee.tools.api import create_api as tools_api
from referee.tools.inspecting import InstalledTools, ToolInspector
from referee.tools.pages import create_pages as tools_pages
from referee.tools.pages import register_in_shell as register_tools
from referee.traces.api import create_api as traces_api
from referee.traces.otlp_grpc import keep_otlp_grpc
from referee.traces.otlp_routes import create_otlp_routes
from referee.traces.pages import create_pages as traces_pages
from referee.traces.service_map_pages import create_service_map_routes
from referee.traces.shell import register_in_shell as register_traces
from referee.traces.tail_pages import create_tail_routes
from referee.traces.trace_api import create_trace_api
from referee.traces.upkeep_api import create_upkeep_api
from referee.videos.api import create_api as videos_api
from referee.videos.comparing_api import create_comparing_api
from referee.videos.legacy_api import create_legacy_api
from referee.videos.media_api import create_media_api
from referee.videos.pages import create_pages as videos_pages
from referee.videos.remarks import SHARES_PATH
from referee.videos.shared_pages import create_shared_pages
from referee.videos.shell import register_in_shell as register_videos
from referee.videos.uploading import UPLOADS_PATH

__all__ = ["create_web_app"]


def create_web_app(settings: Settings) -> FastAPI:
    """Return the web application with the pages and routes of all rooms.

    The application itself is opened when the server starts and closed when it stops.
    """
    opened: list[Application] = []
    live = LiveHub()

    def current() -> Application:
        if not opened:
            raise Unavailable(
                "server.starting", "The server is starting or stopping.", "Try again in a moment."
            )
        return opened[0]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            open_application(settings, is_worker=True, worker_kind="server", drain_s=DRAIN_S) as application,
            keep_otlp_grpc(settings, application.traces, authenticate=check_key, find_local=find_principal),
        ):
            opened.append(application)
            live.connect(application.database.conninfo)
            try:
                yield
            finally:
                opened.clear()
                local_principals.clear()
                await live.close()

    local_principals: dict[str, Principal] = {}

    async def find_principal(slug: str) -> Principal:
        """Ask the database once for each project: one that is there keeps its id until it is deleted."""
        if slug not in local_principals:
            local_principals[slug] = await find_local_principal(current().database, slug)
        return local_principals[slug]

    async def check_key(bearer: str) -> Principal:
        return await authenticate(current().database, bearer)

    async def confirm(principal: Principal) -> None:
        await confirm_principal(current().database, principal)

    async def refresh() -> None:
        async with current().database.reading() as session:
            await refresh_metrics(session)

    gate = ServiceGate()
    inspector = ToolInspector(InstalledTools(settings.tools_path, advisories_dir=settings.advisories_dir))
    settings.ensure_home()
    app = create_shell(
        settings,
        title="Referee",
        version=__version__,
        authenticate=check_key,
        find_local_principal=find_principal,
        confirm_session=confirm,
        session_secret=ensure_session_secret(settings.home / "session.key"),
        live=live,
        lifespan=lifespan,
        larger_bodies={
            **dict.fromkeys(IMPORT_PATHS, settings.max_import_bytes),
            UPLOADS_PATH: settings.video_max_bytes,
        },
        public_prefixes=(UPLOADS_PATH, SHARES_PATH),
        description=API_DESCRIPTION,
        tags=API_TAGS,
        examples=API_EXAMPLES,
    )
    # Routes are tried one after another: first those that many clients ask for at the same time.
    app.include_router(pipelines_api(lambda: current().pipelines, lambda: current().engine))
    app.include_router(analysis_api(lambda: current().analysis, lambda: current().engine))
    app.include_router(operations_api(current, refresh))
    app.include_router(
        create_access_api(lambda: current().database, lambda slug: local_principals.pop(slug, None))
    )
    app.include_router(apps_api(lambda: current().apps, AnalysisJudgements()))
    app.include_router(create_run_api(lambda: current().apps))
    app.include_router(create_generation_api(lambda: current().apps, lambda: current().engine))
    for router in (
        create_catalogue_pages(lambda: current().apps, AnalysisJudgements(), lambda: current().engine),
        apps_pages(lambda: current().apps, AnalysisJudgements()),
        create_keys_api(lambda: current().database),
        create_key_pages(lambda: current().database),
        create_runtime_api(lambda: current().analysis, gate),
        *create_completeness_routes(lambda: current().analysis),
        *create_trend_routes(lambda: current().analysis),
        analysis_pages(lambda: current().analysis, lambda: current().engine, gate),
        tools_api(inspector),
        tools_pages(inspector),
        create_schema_api(lambda: current().experiments),
        create_chart_data_api(lambda: current().experiments),
        create_otlp_routes(lambda: current().traces),
        traces_api(lambda: current().traces),
        create_trace_api(lambda: current().traces),
        create_tail_routes(lambda: current().traces),
        create_service_map_routes(lambda: current().traces),
        create_upkeep_api(lambda: current().traces),
        traces_pages(lambda: current().traces),
        analyzers_api(lambda: current().analysis),
        analyzers_pages(lambda: current().analysis),
        *create_nouns_api(lambda: current().experiments),
        create_planning_api(lambda: current().pipelines),
        create_presets_api(lambda: current().pipelines),
        pipelines_pages(lambda: current().pipelines, lambda: current().engine, inspector, gate),
        *create_success_routes(lambda: current().pipelines),
        *create_import_routes(lambda: current().pipelines),
        *create_comparing_routes(lambda: current().pipelines),
        *create_reports_routes(lambda: current().pipelines, lambda: current().engine),
        create_evaluators_api(lambda: current().evaluators),
        create_runs_api(lambda: current().experiments),
        create_runs_pages(lambda: current().experiments),
        create_playground_pages(lambda: current().evaluators),
        *create_nouns_pages(lambda: current().experiments),
        videos_api(lambda: current().videos, lambda: current().engine),
        create_media_api(lambda: current().videos),
        create_comparing_api(lambda: current().videos),
        create_legacy_api(lambda: current().videos, lambda: current().engine),
        videos_pages(lambda: current().videos, lambda: current().engine),
        create_shared_pages(lambda: current().videos),
        audit_api(lambda: current().audit),
        audit_pages(lambda: current().audit),
        *create_backfill_routes(lambda: current().backfills, lambda: current().engine),
        *create_result_import_routes(lambda: current().backfills, lambda: current().engine),
        *create_alert_routes(lambda: current().alerts, lambda: current().engine),
        operations_pages(current),
        *create_overview_routes(current),
        *create_retention_routes(current),
        *create_probe_routes(lambda: current().probes),
    ):
        app.include_router(router)
    register_tools(app.state.shell)
    register_apps(app.state.shell, lambda: current().database)
    register_analysis(app.state.shell, lambda: current().analysis)
    register_analyzers(app.state.shell, lambda: current().analysis)
    register_pipelines(app.state.shell, lambda: current().pipelines)
    _register_watching(app.state.shell, current)
    _register_operating(app.state.shell, current)
    register_keys_in_shell(app.state.shell)
    return app


def _register_watching(shell: Shell, current: Callable[[], Application]) -> None:
    """Register the rooms of what others did: agents and athletes."""
    register_nouns_in_shell(shell, lambda: current().experiments)
    register_traces(shell, lambda: current().traces)
    register_runs_in_shell(shell, lambda: current().experiments)
    register_videos(shell, lambda: current().videos)


def _register_operating(shell: Shell, current: Callable[[], Application]) -> None:
    """Register the rooms in which Referee itself is watched."""
    register_audit(shell, lambda: current().audit)
    register_backfills(shell, lambda: current().backfills)
    register_alerts(shell, lambda: current().alerts)
    register_operations(shell, current)
