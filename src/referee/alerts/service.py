"""Verbs of rules: create, change, pause, mute, resolve, delete, and try on history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.deciding import Standing, decide
from referee.alerts.defaults import list_default_rules
from referee.alerts.evaluating import Reading, find_last_end, find_limits, read_window
from referee.alerts.firing import judge_reading, tell_change
from referee.alerts.queries import MAX_RULES_COUNT, find_rule_row, get_rule
from referee.alerts.room import AlertsRoom
from referee.alerts.rules import RuleDraft
from referee.alerts.tables import AlertChannelRow, AlertDefaultRow, AlertRuleRow
from referee.alerts.views import Rule, view_draft, view_rule
from referee.alerts.words import Condition
from referee.core.errors import Conflict, InvalidInput, Unavailable
from referee.core.ids import new_id
from referee.foundation.access import Principal, get_project
from referee.foundation.jobs import JobEngine
from referee.foundation.web.live import publish

__all__ = [
    "Trial",
    "TrialPoint",
    "act_on_rule",
    "apply_rules",
    "create_rule",
    "delete_rule",
    "ensure_default_rules",
    "mute_rule",
    "try_rule",
    "update_rule",
]

OPERATOR_PROJECT: Final = "default"
"""Whose rules may watch the installation."""
MAX_TRIAL_WINDOWS: Final = 300
TRIAL_TIMEOUT_S: Final = 30.0
MAX_MUTE_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """One window of the past."""

    to_at: datetime
    value: float | None
    values_count: int
    outcome: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rule would have done."""

    points: tuple[TrialPoint, ...]
    fired_count: int
    resolved_count: int
    from_at: datetime
    to_at: datetime

    @property
    def sentence(self) -> str:
        """What people want to know."""
        times = "once" if self.fired_count == 1 else f"{self.fired_count} times"
        if not any(point.values_count for point in self.points):
            return "There were no values in that time, so it would never have fired."
        return f"It would have fired {times} and resolved {self.resolved_count}, over {len(self.points)} windows."


async def create_rule(room: AlertsRoom, project_id: UUID, draft: RuleDraft) -> Rule:
    """Add a rule; its first window ends at the next multiple of its frequency.

    Raises:
        Conflict: There is a rule of that name, or too many.
        InvalidInput: It names a channel that is not there, or watches what only the operator's project may.
    """
    async with room.database.transaction() as session:
        await _check_ground(session, room, project_id, draft)
        count = await session.scalar(
            select(func.count()).select_from(AlertRuleRow).where(AlertRuleRow.project_id == project_id)
        )
        if (count or 0) >= MAX_RULES_COUNT:
            raise Conflict(
                "alert.rules_full", f"A project has {MAX_RULES_COUNT:,} rules at most.", "Delete one."
            )
        rule_id = await _insert(session, project_id, draft)
        if rule_id is None:
            raise Conflict(
                "alert.rule_exists", f"There is a rule {draft.name!r} already.", "Choose another name."
            )
        return await get_rule(session, project_id, rule_id)


async def update_rule(room: AlertsRoom, project_id: UUID, rule: str | UUID, draft: RuleDraft) -> Rule:
    """Change what a rule says. Where it stands stays; its rows of bad and good windows begin anew.

    Raises:
        NotFound: There is no such rule.
        Conflict: Another rule has the name.
        InvalidInput: As for a new one.
    """
    async with room.database.transaction() as session:
        await _check_ground(session, room, project_id, draft)
        row = await find_rule_row(session, project_id, rule, is_locked=True)
        taken = await session.scalar(
            select(AlertRuleRow.rule_id).where(
                AlertRuleRow.project_id == project_id,
                AlertRuleRow.name == draft.name,
                AlertRuleRow.rule_id != row.rule_id,
            )
        )
        if taken is not None:
            raise Conflict(
                "alert.rule_exists", f"There is a rule {draft.name!r} already.", "Choose another name."
            )
        now = datetime.now(UTC)
        if row.every_s != draft.every_s:
            row.next_at = find_last_end(draft.every_s, now) + timedelta(seconds=draft.every_s)
        for name, value in _dump(draft).items():
            setattr(row, name, value)
        row.bad_since = row.good_since = None
        row.updated_at = now
        await session.flush()
        await _tell(session, project_id, row.rule_id)
        return view_rule(row, now)


