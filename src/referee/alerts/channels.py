"""Channels: who is told and how. What is secret of them is sealed, and shown once or never."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.notifying import ask_for_delivery, record_notification
from referee.alerts.queries import get_channel_row
from referee.alerts.room import AlertsRoom
from referee.alerts.signing import make_secret
from referee.alerts.tables import AlertChannelRow, AlertDeliveryRow
from referee.alerts.views import Channel, view_channel
from referee.alerts.words import ChannelKind, DeliveryState
from referee.core.errors import Conflict, InvalidInput, NotFound
from referee.core.ids import new_id
from referee.core.web_addresses import read_web_address
from referee.foundation.jobs import JobEngine

__all__ = [
    "create_channel",
    "delete_channel",
    "enable_channel",
    "read_recipients",
    "redeliver",
    "rotate_secret",
    "test_channel",
]

OLD_SECRET_HOURS: Final = 24
"""How long the secret before still signs beside a new one, for receivers to change over."""
MAX_CHANNELS_COUNT: Final = 100
"""Of one project."""
MAX_RECIPIENTS_COUNT: Final = 50
_MAX_ADDRESS_CHARS: Final = 2_000
_RECIPIENT: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


async def create_channel(
    room: AlertsRoom, project_id: UUID, *, name: str, kind: ChannelKind, address: str
) -> tuple[Channel, str | None]:
    """Add a channel; return it, and the signing secret of a webhook, which is shown this once.

    Args:
        room: The room.
        project_id: Whose.
        name: Unique in the project.
        kind: How it tells.
        address: Recipients of mail, separated by commas; or the URL of a webhook.

    Raises:
        InvalidInput: The name or the address cannot be used.
        Forbidden: The address is not public, and no setting allows it.
        Conflict: There is a channel of that name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "alert.channel_name_invalid",
            "That is no name of a channel.",
            "Use up to 80 letters, digits, spaces, dots, hyphens and underscores.",
        )
    label = _check_address(room, kind, address)
    channel_id, secret = new_id(), make_secret() if kind is ChannelKind.webhook else None
    async with room.database.transaction() as session:
        count = await session.scalar(
            select(func.count()).select_from(AlertChannelRow).where(AlertChannelRow.project_id == project_id)
        )
        if (count or 0) >= MAX_CHANNELS_COUNT:
            raise Conflict(
                "alert.channels_full", f"A project has {MAX_CHANNELS_COUNT} channels at most.", "Delete one."
            )
        made = await session.scalar(
            insert(AlertChannelRow)
            .values(
                channel_id=channel_id,
                project_id=project_id,
                name=name,
                kind=kind.value,
                label=label,
                address_sealed=room.sealer.seal(address.strip(), f"address:{channel_id}"),
                secret_sealed=None if secret is None else room.sealer.seal(secret, f"secret:{channel_id}"),
            )
            .on_conflict_do_nothing(index_elements=["project_id", "name"])
            .returning(AlertChannelRow.channel_id)
        )
        if made is None:
            raise Conflict(
                "alert.channel_exists", f"There is a channel {name!r} already.", "Choose another name."
            )
        return view_channel(await get_channel_row(session, project_id, channel_id), datetime.now(UTC)), secret


async def rotate_secret(room: AlertsRoom, project_id: UUID, channel: str | UUID) -> str:
    """Replace the signing secret of a webhook and return the new one; for a day the old one signs too.

    Raises:
        NotFound: There is no such channel.
        Conflict: It signs nothing.
    """
    secret = make_secret()
    async with room.database.transaction() as session:
        row = await get_channel_row(session, project_id, channel, is_locked=True)
        if row.secret_sealed is None:
            raise Conflict(
                "alert.channel_unsigned", "This channel signs nothing.", "Only webhooks have a secret."
            )
        old = room.sealer.open(row.secret_sealed, f"secret:{row.channel_id}")
        row.old_secret_sealed = room.sealer.seal(old, f"secret:{row.channel_id}")
        row.old_secret_until = datetime.now(UTC) + timedelta(hours=OLD_SECRET_HOURS)
        row.secret_sealed = room.sealer.seal(secret, f"secret:{row.channel_id}")
        row.updated_at = datetime.now(UTC)
    return secret


