"""The process that runs one app: ``python -m referee.apps.hosting <app run id>``.

Started by whoever first wanted the app, and on its own from then on: it goes on
when the server is restarted, and stops the app when nobody holds a lease on it
any more. It owns the app's network and processes; when it is killed, the kernel
and the sandbox's supervisors end them. Its row in the database is its only word
to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.environments import (
    AppEnvironment,
    DependenciesFailed,
    ensure_environment,
    prepare_workspace,
)
from referee.apps.hosts import write_patiently
from referee.apps.leases import count_live_leases
from referee.apps.listening import list_listeners
from referee.apps.recipes import Component, Recipe, find_recipe
from referee.apps.room import AppsRoom
from referee.apps.runs import AppFailed, AppRunState, FailureKind, end_app_run
from referee.apps.sources import load_snapshot
from referee.apps.starting import (
    AppPlace,
    StartedComponent,
    build_component,
    make_limits,
    read_last_lines,
    start_component,
)
from referee.apps.tables import AppPortRow, AppRunRow
from referee.core.errors import InvalidInput, RefereeError
from referee.core.findings import JsonValue
from referee.core.sources import SourceSnapshot
from referee.foundation.jobs import read_own_identity
from referee.foundation.sandbox import SharedNetwork, detect_isolation, open_network, remove_written_folder
from referee.foundation.store import record_artifacts
from referee.foundation.web.live import publish

__all__ = ["host_app", "main"]

_BEAT_S: Final = 1.0
_FIRST_BACKEND_PORT: Final = 5001
_FIRST_FRONTEND_PORT: Final = 8001
_PORTS_COUNT: Final = 2_000

log = structlog.get_logger("referee.apps")


class _Host:
    """One app from claim to end."""

    def __init__(self, room: AppsRoom, app_run_id: UUID, row: AppRunRow) -> None:
        self.room = room
        self.app_run_id = app_run_id
        self.project_id = row.project_id
        self.listing_sha256 = row.listing_sha256
        self.folder = room.settings.app_runs_dir / app_run_id.hex
        self.started: list[StartedComponent] = []
        self.notices: list[str] = []
        self.components: dict[str, dict[str, JsonValue]] = {}
        self.unwanted = asyncio.Event()
        self._held_s = time.monotonic()
        self._heard_s = time.monotonic()

    async def run(self) -> None:
        """Start the app, keep it up while it is wanted, stop it, and record what became of it."""
        beat = asyncio.create_task(self._beat())
        failure: AppFailed | None = None
        network: SharedNetwork | None = None
        try:
            network = await open_network()
            failure = await self._start_and_stay(network)
        except RefereeError as error:
            failure = AppFailed(FailureKind.host_lost, str(error))
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat
            await self._stop()
            if network is not None:
                await network.close()
            await self._record_end(failure)
            await asyncio.to_thread(remove_written_folder, self.folder)

    async def _start_and_stay(self, network: SharedNetwork | None) -> AppFailed | None:
        """Return why the app ended, None when nobody wanted it any more."""
        starting = asyncio.create_task(self._start(network))
        unwanted = asyncio.create_task(self.unwanted.wait())
        try:
            await asyncio.wait([starting, unwanted], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return None
            await starting
            tasks = [component.task for component in self.started]
            await asyncio.wait([*tasks, unwanted], return_when=asyncio.FIRST_COMPLETED)
            ended = next((component for component in self.started if component.task.done()), None)
            if ended is None or self.unwanted.is_set():
                return None
            result = ended.task.result()
            return AppFailed(
                FailureKind.crashed,
                f"{ended.component.name} ended while the app was in use."
                f" {result.reason or f'Its exit code was {result.exit_code}.'}",
                lines=read_last_lines(self._place(network).log_path(ended.component.name)),
            )
        except AppFailed as error:
            return error
        finally:
            for task in (starting, unwanted):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, AppFailed):
                    await task

    async def _start(self, network: SharedNetwork | None) -> None:
        await self._say("reading the source")
        listing = await self.room.artifacts.read_bytes(self.listing_sha256)
        snapshot = await asyncio.to_thread(load_snapshot, listing, self.room.settings.snapshots_dir)
        recipe = await self._find_recipe(snapshot)
        environments = await self._install(snapshot, recipe)
        await self._say("copying the source")
        place = self._place(network)
        await asyncio.to_thread(self._prepare, place, snapshot, recipe, environments)
        words: dict[str, str] = {}
        for number, component in enumerate(recipe.components):
            if component.build:
                await self._say(f"building {component.name}")
                await build_component(place, component, environments[component.name])
            await self._say(f"starting {component.name}")
            port = await self._reserve_port(component, is_first=number == 0, is_shared=network is None)
            started = await start_component(
                place,
                component,
                environments[component.name],
                port=port,
                words=words,
                timeout_s=self.room.settings.app_start_timeout_s,
                on_stage=self._say,
            )
            self.started.append(started)
            words.setdefault("backend_url", started.target.url)
            self.components[component.name] |= {"url": started.target.url, "port": started.target.port}
        await self._record_running(network)

    async def _find_recipe(self, snapshot: SourceSnapshot) -> Recipe:
        try:
            recipe = await asyncio.to_thread(find_recipe, snapshot)
        except InvalidInput as error:
            raise AppFailed(FailureKind.description_invalid, str(error)) from error
        if recipe is None:
            raise AppFailed(FailureKind.never_listened, "Nothing in the source can be started.")
        self.notices.extend(recipe.notices)
        self.components = {
            component.name: {
                "name": component.name,
                "kind": component.kind,
                "framework": component.framework,
                "folder": component.folder,
                "reason": component.reason,
                "command": list(component.argv),
            }
            for component in recipe.components
        }
        return recipe

    async def _install(self, snapshot: SourceSnapshot, recipe: Recipe) -> dict[str, AppEnvironment]:
        environments = {}
        for component in recipe.components:
            await self._say(f"installing what {component.name} needs")
            try:
                environment = await ensure_environment(
                    component,
                    snapshot,
                    environments_dir=self.room.settings.app_environments_dir,
                    node=self.room.node,
                    timeout_s=self.room.settings.app_install_timeout_s,
                )
            except DependenciesFailed as error:
                raise AppFailed(
                    FailureKind.dependencies_failed, f"{component.name}: {error.reason}", lines=error.lines
                ) from error
            self.notices.extend(f"{component.name}: {notice}" for notice in environment.notices)
            environments[component.name] = environment
        return environments

    def _place(self, network: SharedNetwork | None) -> AppPlace:
        settings = self.room.settings
        return AppPlace(
            app_run_id=str(self.app_run_id),
            folder=self.folder,
            network=None if network is None else network.handle,
            limits=make_limits(
                memory_bytes=settings.app_memory_max_bytes, disk_bytes=settings.app_disk_max_bytes
            ),
        )

    def _prepare(
        self,
        place: AppPlace,
        snapshot: SourceSnapshot,
        recipe: Recipe,
        environments: Mapping[str, AppEnvironment],
    ) -> None:
        place.logs_dir.mkdir(parents=True, mode=0o711)
        for component in recipe.components:
            # A copy for each: in the sandbox every component is a user of its own.
            workspace = place.workspace(component.name)
            workspace.mkdir(parents=True, mode=0o755)
            prepare_workspace(snapshot, workspace, environments, (component,))

    async def _reserve_port(self, component: Component, *, is_first: bool, is_shared: bool) -> int:
        """Give a component a port that no other run on this machine has."""
        first = _FIRST_BACKEND_PORT if is_first else _FIRST_FRONTEND_PORT
        taken = {listener.port for listener in list_listeners()} if is_shared else set()
        machine = read_own_identity().machine
        wanted = [component.port] if component.port else range(first, first + _PORTS_COUNT)
        for port in wanted:
            if port in taken:
                continue
            async with self.room.database.transaction() as session:
                reserved = await session.scalar(
                    insert(AppPortRow)
                    .values(
                        machine=machine if is_shared else f"{machine}/{self.app_run_id}",
                        port=port,
                        app_run_id=self.app_run_id,
                        component=component.name,
                    )
                    .on_conflict_do_nothing()
                    .returning(AppPortRow.port)
                )
            if reserved is not None:
                return port
        raise AppFailed(
            FailureKind.port_taken,
            f"{component.name} needs port {component.port}, which another process has."
            if component.port
            else f"No port from {first} on is free.",
        )

    async def _beat(self) -> None:
        settings = self.room.settings
        while True:
            try:
                async with self.room.database.transaction() as session:
                    is_wanted = await self._look(session)
                self._heard_s = time.monotonic()
                if not is_wanted:
                    self.unwanted.set()
                    return
            except RefereeError as error:
                log.warning("app_run.database_away", app_run_id=str(self.app_run_id), reason=error.message)
                if time.monotonic() - self._heard_s > settings.app_lease_ttl_s:
                    self.unwanted.set()  # by now every lease that we know of has run out
                    return
            await asyncio.sleep(_BEAT_S)

    async def _look(self, session: AsyncSession) -> bool:
        """Say that we live; decide under the row's lock whether anybody still wants the app."""
        state = await session.scalar(
            select(AppRunRow.state).where(AppRunRow.app_run_id == self.app_run_id).with_for_update()
        )
        if state not in (AppRunState.starting.value, AppRunState.running.value):
            return False
        is_held = await count_live_leases(session, self.app_run_id, read_own_identity()) > 0
        if is_held:
            self._held_s = time.monotonic()
        is_wanted = is_held or time.monotonic() - self._held_s <= self.room.settings.app_linger_s
        values: dict[str, object] = {"beat_at": text("clock_timestamp()")}
        if not is_wanted:
            values["state"] = AppRunState.stopping.value
        await session.execute(
            update(AppRunRow).where(AppRunRow.app_run_id == self.app_run_id).values(**values)
        )
        return is_wanted

    async def _say(self, stage: str) -> None:
        async def change(session: AsyncSession) -> None:
            await session.execute(
                update(AppRunRow).where(AppRunRow.app_run_id == self.app_run_id).values(stage=stage)
            )
            await self._publish(session)

        await self._write(change)

    async def _record_running(self, network: SharedNetwork | None) -> None:
        isolation = detect_isolation()
        handle = None if network is None else network.handle

        async def change(session: AsyncSession) -> None:
            await session.execute(
                update(AppRunRow)
                .where(AppRunRow.app_run_id == self.app_run_id, AppRunRow.state == AppRunState.starting.value)
                .values(
                    state=AppRunState.running.value,
                    stage="",
                    started_at=text("clock_timestamp()"),
                    components_json=list(self.components.values()),
                    notices_json=self.notices,
                    network_json=None
                    if handle is None
                    else [handle.holder_pid, handle.holder_started_ticks, handle.inode],
                    isolation_json={
                        "method": isolation.method,
                        "has_own_network": handle is not None,
                        "has_read_only_system": isolation.has_read_only_system,
                        "has_own_processes": isolation.has_own_processes,
                        "limits": list(isolation.limits),
                        "reason": isolation.reason,
                    },
                )
            )
            await self._publish(session)

        await self._write(change)

    async def _stop(self) -> None:
        for started in reversed(self.started):
            started.task.cancel()
        for started in self.started:
            with contextlib.suppress(asyncio.CancelledError):
                await started.task

    async def _record_end(self, failure: AppFailed | None) -> None:
        logs = await self._keep_logs()

        async def change(session: AsyncSession) -> None:
            await session.execute(
                update(AppRunRow)
                .where(AppRunRow.app_run_id == self.app_run_id)
                .values(components_json=list(self.components.values()), notices_json=self.notices)
            )
            await end_app_run(
                session,
                self.app_run_id,
                failure=None if failure is None else failure.kind,
                reason="Nobody held it any more." if failure is None else failure.reason,
                last_lines=() if failure is None else failure.lines,
                logs=logs,
            )
            await self._publish(session)

        await self._write(change)
        log.info(
            "app_run.ended",
            app_run_id=str(self.app_run_id),
            failure=None if failure is None else failure.kind.value,
            reason="" if failure is None else failure.reason,
        )

    async def _keep_logs(self) -> dict[str, JsonValue]:
        """Put each component's output into the artifact store."""
        kept: dict[str, JsonValue] = {}
        stored = []
        for path in sorted(self._log_files()):
            artifact = await self.room.artifacts.put_file(path, "text/plain")
            stored.append(artifact)
            kept[path.name.removesuffix(".stdout")] = {
                "sha256": artifact.sha256,
                "size_bytes": artifact.size_bytes,
            }
        async with self.room.database.transaction() as session:
            await record_artifacts(session, stored)
        return kept

    def _log_files(self) -> list[Path]:
        folder = self.folder / "logs"
        return list(folder.glob("*.stdout")) if folder.is_dir() else []

    async def _write(self, change: Callable[[AsyncSession], Awaitable[None]]) -> None:
        await write_patiently(self.room.database, change, patience_s=self.room.settings.app_lease_ttl_s)

    async def _publish(self, session: AsyncSession) -> None:
        await publish(session, "app_runs", {"app_run_id": str(self.app_run_id)}, project_id=self.project_id)