async def apply_rules(
    room: AlertsRoom, project_id: UUID, drafts: Sequence[RuleDraft]
) -> list[tuple[str, str]]:
    """Make the rules of a file true: by name, in one transaction. What the file does not name stays.

    Returns:
        Name and ``created``, ``changed`` or ``unchanged`` of each.

    Raises:
        InvalidInput: Two have one name, or one cannot be.
    """
    names = [draft.name for draft in drafts]
    if len(set(names)) != len(names):
        raise InvalidInput(
            "alert.names_doubled", "Two rules of the file have one name.", "Name each differently."
        )
    done: list[tuple[str, str]] = []
    async with room.database.transaction() as session:
        for draft in drafts:
            await _check_ground(session, room, project_id, draft)
            if await _insert(session, project_id, draft) is not None:
                done.append((draft.name, "created"))
                continue
            row = await find_rule_row(session, project_id, draft.name, is_locked=True)
            if view_draft(row) == draft:
                done.append((draft.name, "unchanged"))
                continue
            for name, value in _dump(draft).items():
                setattr(row, name, value)
            row.bad_since = row.good_since = None
            row.updated_at = datetime.now(UTC)
            done.append((draft.name, "changed"))
    return done


async def act_on_rule(
    room: AlertsRoom,
    engine: JobEngine,
    project_id: UUID,
    rule: str | UUID,
    action: str,
    *,
    actor: str = "somebody",
) -> Rule:
    """Pause, resume, unmute or resolve a rule.

    ``resolve`` says that it is over: people are told, and the rule fires again when its values are bad again.

    Raises:
        NotFound: There is no such rule.
        Conflict: It does not fire, so it cannot be resolved.
    """
    now = datetime.now(UTC)
    async with room.database.transaction() as session:
        row = await find_rule_row(session, project_id, rule, is_locked=True)
        if action == "pause":
            row.is_paused = True
        elif action == "resume":
            row.is_paused, row.bad_since, row.good_since = False, None, None
            row.next_at = find_last_end(row.every_s, now) + timedelta(seconds=row.every_s)
        elif action == "unmute":
            row.muted_until = None
            await tell_change(room, engine, session, row, None, row.evaluated_at or now)
        else:
            if row.condition != Condition.triggered.value:
                raise Conflict(
                    "alert.not_firing", "The rule does not fire.", "Only one that fires can be resolved."
                )
            row.condition, row.changed_at = Condition.resolved.value, now
            row.bad_since = row.good_since = None
            await tell_change(
                room, engine, session, row, None, row.evaluated_at or now, reason=f"Resolved by {actor}."
            )
        await session.flush()
        await _tell(session, project_id, row.rule_id)
        return view_rule(row, now)


async def mute_rule(room: AlertsRoom, project_id: UUID, rule: str | UUID, until: datetime) -> Rule:
    """Tell nobody of a rule until an instant; it is evaluated all the same.

    Raises:
        NotFound: There is no such rule.
        InvalidInput: The instant has passed, or is too far.
    """
    now = datetime.now(UTC)
    if until.tzinfo is None or not now < until <= now + timedelta(days=MAX_MUTE_DAYS):
        raise InvalidInput(
            "alert.mute_until_invalid",
            "The instant has passed, has no time zone, or is too far.",
            f"Name one within {MAX_MUTE_DAYS} days, such as 2030-01-31T08:00:00Z.",
        )
    async with room.database.transaction() as session:
        row = await find_rule_row(session, project_id, rule, is_locked=True)
        row.muted_until = until
        await session.flush()
        await _tell(session, project_id, row.rule_id)
        return view_rule(row, now)


async def delete_rule(room: AlertsRoom, project_id: UUID, rule: str | UUID) -> None:
    """Remove a rule with its log; what was told of it stays.

    Raises:
        NotFound: There is no such rule.
    """
    async with room.database.transaction() as session:
        row = await find_rule_row(session, project_id, rule, is_locked=True)
        await session.execute(delete(AlertRuleRow).where(AlertRuleRow.rule_id == row.rule_id))
        await publish(session, "alerts", {}, project_id=project_id)


async def try_rule(
    room: AlertsRoom,
    project_id: UUID,
    draft: RuleDraft,
    *,
    windows_count: int = 100,
    to_at: datetime | None = None,
) -> Trial:
    """Return what a rule would have done in its last windows; nothing is stored and nobody is told.

    Raises:
        InvalidInput: It cannot be, or there are too many windows.
        Unavailable: Its queries take too long.
    """
    if not 1 <= windows_count <= MAX_TRIAL_WINDOWS:
        raise InvalidInput(
            "alert.trial_too_long", "That are too many windows.", f"Ask for 1 to {MAX_TRIAL_WINDOWS}."
        )
    try:
        async with asyncio.timeout(TRIAL_TIMEOUT_S):
            return await _try_windows(room, project_id, draft, windows_count, to_at)
    except TimeoutError:
        raise Unavailable(
            "alert.trial_too_slow",
            f"Trying the rule took longer than {TRIAL_TIMEOUT_S:g} seconds.",
            "Try fewer windows, a shorter window, or a narrower filter.",
        ) from None


