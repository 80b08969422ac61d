"""Remove what interrupted hand-overs left on the server's disk and nobody will go on with."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import select

from referee.analysis.analyzers.parts import remove_part
from referee.analysis.analyzers.tables import AnalyzerTransferRow
from referee.analysis.running import AnalysisRoom
from referee.analysis.tables import ToolRunRow

__all__ = ["sweep_parts"]

_PART_AGE_S: Final = 86_400.0
_PARTS_AT_ONCE: Final = 1_000


async def sweep_parts(room: AnalysisRoom) -> int:
    """Remove parts of results, untouched for a day, whose tool run has an outcome. Returns how many."""
    parts = await asyncio.to_thread(_list_old_parts, room.settings.home / "transfers")
    if not parts:
        return 0
    async with room.database.reading() as session:
        needed = set(
            await session.scalars(
                select(AnalyzerTransferRow.transfer_id)
                .join(ToolRunRow, ToolRunRow.tool_run_id == AnalyzerTransferRow.tool_run_id)
                .where(
                    AnalyzerTransferRow.transfer_id.in_(list(parts)),
                    AnalyzerTransferRow.state == "open",
                    ToolRunRow.outcome.is_(None),
                )
            )
        )
    doomed = [path for transfer_id, path in parts.items() if transfer_id not in needed]
    for path in doomed:
        await asyncio.to_thread(remove_part, path)
    return len(doomed)


def _list_old_parts(folder: Path) -> dict[UUID, Path]:
    """Return the oldest parts by their transfer. Blocking."""
    oldest_s = time.time() - _PART_AGE_S
    found: dict[UUID, Path] = {}
    for path in sorted(folder.glob("*.part")) if folder.is_dir() else ():
        try:
            if path.lstat().st_mtime < oldest_s and len(found) < _PARTS_AT_ONCE:
                found[UUID(path.stem)] = path
        except (FileNotFoundError, ValueError):
            continue
    return found
