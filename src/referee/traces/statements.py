"""Statements that need the driver itself: COPY, and many values at once."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["get_driver"]


async def get_driver(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """Return psycopg's connection of a session, in its transaction."""
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError(f"Spans are written by psycopg, not {type(driver).__name__}")
    return driver
