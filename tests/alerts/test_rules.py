"""What rules say, what values mean for them, and what is signed: pure."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.alerts.conftest import SOURCES, START, make_draft

from referee.alerts.deciding import Limits, Standing, decide
from referee.alerts.defaults import list_default_rules
from referee.alerts.messages import render_html, render_slack, render_text, show_condition
from referee.alerts.rules import SHORT_NAMES, read_duration_s, read_rule
from referee.alerts.sealing import open_sealer
from referee.alerts.signing import make_secret, sign_message, verify_message
from referee.alerts.words import AlertSeverity, Comparison, Condition
from referee.analysis.metrics import COMPLETIONS_REFUSED
from referee.core.errors import IntegrityError, InvalidInput, Unauthorized
from referee.foundation.metrics import REGISTRY
from referee.videos.recording import DONE_REFUSALS

LIMITS = Limits(comparison=Comparison.above, critical=10.0, resolved=5.0, minimum_count=3, hold_s=120)


def test_the_short_form_of_other_systems_is_read() -> None:
    rule = read_rule(
        {"name": "d", "condition": "duplicate_rate > 5%", "severity": "critical", "notify": ["ops"]}, SOURCES
    )
    assert (rule.source, rule.measure, rule.critical_threshold) == ("analyses", "doubled", 0.05)
    assert (rule.comparison, rule.severity, rule.channels) == (
        Comparison.above,
        AlertSeverity.critical,
        ("ops",),
    )
    slow = read_rule({"name": "s", "condition": "task_creation_p95>1000ms"}, SOURCES)
    assert show_condition(slow, "ms") == "p95 metrics.milliseconds > 1,000 ms over 1h"
    assert read_rule({"name": "q", "condition": "queue_age >= 2 h"}, SOURCES).critical_threshold == 7_200


@pytest.mark.parametrize(
    "given_rule",
    [
        {"condition": "duplicate_rate > 5%"}, {"name": "x"}, {"name": "x", "condition": "nothing > 1"},
        {"name": "x", "condition": "duplicate_rate ~ 5"}, {"name": "x", "condition": "duplicate_rate > 5 ms"},
        {"name": "x\n", "condition": "disk_free < 1%"}, {"name": "x" * 121, "condition": "disk_free < 1%"},
        {"name": "x", "condition": "disk_free < 10%", "resolved_threshold": "5%"},
        {"name": "x", "condition": "error_rate > nan"}, {"name": 5, "condition": "error_rate > 1"},
        {"name": "x", "condition": "error_rate > 1", "window": "5 parsecs"},
        {"name": "x", "condition": "error_rate > 1", "every": "1s"},
        {"name": "x", "condition": "error_rate > 1", "colour": 1},
        {"name": "x", "condition": "error_rate > 1", "filter": "no-such-key:1"},
        {"name": "x", "condition": "error_rate > 1", "severity": "loud"},
        {"name": "x", "condition": "error_rate > 1", "minimum_count": -1},
        {"name": "x", "source": "spans", "measure": "secrets", "critical_threshold": 1},
        {"name": "x", "source": "pg_user", "measure": "value", "critical_threshold": 1},
        {"name": "x", "source": "spans", "measure": "errors", "critical_threshold": "1e999"},
        {"name": "x", "condition": "error_rate > 1", "channels": [["ops"]]},
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_in_one_sentence(given_rule: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_rule(given_rule, SOURCES)
    assert refused.value.message and refused.value.hint


def test_lengths_of_time_are_read() -> None:
    assert [read_duration_s(one) for one in ("90s", "15m", "1h", "7d", "hourly", "monthly", 60)] == [
        90, 900, 3_600, 604_800, 3_600, 2_592_000, 60,
    ]  # fmt: skip


def test_every_default_rule_of_the_installation_is_the_operators_alone() -> None:
    everything, others = (list_default_rules(SOURCES, is_operator=one) for one in (True, False))
    assert list(everything) == [
        "duplicate_rate", "websocket_error_rate", "static_analysis_success", "task_creation_p95",
        "artifact_write_failures", "completion_refusals", "queue_age", "disk_free",
    ]  # fmt: skip
    assert all(not SOURCES[rule.source].is_of_installation for rule in others.values())


def test_every_metric_that_a_short_condition_names_is_one_that_referee_has() -> None:
    named = {
        name
        for short in SHORT_NAMES.values()
        if short.source == "metrics"
        for name in re.findall(r"referee_\w+", short.filter)
    }
    refusals = {
        metric.name for counter in (DONE_REFUSALS, COMPLETIONS_REFUSED) for metric in counter.describe()
    }
    assert len(refusals) == 2
    assert refusals <= {name.removesuffix("_total") for name in named}
    known = {name for metric in REGISTRY.collect() for name in (metric.name, f"{metric.name}_total")}
    assert named - known == set()


def test_a_rule_fires_after_its_hold_time_and_rests_after_it() -> None:
    standing = Standing(Condition.active)
    seen = []
    for minute, value in enumerate((11, 11, 11, 7, 4, 4, 4, 11)):
        standing = decide(standing, LIMITS, value, 5, START + timedelta(minutes=minute))
        seen.append(standing.condition.value)
    assert seen == [
        "active",
        "active",
        "triggered",
        "triggered",
        "triggered",
        "triggered",
        "resolved",
        "resolved",
    ]


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 20)), st.integers(0, 9)), max_size=60))
def test_nothing_flaps_between_the_thresholds_or_by_too_few_values(
    values: list[tuple[float | None, int]],
) -> None:
    standing = Standing(Condition.active)
    for minute, (value, count) in enumerate(values):
        after = decide(standing, LIMITS, value, count, START + timedelta(minutes=minute))
        if after.condition is not standing.condition:
            assert value is not None and count >= 3
            assert value > 10 if after.condition is Condition.triggered else value <= 5
            row = [one for one, _ in values[max(0, minute - 2) : minute + 1] if one is not None]
            assert all(one > 10 for one in row) or all(one <= 5 for one in row) or len(row) < 3 or count >= 3
        standing = after


def test_messages_are_signed_as_the_published_vectors_say() -> None:
    headers = sign_message(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_believes_either_secret_and_nothing_old_or_changed() -> None:
    new, old = make_secret(), make_secret()
    headers = sign_message([new, old], "msg_1", 1_000_000, b"{}")
    for secret in (new, old):
        verify_message(secret, headers, b"{}", now_s=1_000_300)
    for body, now_s, secret in (
        (b"{ }", 1_000_000, new),
        (b"{}", 1_000_301, new),
        (b"{}", 999_699, new),
        (b"{}", 1_000_000, make_secret()),
    ):
        with pytest.raises(Unauthorized):
            verify_message(secret, headers, body, now_s=now_s)
    with pytest.raises(Unauthorized):
        verify_message(new, {}, b"{}", now_s=1_000_000)


@given(st.text(max_size=300))
def test_what_is_sealed_opens_for_its_purpose_only(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    sealer = open_sealer(tmp_path_factory.getbasetemp())
    sealed = sealer.seal(text, "address:1")
    assert sealer.open(sealed, "address:1") == text
    for broken, purpose in (
        (sealed, "address:2"),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "address:1"),
        (b"", "address:1"),
    ):
        with pytest.raises(IntegrityError):
            sealer.open(broken, purpose)


def test_a_key_of_another_home_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(IntegrityError):
        open_sealer(tmp_path / "other").open(open_sealer(tmp_path).seal("secret", "a"), "a")


def test_no_text_of_a_rule_becomes_markup_of_a_message() -> None:
    hostile = '<script>alert(1)</script>\u202e & "x" <!channel>'
    notification = {
        "state": "triggered", "severity": "critical", "rule_name": hostile, "title": hostile,
        "content": {
            "description": hostile, "condition": hostile, "value_text": "7 %", "values_count": 12, "url": "http://h/ui",
            "causes": [{"subject": hostile, "value": 3.0}],
        },
    }  # fmt: skip
    html, slack = render_html(notification), str(render_slack(notification)["text"])
    assert "<script" not in html and "\u202e" not in html + slack + render_text(notification)
    assert "<" not in slack and "7 % of 12 values" in slack
    assert make_draft().name == "Errors"
