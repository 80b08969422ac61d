"""Observers of events: told of what is committed together at once, and before the request is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from referee.traces.telling import MAX_TOLD_COUNT, EventTeller

ONE, OTHER = UUID(int=1), UUID(int=2)


async def test_events_of_one_project_that_come_together_are_told_at_once() -> None:
    heard: list[tuple[UUID, list[str]]] = []

    async def observe(project_id: UUID, event_ids: Sequence[str]) -> None:
        await asyncio.sleep(0.01)
        heard.append((project_id, list(event_ids)))

    teller = EventTeller()
    teller.observers.append(observe)
    told = (teller.tell(ONE, ["a"]), teller.tell(OTHER, ["b"]), teller.tell(ONE, ["c", "d"]))
    await asyncio.gather(*told)
    assert heard == [(ONE, ["a", "c", "d"]), (OTHER, ["b"])]


async def test_whoever_waits_goes_on_after_its_own_events_were_heard_of() -> None:
    heard: list[str] = []
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def observe(_: UUID, event_ids: Sequence[str]) -> None:
        begun.set()
        await may_end.wait()
        heard.extend(event_ids)

    teller = EventTeller()
    teller.observers.append(observe)
    first = asyncio.create_task(teller.tell(ONE, ["a"]))
    await begun.wait()
    second = asyncio.create_task(teller.tell(ONE, ["b"]))
    first.cancel()  # a client that went away costs nobody else its events
    may_end.set()
    await second
    assert (heard, first.cancelled()) == (["a", "b"], True)


async def test_a_failing_observer_keeps_no_other_from_its_events() -> None:
    heard: list[str] = []

    async def fail(_: UUID, __: Sequence[str]) -> None:
        raise RuntimeError("not today")

    async def observe(_: UUID, event_ids: Sequence[str]) -> None:
        heard.extend(event_ids)

    teller = EventTeller()
    teller.observers.extend((fail, observe))
    await teller.tell(ONE, ["a"])
    assert heard == ["a"]


async def test_a_round_is_bounded() -> None:
    sizes: list[int] = []

    async def observe(_: UUID, event_ids: Sequence[str]) -> None:
        sizes.append(len(event_ids))

    teller = EventTeller()
    teller.observers.append(observe)
    ids = ["x"] * (MAX_TOLD_COUNT // 2 + 1)
    await asyncio.gather(*(teller.tell(ONE, ids) for _ in range(3)))
    await teller.close()
    assert sizes == [len(ids)] * 3
