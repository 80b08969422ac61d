"""Hold an app: find it running or start it, keep it up while it is used, take turns on it.

A lease is a row with an instant until which it holds. Whoever holds one renews
it; a holder that dies stops renewing, and the app stops when the last lease
has run out. Leases are taken and the decision to stop is made under the lock
of the run's row, so an app is never stopped under somebody who has just been
given a lease on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError as UniqueViolation
from sqlalchemy.ext.asyncio import AsyncSession

from referee.apps.hosts import HANG_S, end_if_lost, start_host
from referee.apps.leases import free_turn_of_dead
from referee.apps.listening import find_owned_listeners
from referee.apps.probing import ProbeAnswer, probe_urls
from referee.apps.recipes import find_recipe
from referee.apps.room import AppsRoom
from referee.apps.runs import (
    LIVE_STATES,
    AppFailed,
    AppRun,
    AppRunState,
    FailureKind,
    get_app_run,
)
from referee.apps.tables import AppLeaseRow, AppRunRow
from referee.core.errors import InvalidInput, RefereeError, Unavailable
from referee.core.ids import new_id
from referee.core.sources import SourceSnapshot
from referee.foundation.jobs import ProcessIdentity, read_own_identity
from referee.foundation.store import Artifact, record_artifacts
from referee.tools.contract import RunningApp

__all__ = ["AppSource", "HeldApp", "NothingToRun", "hold_app", "lease_app", "wait_until_up"]

_LOOK_S: Final = 0.1
_LOST_LOOK_S: Final = 1.0
"""Between two looks whether the host of an app that starts is still there: as often as it beats."""
_RENEWALS_PER_TTL: Final = 5
_KNOWN_UP_S: Final = 2.0
"""How long an answer shows that an app is up, where another question follows before anything depends on it."""
_CONFIRMED_S: Final = 1.0
"""How long an answer will do before a tool starts; when the tool has ended the app is asked in any case."""

log = structlog.get_logger("referee.apps")


class NothingToRun(Exception):
    """A source holds nothing that can be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSource:
    """What to run: a snapshot with its listing as an artifact."""

    project_id: UUID
    app_id: UUID | None
    name: str
    snapshot: SourceSnapshot
    listing: Artifact


