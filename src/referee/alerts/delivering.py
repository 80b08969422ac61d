"""Sending what is due on a channel, one after another, and writing down how each attempt went.

One job at a time sends to a channel, so a slow receiver holds up nobody but itself. A job that dies while it sends
is followed by another after ``BUSY_S``; the message then keeps its id, so its receiver can tell it is the same.
"""

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final
from uuid import UUID

import httpx
import structlog
from sqlalchemy import and_, func, or_, select, update

from referee import __version__
from referee.alerts.channels import bury_deliveries, read_recipients
from referee.alerts.messages import render_html, render_json, render_slack, render_text
from referee.alerts.metrics import DELIVERIES
from referee.alerts.notifying import record_notification
from referee.alerts.room import AlertsRoom
from referee.alerts.signing import sign_message
from referee.alerts.tables import AlertChannelRow, AlertDeliveryRow, AlertNotificationRow
from referee.alerts.words import ChannelKind, DeliveryState
from referee.core.errors import IntegrityError, RefereeError
from referee.core.findings import JsonValue
from referee.foundation.jobs import JobEngine
from referee.foundation.outgoing import GuardedTransport, OutgoingGuard, PinnedAddress, RefusedAddressError
from referee.foundation.web.live import publish

__all__ = ["deliver_due"]

