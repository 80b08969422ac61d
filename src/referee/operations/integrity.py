"""`referee verify`: run every room's checks and gather what they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from referee.core.integrity import IntegrityCheck, IntegrityRepair, IntegrityReport, RepairStep

__all__ = ["OnProgress", "repair_everything", "verify_everything"]

OnProgress: TypeAlias = Callable[[int, int, IntegrityReport], Awaitable[None]]
"""``(checks done, all checks, report so far)``."""


async def verify_everything(
    checks: Iterable[IntegrityCheck], *, on_progress: OnProgress | None = None
) -> IntegrityReport:
    """Run the checks one after another and return what they found.

    Args:
        checks: Those of the rooms.
        on_progress: Told before each check and after each thing that a check says.
    """
    report = IntegrityReport()
    waiting = tuple(checks)
    for done_count, check in enumerate(waiting):
        if on_progress is not None:
            await on_progress(done_count, len(waiting), report)
        async for item in check():
            report.add(item)
            if on_progress is not None:
                await on_progress(done_count, len(waiting), report)
    return report


async def repair_everything(steps: Iterable[RepairStep]) -> list[IntegrityRepair]:
    """Mend what the rooms can prove, and return what was done. Verify afterwards: that names the rest."""
    return [done for step in steps async for done in step()]
