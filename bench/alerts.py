"""Alerts under ``kill -9``; the rounds and the counting are those of ``tests/alerts``."""

from __future__ import annotations

import sys

from bench.measuring import Measured, temporary_folder
from tests.alerts.kills import run_alert_kills

from referee.foundation.settings import load_settings

__all__ = ["measure_alert_kills"]


def measure_alert_kills(*, crossings: int, kills: int, seed: int) -> list[Measured]:
    """Cross thresholds so many times, with kills between evaluation and delivery, and return what was counted."""
    print(f"seed {seed}, {crossings} crossings, {kills} kills", file=sys.stderr)
    with temporary_folder() as folder:
        count = run_alert_kills(
            load_settings(home=folder / "home"),
            crossings=crossings,
            rules=min(500, crossings),
            kills=kills,
            seed=seed,
            tell=_tell,
        )
    rows: list[tuple[str, float, str, float | None]] = [
        ("alert crossings", count.crossings, "", None),
        ("alert kills", count.kills, "", None),
        ("alert notifications", count.notifications, "", None),
        ("alert notifications lost", count.lost, "", 0),
        ("alert notifications doubled", count.doubled, "", 0),
        ("alert notifications out of order", count.out_of_order, "", 0),
        ("alert deliveries left", count.undelivered, "", 0),
        ("alert messages sent again under their id", count.sent_again, "", None),
        ("alert kills duration", round(count.duration_s, 1), "s", None),
    ]
    return [Measured(name=name, value=value, unit=unit, goal=goal) for name, value, unit, goal in rows]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
