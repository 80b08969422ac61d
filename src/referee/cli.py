"""The root command: mounts each room's commands and turns errors into sentences and exit codes.

Nothing heavy is imported before a command that needs it runs, so
``referee --help`` stays fast.
"""

from __future__ import annotations

import errno
import sys
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from referee.alerts.commands import alert_app
from referee.analysis.analyzers.commands import analyzer_app
from referee.analysis.commands import analysis_app, analyze, finding_app
from referee.apps.commands import app as apps_app
from referee.apps.model_commands import model_app
from referee.apps.run_commands import template_app
from referee.audit.commands import audit_app
from referee.backfills.commands import backfill_app, migrate_command
from referee.backfills.old_results.commands import import_app
from referee.core.errors import RefereeError
from referee.experiments.datasets.commands import dataset_app
from referee.experiments.runs.commands import run_app
from referee.foundation.access.commands import app as key_app
from referee.foundation.jobs.commands import app as job_app
from referee.operations.artifact_commands import artifacts_app
from referee.operations.commands import register_operations
from referee.operations.probes.commands import probe_app
from referee.operations.retention_commands import list_retention
from referee.pipelines.commands import pipeline_app
from referee.pipelines.reports.commands import report_app
from referee.tools.advisories.commands import app as advisories_app
from referee.tools.commands import app as tool_app
from referee.tools.judge_commands import app as judge_app
from referee.traces.commands import retention_app, session_app, trace_app
from referee.videos.commands import video_app

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from referee.app import Application
    from referee.core.sources import SourceSnapshot
    from referee.foundation.settings import Settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="referee",
    help="Evaluate AI-built software and AI agents, and keep every result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # frames around help cost 0.3 s of imports and do not copy well
)
app.command("analyze")(analyze)
app.add_typer(analyzer_app, name="analyzer")
app.add_typer(analysis_app, name="analysis")
app.add_typer(finding_app, name="finding")
app.add_typer(apps_app, name="app")
app.add_typer(model_app, name="model")
app.add_typer(template_app, name="template")
app.add_typer(pipeline_app, name="pipeline")
app.add_typer(backfill_app, name="backfill")
app.add_typer(import_app, name="import")
audit_app.command("migrate")(migrate_command)
app.add_typer(audit_app, name="audit")
app.add_typer(alert_app, name="alert")
app.add_typer(probe_app, name="probe")
app.add_typer(report_app, name="report")
app.add_typer(dataset_app, name="dataset")
app.add_typer(run_app, name="run")
app.add_typer(session_app, name="session")
app.add_typer(trace_app, name="trace")
app.add_typer(video_app, name="video")
retention_app.command("list")(list_retention)
app.add_typer(retention_app, name="retention")
app.add_typer(judge_app, name="judge")
app.add_typer(tool_app, name="tool")
app.add_typer(advisories_app, name="advisories")
app.add_typer(job_app, name="job")
app.add_typer(key_app, name="key")
app.add_typer(artifacts_app, name="artifacts")
register_operations(app)


def print_version(is_wanted: bool) -> None:
    """Print the version and exit, if that is wanted."""
    if is_wanted:
        from referee import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    is_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version),
    ] = False,
) -> None:
    """Evaluate AI-built software and AI agents, and keep every result."""
    ctx.obj = _Composition()


class _Composition:
    """Gives commands the application, loading it only when one asks."""

    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[Application]:
        """Open the application for one command."""
        from referee.app import open_application
        from referee.foundation.logs import configure_logs
        from referee.foundation.settings import load_settings

        settings = load_settings(log_level="error")
        configure_logs(settings)
        return open_application(settings, is_worker=is_worker, worker_kind="command")

    def take_snapshot(self, source: Path, snapshots_dir: Path) -> SourceSnapshot:
        """Copy the source of a folder, within the limits of the settings."""
        from referee.apps import SourceLimits, take_snapshot
        from referee.foundation.settings import load_settings

        limits = SourceLimits.from_settings(load_settings())
        return take_snapshot(source, snapshots_dir, limits, name=source.name)

    def open_worker(self, settings: Settings, *, drain_s: float) -> AbstractAsyncContextManager[Application]:
        """Open the application as a worker."""
        from referee.app import open_application

        return open_application(settings, is_worker=True, worker_kind="worker", drain_s=drain_s)

    def create_web_app(self, settings: Settings) -> FastAPI:
        """Make the web application with all rooms."""
        from referee.web_app import create_web_app

        return create_web_app(settings)


def main() -> None:
    """Run the command line; errors become one line on standard error and an exit code."""
    try:
        app()
    except RefereeError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        print(f"Error: The output could not be written: {error.strerror}.", file=sys.stderr)
        sys.exit(6)