async def host_app(room: AppsRoom, app_run_id: UUID) -> bool:
    """Run an app until nobody wants it. Returns False when another process has it already."""
    own = read_own_identity()
    async with room.database.transaction() as session:
        row = await session.scalar(
            update(AppRunRow)
            .where(
                AppRunRow.app_run_id == app_run_id,
                AppRunRow.state == AppRunState.starting.value,
                or_(
                    AppRunRow.host_pid.is_(None),
                    and_(AppRunRow.host_pid == own.pid, AppRunRow.host_started == own.process_start),
                ),
            )
            .values(host_pid=own.pid, host_started=own.process_start, beat_at=text("clock_timestamp()"))
            .returning(AppRunRow)
        )
        if row is None:
            return False
        host = _Host(room, app_run_id, row)
    running = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.unwanted.set)
    if running is not None:
        await host.run()
    return True


def main() -> None:
    """Host the app run that the command line names."""
    from referee.foundation.logs import configure_logs  # noqa: PLC0415 - only for a process of its own
    from referee.foundation.settings import load_settings  # noqa: PLC0415
    from referee.foundation.store import open_artifacts, open_database  # noqa: PLC0415
    from referee.tools.install import ToolInstaller  # noqa: PLC0415

    settings = load_settings(database_pool_count=2)
    configure_logs(settings)

    async def serve() -> None:
        database = await open_database(settings)
        try:
            installer = ToolInstaller(settings.tools_path, advisories_dir=settings.advisories_dir)
            room = AppsRoom(
                settings=settings,
                database=database,
                artifacts=open_artifacts(settings),
                install_kit=installer,
            )
            await host_app(room, UUID(sys.argv[1]))
        finally:
            await database.close()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