async def _try_windows(
    room: AlertsRoom, project_id: UUID, draft: RuleDraft, windows_count: int, to_at: datetime | None
) -> Trial:
    source, limits = room.find_source(draft.source), find_limits(draft)
    end = find_last_end(draft.every_s, to_at or datetime.now(UTC))
    standing, points = Standing(Condition.active), list[TrialPoint]()
    fired_count = resolved_count = 0
    async with room.database.reading() as session:
        await _check_ground(session, room, project_id, draft)
        for back in range(windows_count - 1, -1, -1):
            at = end - timedelta(seconds=draft.every_s * back)
            reading: Reading = await read_window(session, source, draft, project_id, at)
            after = decide(standing, limits, reading.value, reading.values_count, at)
            if after.condition is not standing.condition:
                fired_count += after.condition is Condition.triggered
                resolved_count += after.condition is Condition.resolved
            standing = after
            points.append(
                TrialPoint(
                    at, reading.value, reading.values_count, judge_reading(draft, reading), after.condition
                )
            )
    return Trial(tuple(points), fired_count, resolved_count, points[0].to_at, end)


async def ensure_default_rules(room: AlertsRoom, project_id: UUID) -> int:
    """Make the rules that every project has from the start, once; return how many were made."""
    operator = await get_project(room.database, OPERATOR_PROJECT)
    drafts = list_default_rules(dict(room.sources), is_operator=operator.project_id == project_id)
    made_count = 0
    async with room.database.transaction() as session:
        known = set(
            await session.scalars(
                select(AlertDefaultRow.default_key).where(AlertDefaultRow.project_id == project_id)
            )
        )
        for key, draft in drafts.items():
            if key in known:
                continue
            fresh = await session.scalar(
                insert(AlertDefaultRow)
                .values(project_id=project_id, default_key=key)
                .on_conflict_do_nothing()
                .returning(AlertDefaultRow.default_key)
            )
            if fresh is not None:
                made_count += await _insert(session, project_id, draft, default_key=key) is not None
    return made_count


def describe_actor(principal: Principal) -> str:
    """Return who acts, for a message."""
    return "the local user" if principal.key_id is None else f"the key {principal.key_id}"


async def _insert(
    session: AsyncSession, project_id: UUID, draft: RuleDraft, *, default_key: str | None = None
) -> UUID | None:
    now = datetime.now(UTC)
    return await session.scalar(
        insert(AlertRuleRow)
        .values(
            rule_id=new_id(),
            project_id=project_id,
            next_at=find_last_end(draft.every_s, now) + timedelta(seconds=draft.every_s),
            default_key=default_key,
            **_dump(draft),
        )
        .on_conflict_do_nothing(index_elements=["project_id", "name"])
        .returning(AlertRuleRow.rule_id)
    )


def _dump(draft: RuleDraft) -> Mapping[str, Any]:
    values = {name: getattr(draft, name) for name in RuleDraft.__dataclass_fields__ if name != "channels"}
    words = {name: getattr(value, "value", value) for name, value in values.items()}
    return {**words, "channels_json": list(draft.channels)}


async def _check_ground(session: AsyncSession, room: AlertsRoom, project_id: UUID, draft: RuleDraft) -> None:
    """Refuse what only the database knows: channels that are not there, numbers that are not the project's."""
    if room.find_source(draft.source).is_of_installation:
        operator = await get_project(room.database, OPERATOR_PROJECT)
        if operator.project_id != project_id:
            raise InvalidInput(
                "alert.source_of_installation",
                f"{room.find_source(draft.source).title} are numbers of the whole installation.",
                f"Watch them in the project {OPERATOR_PROJECT}.",
            )
    if draft.channels:
        known = await session.scalars(
            select(AlertChannelRow.name).where(
                AlertChannelRow.project_id == project_id, AlertChannelRow.name.in_(draft.channels)
            )
        )
        missing = set(draft.channels) - set(known)
        if missing:
            raise InvalidInput(
                "alert.channel_unknown",
                f"There is no channel {min(missing)[:80]!r}.",
                "Add the channel first.",
            )


async def _tell(session: AsyncSession, project_id: UUID, rule_id: UUID) -> None:
    await publish(session, f"alert:{rule_id}", {})
    await publish(session, "alerts", {}, project_id=project_id)
