"""Kills between evaluation and delivery lose nothing and double nothing; the full count is ``bench alert-kills``."""

from __future__ import annotations

import pytest
from tests.alerts.kills import run_alert_kills

from referee.foundation.settings import Settings


@pytest.mark.slow
def test_each_change_is_told_once_though_evaluators_and_senders_are_killed(
    database_settings: Settings,
) -> None:
    count = run_alert_kills(database_settings, crossings=60, rules=10, kills=3, seed=7)
    assert (count.crossings, count.notifications) == (60, 60)
    assert (count.lost, count.doubled, count.out_of_order, count.undelivered) == (0, 0, 0, 0)
    assert count.kills >= 1
