"""The process of one app: when it goes on, and when it stops."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.apps.conftest import WriteApp, read_source

from referee.apps import AppsRoom, hold_app


@pytest.mark.parametrize("room", [{"app_linger_s": 0.0}], indirect=True)
async def test_app_that_does_not_linger_stays_up_while_it_is_held(
    room: AppsRoom, project_id: UUID, write_app: WriteApp
) -> None:
    source = await read_source(room, project_id, write_app())

    async with hold_app(room, source, holder="test") as held:
        await held.check()
