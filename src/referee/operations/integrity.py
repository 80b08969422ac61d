"""`referee verify`: run every room's checks and gather what they say."""

from __future__ import annotations

from collections.abc import Iterable

from referee.core.integrity import IntegrityCheck, IntegrityReport

__all__ = ["verify_everything"]


async def verify_everything(checks: Iterable[IntegrityCheck]) -> IntegrityReport:
    """Run the checks one after another and return what they found."""
    report = IntegrityReport()
    for check in checks:
        async for item in check():
            report.add(item)
    return report