BUSY_S: Final = 60.0
"""Longer than any attempt may take; after it the channel is anybody's again."""
LONGEST_RETRY_S: Final = 6 * 3_600.0
_KEPT_ATTEMPTS: Final = 20
_MAX_ANSWER_BYTES: Final = 4_096

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What is sent, and where."""

    delivery_id: UUID
    kind: ChannelKind
    address: str
    secrets: tuple[str, ...]
    notification: Mapping[str, Any]


class _AttemptError(Exception):
    """An attempt that failed; its text is shown to people and holds no secret."""

    def __init__(self, problem: str, *, is_for_good: bool = False) -> None:
        super().__init__(problem)
        self.is_for_good = is_for_good
        """The receiver says that it is gone."""


async def deliver_due(room: AlertsRoom, engine: JobEngine, channel_id: UUID) -> int:
    """Send everything that is due on a channel; return how many attempts that were."""
    if not await _claim(room, channel_id):
        return 0
    attempts_count = 0
    while True:
        try:
            parcel = await _take(room, channel_id)
        except IntegrityError as error:
            await _give_up(room, engine, channel_id, error.message)
            return attempts_count
        if parcel is None:
            if await _release(room, channel_id):
                return attempts_count
            continue
        started_ns, problem = time.monotonic_ns(), None
        try:
            async with asyncio.timeout(room.settings.alert_timeout_s * 3):
                await _send(room, parcel)
        except TimeoutError:
            problem = _AttemptError("It took too long.")
        except _AttemptError as error:
            problem = error
        except RefereeError as error:
            problem = _AttemptError(error.message)
        attempts_count += 1
        await _record(room, engine, channel_id, parcel, problem, (time.monotonic_ns() - started_ns) / 1e6)


async def _claim(room: AlertsRoom, channel_id: UUID) -> bool:
    async with room.database.transaction() as session:
        claimed = await session.scalar(
            update(AlertChannelRow)
            .where(
                AlertChannelRow.channel_id == channel_id,
                or_(
                    AlertChannelRow.busy_until.is_(None), AlertChannelRow.busy_until < func.clock_timestamp()
                ),
            )
            .values(busy_until=func.clock_timestamp() + timedelta(seconds=BUSY_S))
            .returning(AlertChannelRow.channel_id)
        )
    return claimed is not None


async def _release(room: AlertsRoom, channel_id: UUID) -> bool:
    """Let the channel go unless something became due meanwhile, whose own job found it busy."""
    due = select(AlertDeliveryRow.delivery_id).where(*_is_due(channel_id)).exists()
    async with room.database.transaction() as session:
        row = await session.scalar(
            select(AlertChannelRow).where(AlertChannelRow.channel_id == channel_id).with_for_update()
        )
        if row is None:
            return True
        if row.is_enabled and await session.scalar(select(due)):
            return False
        row.busy_until = None
    return True


def _is_due(channel_id: UUID) -> tuple[Any, ...]:
    return (
        AlertDeliveryRow.channel_id == channel_id,
        AlertDeliveryRow.state == DeliveryState.queued.value,
        AlertDeliveryRow.next_at <= func.clock_timestamp(),
    )


async def _take(room: AlertsRoom, channel_id: UUID) -> _Parcel | None:
    async with room.database.transaction() as session:
        found = (
            await session.execute(
                select(AlertDeliveryRow.delivery_id, AlertChannelRow, AlertNotificationRow)
                .join(AlertChannelRow, AlertChannelRow.channel_id == AlertDeliveryRow.channel_id)
                .join(
                    AlertNotificationRow,
                    and_(AlertNotificationRow.notification_id == AlertDeliveryRow.notification_id),
                )
                .where(*_is_due(channel_id), AlertChannelRow.is_enabled.is_(True))
                .order_by(AlertDeliveryRow.sequence)
                .limit(1)
            )
        ).one_or_none()
        if found is None:
            return None
        delivery_id, channel, notification = found
        await session.execute(
            update(AlertChannelRow)
            .where(AlertChannelRow.channel_id == channel_id)
            .values(busy_until=func.clock_timestamp() + timedelta(seconds=BUSY_S))
        )
        secrets = [channel.secret_sealed]
        if channel.old_secret_until is not None and channel.old_secret_until > datetime.now(UTC):
            secrets.append(channel.old_secret_sealed)
        return _Parcel(
            delivery_id=delivery_id,
            kind=ChannelKind(channel.kind),
            address=room.sealer.open(channel.address_sealed, f"address:{channel_id}"),
            secrets=tuple(
                room.sealer.open(one, f"secret:{channel_id}") for one in secrets if one is not None
            ),
            notification={
                "notification_id": str(notification.notification_id),
                "rule_id": None if notification.rule_id is None else str(notification.rule_id),
                "rule_name": notification.rule_name,
                "transition": notification.transition,
                "state": notification.state,
                "severity": notification.severity,
                "title": notification.title,
                "content": notification.content_json,
                "created_at": notification.created_at.isoformat(),
            },
        )


async def _record(
    room: AlertsRoom,
    engine: JobEngine,
    channel_id: UUID,
    parcel: _Parcel,
    problem: _AttemptError | None,
    duration_ms: float,
) -> None:
    settings, now = room.settings, datetime.now(UTC)
    DELIVERIES.labels(kind=parcel.kind.value, result="delivered" if problem is None else "failed").inc()
    async with room.database.transaction() as session:
        channel = await session.scalar(
            select(AlertChannelRow).where(AlertChannelRow.channel_id == channel_id).with_for_update()
        )
        row = await session.get(AlertDeliveryRow, parcel.delivery_id, with_for_update=True)
        if row is None or channel is None:
            return  # the channel was deleted meanwhile
        row.attempts_count += 1
        attempt: JsonValue = {
            "at": now.isoformat(),
            "duration_ms": round(duration_ms, 1),
            "problem": "" if problem is None else str(problem)[:500],
        }
        row.attempts_json = [*row.attempts_json, attempt][-_KEPT_ATTEMPTS:]
        if problem is None:
            row.state, row.delivered_at, row.reason, channel.failures_count = "delivered", now, "", 0
        else:
            row.reason = str(problem)[:500]
            channel.failures_count += 1
            pause_s = min(settings.alert_retry_s * 2 ** min(row.attempts_count - 1, 30), LONGEST_RETRY_S)
            row.next_at = now + timedelta(seconds=pause_s)
            if row.attempts_count >= settings.alert_max_attempts_count or problem.is_for_good:
                row.state = DeliveryState.dead.value
            if channel.failures_count >= settings.alert_disable_failures_count or problem.is_for_good:
                await session.flush()
                await _disable(room, engine, session, channel, row.reason)
        await publish(session, "alert-deliveries", {}, project_id=row.project_id)


async def _give_up(room: AlertsRoom, engine: JobEngine, channel_id: UUID, reason: str) -> None:
    """Disable a channel whose secrets cannot be opened: no attempt could succeed."""
    async with room.database.transaction() as session:
        channel = await session.scalar(
            select(AlertChannelRow).where(AlertChannelRow.channel_id == channel_id).with_for_update()
        )
        if channel is not None:
            channel.busy_until = None
            await _disable(room, engine, session, channel, reason)


async def _disable(
    room: AlertsRoom, engine: JobEngine, session: Any, channel: AlertChannelRow, reason: str
) -> None:
    channel.is_enabled = False
    channel.disabled_reason = f"After {channel.failures_count} failed attempts: {reason}"[:500]
    await session.flush()
    await bury_deliveries(session, channel.channel_id, "The channel was disabled.")
    log.warning("channel.disabled", channel_id=str(channel.channel_id), failures_count=channel.failures_count)
    await record_notification(
        session,
        engine,
        channel.project_id,
        rule_id=None,
        rule_name="Channels",
        transition=0,
        state="notice",
        severity="warning",
        title=f"The channel {channel.name} was disabled",
        content={"description": channel.disabled_reason, "url": f"{room.root_url}/ui/alert-channels"},
    )


async def _send(room: AlertsRoom, parcel: _Parcel) -> None:
    if parcel.kind is ChannelKind.email:
        await asyncio.to_thread(_send_mail, room, parcel)
        return
    content = (
        render_slack(parcel.notification)
        if parcel.kind is ChannelKind.slack
        else render_json(parcel.notification)
    )
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    headers = {
        "content-type": "application/json",
        "user-agent": f"referee/{__version__}",
        "accept-encoding": "identity",
    }
    if parcel.secrets:
        message_id = f"msg_{parcel.delivery_id.hex}"
        headers |= sign_message(parcel.secrets, message_id, int(time.time()), body)
    try:
        async with (
            httpx.AsyncClient(
                transport=GuardedTransport(room.guard),
                follow_redirects=False,
                timeout=room.settings.alert_timeout_s,
            ) as client,
            asyncio.timeout(room.settings.alert_timeout_s),
            client.stream("POST", parcel.address, content=body, headers=headers) as response,
        ):
            received = 0
            async for piece in response.aiter_raw():
                received += len(piece)
                if received > _MAX_ANSWER_BYTES:
                    break
    except RefusedAddressError as error:
        raise _AttemptError(error.reason.message) from error
    except (TimeoutError, httpx.TimeoutException):
        raise _AttemptError(f"No answer within {room.settings.alert_timeout_s:g} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _AttemptError(f"The receiver cannot be reached ({type(error).__name__}).") from None
    if not response.is_success:
        raise _AttemptError(
            f"The receiver answered {response.status_code}.", is_for_good=response.status_code == 410
        )


def _open_smtp(
    pinned: PinnedAddress, is_tls: bool, context: ssl.SSLContext, timeout_s: float
) -> smtplib.SMTP:
    """Return a client that connects to the address that was judged; TLS still asks for the host's own name."""

    class Pinned(smtplib.SMTP):
        _host = pinned.host

        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            connection = socket.create_connection((pinned.addresses[0], port), timeout)
            return context.wrap_socket(connection, server_hostname=pinned.host) if is_tls else connection

    client = Pinned(timeout=timeout_s)
    client._host = pinned.host  # what STARTTLS asks for
    return client


