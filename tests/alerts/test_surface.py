"""Pages, JSON and commands of alerts say the same, whatever a rule holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.alerts.conftest import make_draft, minutes
from tests.alerts.receivers import open_webhook
from tests.alerts.test_firing import make, plant
from tests.programs import Referee
from tests.web_site import open_site

from referee.alerts.channels import create_channel
from referee.alerts.firing import evaluate_due
from referee.alerts.room import AlertsRoom
from referee.alerts.shell import create_alert_routes, register_in_shell
from referee.alerts.words import ChannelKind
from referee.foundation.jobs import JobEngine

HOSTILE = "<script>alert(1)</script> \"quoted\" 'x'"
RULE = {
    "name": "Errors",
    "condition": "error_rate > 5%",
    "severity": "critical",
    "window": "15m",
    "every": "1m",
}


@pytest.fixture
async def client(room: AlertsRoom, engine: JobEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with open_site(
        room.settings, room.database, *create_alert_routes(lambda: room, lambda: engine),
        register=[lambda shell: register_in_shell(shell, lambda: room)],
    ) as opened:  # fmt: skip
        yield opened


@pytest.fixture
async def firing(room: AlertsRoom, engine: JobEngine, project_id: UUID) -> UUID:
    """A rule with a hostile name that fires, on a channel."""
    await create_channel(
        room, project_id, name="ops", kind=ChannelKind.slack, address="http://127.0.0.1:9/hook"
    )
    rule_id = await make(room, project_id, make_draft(name=HOSTILE, description=HOSTILE))
    await plant(room, (0.5, 50), (2.5, 1))
    for minute in range(4):
        await evaluate_due(room, engine, now=minutes(minute))
    return rule_id


async def test_rules_are_made_changed_and_removed_by_the_api(client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/alerts", json=RULE)
    twice = await client.post("/v1/alerts", json=RULE)
    rule = made.json()
    assert (made.status_code, twice.status_code, twice.json()["code"]) == (201, 409, "alert.rule_exists")
    assert (rule["source"], rule["critical_threshold"], rule["window_s"], rule["state"]) == (
        "spans",
        0.05,
        900,
        "active",
    )
    path = f"/v1/alerts/{rule['rule_id']}"
    changed = await client.put(path, json={**RULE, "condition": "error_rate > 50%"})
    paused = await client.post(f"{path}/pause")
    muted = await client.post(f"{path}/mute", json={"until": "2020-01-01T00:00:00Z"})
    resolved = await client.post(f"{path}/resolve")
    assert (changed.json()["critical_threshold"], paused.json()["state"]) == (0.5, "paused")
    assert (muted.status_code, resolved.json()["code"]) == (422, "alert.not_firing")
    trial = (await client.post("/v1/alerts/try", json={**RULE, "windows_count": 5})).json()
    assert (trial["fired_count"], len(trial["points"])) == (0, 5)
    assert [(await client.request(method, path)).status_code for method in ("DELETE", "GET")] == [204, 404]


@pytest.mark.slow
async def test_default_rules_are_there_and_sources_are_described(client: httpx.AsyncClient) -> None:
    rules = (await client.get("/v1/alerts", params={"limit": 5})).json()
    rest = (await client.get("/v1/alerts", params={"limit": 5, "cursor": rules["next_cursor"]})).json()
    names = [one["name"] for one in (*rules["items"], *rest["items"])]
    assert (len(set(names)), rules["total_count"]) == (8, 8)
    sources = (await client.get("/v1/alert-sources")).json()["items"]
    assert "errors" in next(one for one in sources if one["name"] == "spans")["measures"]


async def test_channels_show_no_secret_and_deliveries_their_attempts(client: httpx.AsyncClient) -> None:
    with open_webhook() as hook:
        made = await client.post(
            "/v1/alert-channels",
            json={"name": "hook", "kind": "webhook", "address": f"{hook.url}?token=planted"},
        )
        refused = await client.post(
            "/v1/alert-channels",
            json={"name": "inner", "kind": "slack", "address": "http://169.254.169.254/x"},
        )
        channel = made.json()["channel"]
        path = f"/v1/alert-channels/{channel['channel_id']}"
        rotated = await client.post(f"{path}/secret")
        tested = await client.post(f"{path}/test")
        disabled = await client.post(f"{path}/disable")
    assert made.json()["secret"].startswith("whsec_") and rotated.json()["secret"] != made.json()["secret"]
    assert (refused.status_code, tested.status_code, disabled.json()["is_enabled"]) == (403, 202, False)
    listed = (await client.get("/v1/alert-channels")).text
    assert "planted" not in listed and "whsec_" not in listed
    (delivery,) = (await client.get("/v1/alert-deliveries", params={"filter": "state:dead"})).json()["items"]
    assert (delivery["title"], delivery["reason"]) == (
        "Test of the channel hook",
        "The channel was disabled.",
    )
    again = await client.post(f"/v1/alert-deliveries/{delivery['delivery_id']}/redeliver")
    assert (again.status_code, (await client.delete(path)).status_code) == (409, 204)


async def test_pages_show_what_fires_and_nothing_hostile_runs(
    client: httpx.AsyncClient, firing: UUID
) -> None:
    for path in (
        "/ui/alerts", f"/ui/alerts/{firing}", f"/ui/alerts/{firing}/edit", f"/ui/alerts/{firing}/edit?name=x&try=1",
        "/ui/alerts/new?condition=error_rate+%3E+5%25&try=1", "/ui/alert-channels", "/ui/alert-deliveries",
    ):  # fmt: skip
        page = await client.get(path)
        assert "<script>alert" not in page.text and page.status_code in (200, 422), path
        assert page.text.count("<h1") == 1, path
    shown = (await client.get(f"/ui/alerts/{firing}")).text
    assert "Its values are bad: 51" in shown and "Mute for 8 h" in shown and "metric_samples" in shown
    assert "It would have fired" not in shown
    listed = (await client.get("/v1/alerts", params={"filter": "state:triggered"})).json()
    log = (await client.get(f"/v1/alerts/{firing}/evaluations")).json()
    told = (await client.get("/v1/alert-notifications")).json()
    assert ([one["name"] for one in listed["items"]], log["total_count"], told["total_count"]) == (
        [HOSTILE],
        4,
        1,
    )


async def test_a_rule_is_tried_created_and_acted_on_by_forms(client: httpx.AsyncClient) -> None:
    form = {
        "name": "Slow",
        "condition": "latency_p95 > 2 s",
        "window": "15m",
        "every": "1m",
        "severity": "warning",
    }
    tried = await client.get("/ui/alerts/new", params={**form, "try": "1"})
    assert "There were no values in that time" in tried.text and 'value="latency_p95 &gt; 2 s"' in tried.text
    bad = await client.post("/ui/alerts", data={**form, "condition": "latency > soon"})
    assert bad.status_code == 422 and "cannot be read" in bad.text
    made = await client.post("/ui/alerts", data=form)
    path = made.headers["location"]
    for action in ("pause", "resume", "mute", "unmute"):
        assert (await client.post(f"{path}/{action}")).status_code == 303
    rule = (await client.get(path.replace("/ui/", "/v1/"))).json()
    assert (rule["state"], rule["critical_threshold"]) == ("active", 2_000)
    changed = await client.post(f"{path}/edit", data={**form, "name": "Slower"})
    assert (changed.status_code, (await client.post(f"{path}/delete")).headers["location"]) == (
        303,
        "/ui/alerts",
    )
    added = await client.post(
        "/ui/alert-channels", data={"name": "mail", "kind": "email", "address": "ops@example.org"}
    )
    refused = await client.post("/ui/alert-channels", data={"name": "x", "kind": "pigeon", "address": "x"})
    assert (added.status_code, refused.status_code) == (303, 422)


@pytest.mark.slow
def test_the_command_line_applies_lists_and_tries(referee: Referee, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "- {name: duplicates, condition: duplicate_rate > 5%, severity: critical}\n"
        "- {name: b, condition: disk_free < 1%}\n"
    )
    assert "created    duplicates" in referee("alert", "apply", str(path)).stdout
    listed = json.loads(referee("alert", "list", "--filter", "name:duplicates", "--json").stdout)
    assert [one["critical_threshold"] for one in listed["items"]] == [0.05]
    assert "would never have fired" in referee("alert", "try", "duplicates", "--windows", "3").stdout
