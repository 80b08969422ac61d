"""Notifications reach real receivers, once, signed and bounded, and a bad receiver holds up nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update
from tests.alerts.conftest import make_draft, minutes
from tests.alerts.receivers import Webhook, make_certificate, open_mailbox, open_webhook
from tests.alerts.test_firing import make, plant
from tests.foundation.outgoing.payloads import listener, make_payloads

from referee.alerts.channels import (
    create_channel,
    delete_channel,
    enable_channel,
    redeliver,
    rotate_secret,
    test_channel,
)
from referee.alerts.delivering import deliver_due
from referee.alerts.firing import evaluate_due
from referee.alerts.integrity import check_alerts
from referee.alerts.queries import list_channels, list_deliveries, list_notifications
from referee.alerts.room import AlertsRoom
from referee.alerts.tables import AlertChannelRow, AlertDeliveryRow, AlertNotificationRow, AlertRuleRow
from referee.alerts.views import Delivery
from referee.alerts.words import ChannelKind
from referee.core.errors import Conflict, Forbidden, InvalidInput, RefereeError
from referee.core.integrity import IntegrityProblem
from referee.foundation.jobs import JobEngine
from referee.foundation.outgoing import OutgoingGuard

test_channel.__test__ = False  # type: ignore[attr-defined]  # a verb of ours, no test


async def add(
    room: AlertsRoom, project_id: UUID, name: str, address: str, kind: str = "webhook"
) -> tuple[UUID, str]:
    channel, secret = await create_channel(
        room, project_id, name=name, kind=ChannelKind(kind), address=address
    )
    return channel.channel_id, secret or ""


async def read_deliveries(room: AlertsRoom, project_id: UUID) -> list[Delivery]:
    async with room.database.reading() as session:
        return list((await list_deliveries(session, project_id)).items)


async def test_an_alert_goes_to_a_webhook_that_checks_it_and_to_slack(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    with open_webhook() as hook, open_webhook() as slack:
        hook_id, hook.secret = await add(room, project_id, "hook", hook.url)
        slack_id, _ = await add(room, project_id, "slack", slack.url, "slack")
        await make(room, project_id, make_draft(description="Look at <it>"))
        await plant(room, (0.5, 50))
        for minute in range(8):
            await evaluate_due(room, engine, now=minutes(minute))
        for _ in range(2):
            await asyncio.gather(*(deliver_due(room, engine, one) for one in (hook_id, slack_id, hook_id)))
    assert hook.states == ["alert.triggered", "alert.resolved"]
    assert (hook.refused_count, len(hook.bodies), len(slack.bodies)) == (0, 2, 2)
    data = hook.bodies[0]["data"]
    assert (data["value"], data["threshold"], data["rule"], data["severity"]) == (50, 10, "Errors", "warning")
    assert data["cause_url"].endswith("/ui/system") and "/ui/alerts/" in data["url"]
    assert "Look at &lt;it&gt;" in slack.bodies[0]["text"]
    assert {one.state.value for one in await read_deliveries(room, project_id)} == {"delivered"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_alert_goes_out_by_mail_over_tls(
    room: AlertsRoom, engine: JobEngine, project_id: UUID, tmp_path: Path, security: str
) -> None:
    certificate = make_certificate(tmp_path)
    with open_mailbox(certificate, is_tls=security == "tls") as box:
        mailing = replace(
            room,
            settings=room.settings.model_copy(
                update={
                    "smtp_host": "localhost", "smtp_port": box.port, "smtp_security": security, "smtp_user": "referee",
                    "smtp_from": "referee@example.org", "smtp_ca_file": tmp_path / "mail.crt", "public_url": "https://r.example",
                }
            ),
            guard=OutgoingGuard(resolve=lambda *_: ["127.0.0.1"]),
        )  # fmt: skip
        channel_id, _ = await add(mailing, project_id, "mail", "ops@example.org, dev@example.org", "email")
        await test_channel(mailing, engine, project_id, "mail")
        assert await deliver_due(mailing, engine, channel_id) == 1
    (mail,) = box.messages
    assert (box.secured_count, len(box.logins)) == (1, 1)
    assert mail["To"] == "ops@example.org, dev@example.org"
    assert mail["Subject"] == "[Referee] Test of the channel mail"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and "https://r.example/ui/alert-channels" in text.get_content()
    assert html is not None and '<a href="https://r.example/ui/alert-channels">' in html.get_content()


@pytest.mark.slow
async def test_a_mail_server_that_shows_a_strange_certificate_gets_nothing(
    room: AlertsRoom, engine: JobEngine, project_id: UUID, tmp_path: Path
) -> None:
    with open_mailbox(make_certificate(tmp_path)) as box:
        settings = room.settings.model_copy(update={"smtp_host": "localhost", "smtp_port": box.port})
        mailing = replace(room, settings=settings, guard=OutgoingGuard(resolve=lambda *_: ["127.0.0.1"]))
        channel_id, _ = await add(mailing, project_id, "mail", "ops@example.org", "email")
        await test_channel(mailing, engine, project_id, "mail")
        await deliver_due(mailing, engine, channel_id)
    assert (box.messages, box.logins) == ([], [])
    assert (await read_deliveries(room, project_id))[
        0
    ].reason == "The mail server cannot be used (SSLCertVerificationError)."


@pytest.mark.slow
async def test_a_failing_receiver_is_tried_again_given_up_and_sent_to_again_by_hand(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    room = replace(room, settings=room.settings.model_copy(update={"alert_max_attempts_count": 3}))
    with open_webhook() as hook:
        hook.status = 500
        channel_id, hook.secret = await add(room, project_id, "hook", hook.url)
        await test_channel(room, engine, project_id, "hook")
        assert await deliver_due(room, engine, channel_id) == 3
        (dead,) = await read_deliveries(room, project_id)
        assert (dead.state.value, dead.reason, len(dead.attempts)) == (
            "dead",
            "The receiver answered 500.",
            3,
        )
        hook.status = 204
        await redeliver(room, engine, project_id, dead.delivery_id)
        assert await deliver_due(room, engine, channel_id) == 1
    assert len({head["webhook-id"] for head in hook.headers}) == 1
    assert [one.state.value for one in await read_deliveries(room, project_id)] == ["delivered"]
    with pytest.raises(Conflict):
        await redeliver(room, engine, project_id, dead.delivery_id)


async def test_a_channel_is_disabled_after_many_failures_with_a_notice_on_the_others(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    room = replace(room, settings=room.settings.model_copy(update={"alert_disable_failures_count": 4}))
    with open_webhook() as bad, open_webhook() as good:
        bad.status = 503
        bad_id, _ = await add(room, project_id, "bad", bad.url)
        good_id, _ = await add(room, project_id, "good", good.url, "slack")
        await test_channel(room, engine, project_id, "bad")
        await deliver_due(room, engine, bad_id)
        await deliver_due(room, engine, good_id)
        assert len(bad.bodies) == 4
        assert "The channel bad was disabled" in good.bodies[0]["text"]
        with pytest.raises(Conflict):
            await test_channel(room, engine, project_id, "bad")
        await enable_channel(room, project_id, "bad", is_enabled=True)
    async with room.database.reading() as session:
        channels = (await list_channels(session, project_id)).items
    assert [(one.name, one.is_enabled) for one in channels] == [("bad", True), ("good", True)]
    assert [one.state.value for one in await read_deliveries(room, project_id)] == ["delivered", "dead"]


@pytest.mark.slow
async def test_a_slow_receiver_holds_up_neither_evaluation_nor_other_channels(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    with open_webhook() as slow, open_webhook() as quick:
        slow.pause_s = 30.0
        slow_id, _ = await add(room, project_id, "slow", slow.url)
        quick_id, _ = await add(room, project_id, "quick", quick.url)
        rules = [await make(room, project_id, make_draft(name=f"r{number}")) for number in range(5)]
        await plant(room, (0.5, 50))
        sending = []
        for minute in range(2):
            await evaluate_due(room, engine, now=minutes(minute))
            sending.append(asyncio.create_task(deliver_due(room, engine, slow_id)))
        assert await deliver_due(room, engine, quick_id) == len(rules)
        assert not any(task.done() and task.result() for task in sending)
        slow.released.set()
        await asyncio.gather(*sending)
    assert len(quick.bodies) == 5


async def test_a_sender_that_died_is_followed_by_another_with_the_same_id(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    with open_webhook() as hook:
        channel_id, hook.secret = await add(room, project_id, "hook", hook.url)
        await test_channel(room, engine, project_id, "hook")
        hook.pause_s = 1.0
        dying = asyncio.create_task(deliver_due(room, engine, channel_id))
        async with asyncio.timeout(20):
            while not hook.bodies:
                await asyncio.sleep(0.01)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        hook.pause_s = 0.0
        assert await deliver_due(room, engine, channel_id) == 0  # it may still be sending
        async with room.database.transaction() as session:
            await session.execute(update(AlertChannelRow).values(busy_until=func.now()))
        assert await deliver_due(room, engine, channel_id) == 1
    assert (hook.states, len({head["webhook-id"] for head in hook.headers})) == (["alert.test"], 1)


@pytest.mark.slow
async def test_a_receiver_that_is_gone_or_points_elsewhere_is_not_followed(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    with listener() as seen, open_webhook(location=f"http://127.0.0.1:{seen.port}/") as hook:
        hook.status = 302
        channel_id, _ = await add(room, project_id, "hook", hook.url)
        await test_channel(room, engine, project_id, "hook")
        await deliver_due(room, engine, channel_id)
        assert seen.connections == []
        hook.status = 410
        await redeliver(room, engine, project_id, (await read_deliveries(room, project_id))[0].delivery_id)
        await deliver_due(room, engine, channel_id)
    assert (await read_deliveries(room, project_id))[0].reason == "The receiver answered 410."
    with pytest.raises(Conflict):
        await test_channel(room, engine, project_id, "hook")


@pytest.mark.slow
async def test_a_secret_is_replaced_while_the_old_one_still_signs(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    with open_webhook() as hook:
        channel_id, old = await add(room, project_id, "hook", hook.url + "?token=planted-secret")
        new = await rotate_secret(room, project_id, "hook")
        for secret in (old, new):
            hook.secret = secret
            await test_channel(room, engine, project_id, "hook")
            await deliver_due(room, engine, channel_id)
    assert (hook.refused_count, old != new) == (0, True)
    async with room.database.reading() as session:
        row = (await session.scalars(select(AlertChannelRow))).one()
        stored = f"{row.__dict__} {(await list_channels(session, project_id)).items}"
    assert "planted-secret" not in stored and new not in stored and "planted" not in repr(row.address_sealed)
    await delete_channel(room, project_id, "hook")
    async with room.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(AlertDeliveryRow)) == 0
        assert (await list_notifications(session, project_id)).total_count == 2


async def test_no_payload_is_connected_to_from_a_channel(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    guarded = replace(room, guard=OutgoingGuard())
    with listener() as seen:
        payloads = make_payloads(seen.port)
        accepted: list[UUID] = []
        for payload in payloads:
            try:
                accepted.append((await add(guarded, project_id, f"c{len(accepted)}", payload.url))[0])
            except (InvalidInput, Forbidden):
                continue
        for number, channel_id in enumerate(accepted):
            await test_channel(guarded, engine, project_id, f"c{number}")
            await deliver_due(guarded, engine, channel_id)
        # What was stored before the guard was made stricter is judged when it is sent.
        allowed_id, _ = await add(room, project_id, "loopback", f"http://127.0.0.1:{seen.port}/")
        await test_channel(room, engine, project_id, "loopback")
        await deliver_due(guarded, engine, allowed_id)
        assert (seen.connections, len(payloads) >= 300) == ([], True)


async def test_a_secret_that_no_longer_opens_and_a_change_that_was_not_told_are_found(
    room: AlertsRoom, engine: JobEngine, project_id: UUID
) -> None:
    channel_id, _ = await add(room, project_id, "hook", "http://127.0.0.1:9/hook")
    await make(room, project_id, make_draft())
    await plant(room, (0.5, 50))
    await evaluate_due(room, engine, now=minutes(1))
    assert [str(one) async for one in check_alerts(room) if isinstance(one, IntegrityProblem)] == []
    async with room.database.transaction() as session:
        await session.execute(delete(AlertDeliveryRow))
        await session.execute(delete(AlertNotificationRow))
        await session.execute(update(AlertRuleRow).values(changed_at=func.now()))
        await session.execute(update(AlertChannelRow).values(address_sealed=b"\x01" + b"x" * 80))
    found = [one.code async for one in check_alerts(room) if isinstance(one, IntegrityProblem)]
    assert found == ["alert.change_untold", "alert.secret_unreadable"]
    await test_channel(room, engine, project_id, "hook")
    assert await deliver_due(room, engine, channel_id) == 0
    async with room.database.reading() as session:
        assert [one.is_enabled for one in (await list_channels(session, project_id)).items] == [False]


@pytest.mark.slow
async def test_odd_channels_are_refused(room: AlertsRoom, project_id: UUID) -> None:
    for name, kind, address in (
        ("", "email", "a@b.c"), ("x" * 81, "email", "a@b.c"), ("m\r\nBcc: x", "email", "a@b.c"), ("m", "email", "a"),
        ("m", "email", "a@b.c\r\nBcc: x@y.z"), ("m", "email", ",".join(f"a{n}@b.c" for n in range(51))),
        ("m", "slack", "ftp://h/"), ("m", "webhook", "x" * 3_000), ("m", "webhook", "http://user:pass@h.example/"),
    ):  # fmt: skip
        with pytest.raises(RefereeError):
            await create_channel(room, project_id, name=name, kind=ChannelKind(kind), address=address)
    await add(room, project_id, "m", "a@b.c", "email")
    with pytest.raises(Conflict):
        await add(room, project_id, "m", "a@b.c", "email")
    assert isinstance(Webhook("x").states, list)