def _send_mail(room: AlertsRoom, parcel: _Parcel) -> None:
    """Send by the mail server of the settings. Blocking."""
    settings = room.settings
    if not settings.smtp_host:
        raise _AttemptError("No mail server is set: REFEREE_SMTP_HOST.")
    try:
        # The operator wrote the host into a setting, so it may be of the own network.
        guard = OutgoingGuard((*room.guard.allowed, settings.smtp_host.lower()), room.guard.resolve)
        pinned = guard.pin_sync(settings.smtp_host, settings.smtp_port)
        context = ssl.create_default_context(
            cafile=None if settings.smtp_ca_file is None else str(settings.smtp_ca_file)
        )
        client = _open_smtp(pinned, settings.smtp_security == "tls", context, settings.alert_timeout_s)
        with client:
            client.connect(settings.smtp_host, pinned.port)
            if settings.smtp_security == "starttls":
                client.starttls(context=context)
            if settings.smtp_user:
                password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
                client.login(settings.smtp_user, password)
            refused = client.send_message(_write_mail(room, parcel))
        if refused:
            raise _AttemptError(f"The mail server refused {len(refused)} of the recipients.")
    except smtplib.SMTPResponseException as error:
        raise _AttemptError(f"The mail server answered {error.smtp_code}.") from None
    except (smtplib.SMTPException, ssl.SSLError, OSError, ValueError) as error:
        raise _AttemptError(f"The mail server cannot be used ({type(error).__name__}).") from None


def _write_mail(room: AlertsRoom, parcel: _Parcel) -> EmailMessage:
    message = EmailMessage()
    message["From"] = room.settings.smtp_from
    message["To"] = ", ".join(read_recipients(parcel.address))
    message["Subject"] = " ".join(f"[Referee] {parcel.notification['title']}".split())
    message["Date"] = formatdate(usegmt=True)
    # The same for each attempt, so that a mail sent twice shows once.
    message["Message-ID"] = f"<{parcel.delivery_id.hex}@referee.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(render_text(parcel.notification))
    message.add_alternative(render_html(parcel.notification), subtype="html")
    return message