async def enable_channel(
    room: AlertsRoom, project_id: UUID, channel: str | UUID, *, is_enabled: bool
) -> Channel:
    """Let a channel tell again, or no longer.

    Raises:
        NotFound: There is no such channel.
    """
    async with room.database.transaction() as session:
        row = await get_channel_row(session, project_id, channel, is_locked=True)
        row.is_enabled, row.failures_count = is_enabled, 0
        row.disabled_reason = "" if is_enabled else "It was disabled by hand."
        row.updated_at = datetime.now(UTC)
        if not is_enabled:
            await bury_deliveries(session, row.channel_id, "The channel was disabled.")
        return view_channel(row, datetime.now(UTC))


async def delete_channel(room: AlertsRoom, project_id: UUID, channel: str | UUID) -> None:
    """Remove a channel with its deliveries; what was told stays.

    Raises:
        NotFound: There is no such channel.
    """
    async with room.database.transaction() as session:
        row = await get_channel_row(session, project_id, channel, is_locked=True)
        await session.execute(delete(AlertChannelRow).where(AlertChannelRow.channel_id == row.channel_id))


async def test_channel(room: AlertsRoom, engine: JobEngine, project_id: UUID, channel: str | UUID) -> None:
    """Send a message that says it is a test, the way every other goes.

    Raises:
        NotFound: There is no such channel.
        Conflict: It is disabled.
    """
    async with room.database.transaction() as session:
        row = await get_channel_row(session, project_id, channel)
        if not row.is_enabled:
            raise Conflict("alert.channel_disabled", "The channel is disabled.", "Enable it first.")
        await record_notification(
            session,
            engine,
            project_id,
            rule_id=None,
            rule_name="Test",
            transition=0,
            state="test",
            severity="info",
            title=f"Test of the channel {row.name}",
            content={
                "description": "Somebody pressed the test button. Nothing is wrong.",
                "url": f"{room.root_url}/ui/alert-channels",
            },
            channels=(row.name,),
        )


async def redeliver(room: AlertsRoom, engine: JobEngine, project_id: UUID, delivery_id: UUID) -> None:
    """Send a delivery again that was given up, with all its attempts before it.

    Raises:
        NotFound: There is no such delivery.
        Conflict: It was not given up, or its channel is disabled.
    """
    async with room.database.transaction() as session:
        row = await session.get(AlertDeliveryRow, delivery_id, with_for_update=True)
        if row is None or row.project_id != project_id:
            raise NotFound(
                "alert.delivery_not_found", "There is no such delivery.", "Look at the list of deliveries."
            )
        channel = await get_channel_row(session, project_id, row.channel_id)
        if row.state != DeliveryState.dead.value or not channel.is_enabled:
            what = f"The delivery is {row.state}" if channel.is_enabled else "The channel is disabled"
            raise Conflict("alert.delivery_not_dead", f"{what}.", "Only what was given up is sent again.")
        row.state, row.attempts_count, row.next_at = DeliveryState.queued.value, 0, datetime.now(UTC)
        await ask_for_delivery(session, engine, project_id, row.channel_id)


async def bury_deliveries(session: AsyncSession, channel_id: UUID, reason: str) -> None:
    """Give up what still waits for a channel; it can be sent again by hand."""
    await session.execute(
        update(AlertDeliveryRow)
        .where(
            AlertDeliveryRow.channel_id == channel_id, AlertDeliveryRow.state == DeliveryState.queued.value
        )
        .values(state=DeliveryState.dead.value, reason=reason)
    )


def read_recipients(text: str) -> list[str]:
    """Return addresses of mail.

    Raises:
        InvalidInput: One is none, or there are too many.
    """
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not 1 <= len(found) <= MAX_RECIPIENTS_COUNT or not all(map(_RECIPIENT.fullmatch, found)):
        raise InvalidInput(
            "alert.recipients_invalid",
            "These are no addresses of mail.",
            f"Give 1 to {MAX_RECIPIENTS_COUNT}, separated by commas: ops@example.org, dev@example.org.",
        )
    return found


def _check_address(room: AlertsRoom, kind: ChannelKind, address: str) -> str:
    """Return what may be shown of an address."""
    if len(address) > _MAX_ADDRESS_CHARS:
        raise InvalidInput(
            "alert.address_too_long",
            "The address is too long.",
            f"Give {_MAX_ADDRESS_CHARS} characters at most.",
        )
    if kind is ChannelKind.email:
        return ", ".join(read_recipients(address))
    found = read_web_address(address.strip())
    room.guard.check_literal(found.host)
    return found.origin