class HeldApp:
    """A running app under a lease of ours. Renewed in the background until it is given back."""

    def __init__(self, room: AppsRoom, run: AppRun, lease_id: UUID) -> None:
        self._room = room
        self.run = run
        self.lease_id = lease_id
        self.running: RunningApp = run.to_running_app()
        self._lost = asyncio.Event()
        self._own_turn = asyncio.Lock()
        """Among the tools of this holder, which the database cannot tell apart."""
        self._answered_s: float | None = None

    @property
    def is_known_up(self) -> bool:
        """Whether the app passed a check a moment ago, so that asking it again tells nothing new."""
        return self._answered_s is not None and time.monotonic() - self._answered_s < _KNOWN_UP_S

    async def confirm(self) -> None:
        """As ``check``, unless the app passed one in this very moment.

        Raises:
            AppFailed: As for ``check``.
        """
        if self._answered_s is None or time.monotonic() - self._answered_s > _CONFIRMED_S:
            await self.check()

    @property
    def is_lost(self) -> bool:
        """Whether the lease is known to hold no more."""
        return self._lost.is_set()

    async def check(self) -> None:
        """Prove that the app answers now, from where tools run, and that it is the app that does.

        Raises:
            AppFailed: It has ended, a target does not answer, or another process does in its place.
        """
        self._answered_s = None
        await self._require_running()
        answers = await probe_urls([target.url for target in self.running.targets], self.running.network)
        if any(answer.status is None for answer in answers):
            await self._require_running()  # its end, seen meanwhile, says more than its silence
        _require_answers(answers, self.run)
        if self.running.network is None:
            await asyncio.to_thread(_require_ownership, self.running)
        self._answered_s = time.monotonic()

    async def _require_running(self) -> None:
        async with self._room.database.transaction() as session:
            await end_if_lost(session, self.run.app_run_id, read_own_identity())
            run = await get_app_run(session, self.run.project_id, self.run.app_run_id)
        if run.state is not AppRunState.running:
            raise AppFailed(
                run.failure or FailureKind.host_lost,
                run.reason or "It was stopped.",
                lines=run.last_lines,
                app_run_id=run.app_run_id,
            )

    @asynccontextmanager
    async def take_turn(self) -> AsyncIterator[None]:
        """Be the only one that sends requests to the app, waiting for others to end theirs first."""
        async with self._own_turn:
            while not await self._try_turn():
                if self.is_lost:
                    raise AppFailed(
                        FailureKind.host_lost,
                        "The lease on the app was lost.",
                        app_run_id=self.run.app_run_id,
                    )
                await asyncio.sleep(_LOOK_S)
            try:
                yield
            finally:
                await asyncio.shield(self._give_turn_back())

    async def _try_turn(self) -> bool:
        rival = AppLeaseRow.__table__.alias("rival")
        try:
            async with self._room.database.transaction() as session:
                await free_turn_of_dead(session, self.run.app_run_id, read_own_identity())
                taken = await session.scalar(
                    update(AppLeaseRow)
                    .where(
                        AppLeaseRow.lease_id == self.lease_id,
                        # Our own turn may still stand, where the database was away when it was given back.
                        ~exists().where(
                            rival.c.app_run_id == self.run.app_run_id,
                            rival.c.has_turn,
                            rival.c.lease_id != self.lease_id,
                        ),
                    )
                    .values(has_turn=True)
                    .returning(AppLeaseRow.lease_id)
                )
        except UniqueViolation:
            return False
        return taken is not None

    async def _give_turn_back(self) -> None:
        async with self._room.database.transaction() as session:
            await session.execute(
                update(AppLeaseRow).where(AppLeaseRow.lease_id == self.lease_id).values(has_turn=False)
            )

    async def _renew(self) -> None:
        ttl_s = self._room.settings.app_lease_ttl_s
        valid_until_s = time.monotonic() + ttl_s + HANG_S  # as long as we live, see ``leases.py``
        while time.monotonic() < valid_until_s:
            await asyncio.sleep(ttl_s / _RENEWALS_PER_TTL)
            asked_s = time.monotonic()
            try:
                async with self._room.database.transaction() as session:
                    renewed = await session.scalar(
                        update(AppLeaseRow)
                        .where(AppLeaseRow.lease_id == self.lease_id)
                        .values(expires_at=_in_seconds(ttl_s))
                        .returning(AppLeaseRow.lease_id)
                    )
            except RefereeError:
                continue  # the database is away; the lease holds meanwhile
            if renewed is None:
                break
            valid_until_s = asked_s + ttl_s + HANG_S
        self._lost.set()


@asynccontextmanager
async def hold_app(room: AppsRoom, source: AppSource, *, holder: str) -> AsyncIterator[HeldApp]:
    """Have an app running, and keep it so until the block ends.

    Args:
        room: Of apps.
        source: What to run; two holders of one source share its run.
        holder: Who, for people.

    Raises:
        NothingToRun: Nothing in the source can be started.
        AppFailed: It does not run; kind, reason and last lines say why.
    """
    run_id, lease_id = await lease_app(room, source, holder=holder, ttl_s=room.settings.app_lease_ttl_s)
    try:
        # The lease is renewed from here on: a long installation must not outlive it.
        waiting = HeldApp(room, await _read(room, source.project_id, run_id), lease_id)
        renewal = asyncio.create_task(waiting._renew())
        try:
            waiting.run = await wait_until_up(room, source.project_id, run_id)
            waiting.running = waiting.run.to_running_app()
            yield waiting
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal
    finally:
        await asyncio.shield(_release(room, lease_id))


async def lease_app(
    room: AppsRoom, source: AppSource, *, holder: str, ttl_s: float, is_person: bool = False
) -> tuple[UUID, UUID]:
    """Take a lease on the run of a source, starting a run if there is none. Returns run and lease.

    Raises:
        NothingToRun: Nothing in the source can be started.
        AppFailed: Its own description cannot be understood.
    """
    try:
        recipe = await asyncio.to_thread(find_recipe, source.snapshot)
    except InvalidInput as error:
        raise AppFailed(FailureKind.description_invalid, str(error)) from error
    if recipe is None:
        raise NothingToRun
    own = read_own_identity()
    while True:
        async with room.database.transaction() as session:
            run_id, is_new = await _ensure_run(session, source, own)
            if run_id is not None:
                lease_id = new_id()
                await session.execute(
                    insert(AppLeaseRow).values(
                        lease_id=lease_id,
                        app_run_id=run_id,
                        holder=holder,
                        is_person=is_person,
                        machine=None if is_person else own.machine,
                        holder_pid=None if is_person else own.pid,
                        holder_started=None if is_person else own.process_start,
                        expires_at=_in_seconds(ttl_s),
                    )
                )
        if run_id is None:  # an earlier run is being ended
            await asyncio.sleep(_LOOK_S)
            continue
        if is_new:
            await asyncio.shield(start_host(room, run_id))
        return run_id, lease_id


async def wait_until_up(room: AppsRoom, project_id: UUID, app_run_id: UUID) -> AppRun:
    """Return a run once every component answers.

    Raises:
        AppFailed: It failed, or was stopped first.
    """
    own = read_own_identity()
    looked_s = time.monotonic()
    while True:
        run = await _read(room, project_id, app_run_id)
        if run.state is AppRunState.running:
            return run
        if run.state.is_final or run.state is AppRunState.stopping:
            raise AppFailed(
                run.failure or FailureKind.host_lost,
                run.reason or "It was stopped before it was up.",
                lines=run.last_lines,
                app_run_id=app_run_id,
            )
        if time.monotonic() - looked_s >= _LOST_LOOK_S:
            looked_s = time.monotonic()
            async with room.database.transaction() as session:
                await end_if_lost(session, app_run_id, own)
        await asyncio.sleep(_LOOK_S)


async def _ensure_run(
    session: AsyncSession, source: AppSource, own: ProcessIdentity
) -> tuple[UUID | None, bool]:
    """Return the live run of a source, locked, and whether it was made now; None while one is being ended."""
    await record_artifacts(session, [source.listing])
    digest = source.snapshot.source_digest
    made = await session.scalar(
        insert(AppRunRow)
        .values(
            app_run_id=new_id(),
            project_id=source.project_id,
            app_id=source.app_id,
            name=source.name,
            source_digest=digest,
            listing_sha256=source.listing.sha256,
            machine=own.machine,
        )
        .on_conflict_do_nothing(
            index_elements=["project_id", "source_digest", "machine"],
            index_where=text("state IN ('starting', 'running', 'stopping')"),
        )
        .returning(AppRunRow.app_run_id)
    )
    if made is not None:
        return made, True
    row = (
        await session.execute(
            select(AppRunRow.app_run_id, AppRunRow.state)
            .where(
                AppRunRow.project_id == source.project_id,
                AppRunRow.source_digest == digest,
                AppRunRow.machine == own.machine,
                AppRunRow.state.in_(LIVE_STATES),
            )
            .with_for_update()
        )
    ).first()
    if row is None or await end_if_lost(session, row.app_run_id, own):
        return None, False
    return (None, False) if row.state == AppRunState.stopping.value else (row.app_run_id, False)


def _require_answers(answers: tuple[ProbeAnswer, ...], run: AppRun) -> None:
    silent = [answer for answer in answers if answer.status is None]
    if silent:
        raise AppFailed(
            FailureKind.unhealthy,
            f"{silent[0].url} does not answer ({silent[0].error}).",
            app_run_id=run.app_run_id,
        )


def _require_ownership(running: RunningApp) -> None:
    """Refuse a port that another process has taken over since the app ended. Blocking."""
    for target in running.targets:
        listeners = find_owned_listeners(f"{running.app_run_id}/{target.name}")
        if target.port not in {listener.port for listener in listeners}:
            raise AppFailed(
                FailureKind.port_taken,
                f"{target.url} is answered by another process, not by the app.",
                app_run_id=UUID(running.app_run_id),
            )


async def _read(room: AppsRoom, project_id: UUID, app_run_id: UUID) -> AppRun:
    async with room.database.reading() as session:
        return await get_app_run(session, project_id, app_run_id)


async def _release(room: AppsRoom, lease_id: UUID) -> None:
    try:
        async with room.database.transaction() as session:
            await session.execute(delete(AppLeaseRow).where(AppLeaseRow.lease_id == lease_id))
    except Unavailable:
        log.warning("app_lease.not_released", lease_id=str(lease_id))  # it expires by itself


def _in_seconds(seconds: float) -> object:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
