from __future__ import annotations

import asyncio
import re
from uuid import UUID

import httpx
import pytest

from referee.foundation.access import Principal
from referee.foundation.web.navigation import COUNT_TIMEOUT_S, NavigationEntry, NavigationRegistry

PRINCIPAL = Principal(UUID(int=1), "default", None, frozenset({"admin"}))


async def count_slowly(principal: Principal) -> int:
    await asyncio.sleep(60)
    return 1


async def fail_to_count(principal: Principal) -> int:
    raise RuntimeError("no database")


async def test_groups_and_entries_keep_their_order_and_empty_groups_are_left_out() -> None:
    registry = NavigationRegistry()
    registry.register(
        NavigationEntry("Operate", "Jobs", "/ui/jobs"), NavigationEntry("Analyse", "Last", "/ui/last")
    )
    registry.register(NavigationEntry("Analyse", "First", "/ui/first", order=1))
    groups = await registry.show(PRINCIPAL, "/ui/first/7")
    assert [(group, [(s.entry.label, s.is_current) for s in shown]) for group, shown in groups] == [
        ("Analyse", [("First", True), ("Last", False)]),
        ("Operate", [("Jobs", False)]),
    ]


async def test_only_whole_path_parts_mark_the_current_entry() -> None:
    registry = NavigationRegistry()
    registry.register(
        NavigationEntry("Analyse", "App", "/ui/app"), NavigationEntry("Analyse", "Apps", "/ui/apps")
    )
    ((_, shown),) = await registry.show(PRINCIPAL, "/ui/apps/7")
    assert [s.is_current for s in shown] == [False, True]


async def test_a_page_elsewhere_can_belong_to_an_entry() -> None:
    registry = NavigationRegistry()
    registry.register(
        NavigationEntry("Observe", "Overview", "/ui"),
        NavigationEntry("Observe", "Sets", "/ui/sets", covers=("/ui/points",)),
    )
    for path in ("/ui/points", "/ui/points/7", "/ui/sets/7"):
        ((_, shown),) = await registry.show(PRINCIPAL, path)
        assert [s.entry.label for s in shown if s.is_current] == ["Sets"]
    ((_, shown),) = await registry.show(PRINCIPAL, "/ui/pointsman")
    assert [s.entry.label for s in shown if s.is_current] == ["Overview"]


async def test_a_count_that_is_slow_or_fails_is_left_out() -> None:
    registry = NavigationRegistry()
    registry.register(
        NavigationEntry("Analyse", "Slow", "/a", count=count_slowly),
        NavigationEntry("Analyse", "Broken", "/b", count=fail_to_count),
    )
    async with asyncio.timeout(COUNT_TIMEOUT_S * 8):
        ((_, shown),) = await registry.show(PRINCIPAL, "/")
    assert [s.count for s in shown] == [None, None]


def test_an_address_is_registered_once() -> None:
    registry = NavigationRegistry()
    with pytest.raises(ValueError, match="already in the navigation"):
        registry.register(NavigationEntry("Analyse", "A", "/a"), NavigationEntry("Operate", "B", "/a"))


async def test_the_side_bar_shows_registered_entries_with_counts(client: httpx.AsyncClient) -> None:
    page = (await client.get("/-/patterns")).text
    shown = re.findall(r'navigation-label">([^<]+)</span>(?:<span class="navigation-count">([^<]+))?', page)
    assert shown == [("Findings", "1,204"), ("Live example", "")]


async def test_jump_offers_pages_and_what_rooms_find(client: httpx.AsyncClient) -> None:
    hits = (await client.get("/ui/jump", params={"q": "find"})).json()
    assert [(hit["label"], hit["kind"]) for hit in hits] == [("Findings", "page"), ("app find", "app")]


async def test_jump_without_text_offers_every_page(client: httpx.AsyncClient) -> None:
    hits = (await client.get("/ui/jump")).json()
    assert [hit["label"] for hit in hits] == ["Findings", "Live example"]


@pytest.mark.parametrize("theme", ["light", "dark", "system"])
async def test_the_theme_is_kept_in_a_cookie_and_drawn_by_the_server(
    client: httpx.AsyncClient, theme: str
) -> None:
    answer = await client.post("/ui/theme", data={"theme": theme, "next": "/-/patterns"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/-/patterns")
    assert f'<html lang="en" data-theme="{theme}">' in (await client.get("/-/patterns")).text


async def test_an_unknown_theme_is_refused_and_an_odd_cookie_ignored(client: httpx.AsyncClient) -> None:
    assert (await client.post("/ui/theme", data={"theme": "neon"})).status_code == 422
    client.cookies["referee_theme"] = "neon"
    assert 'data-theme="system"' in (await client.get("/-/patterns")).text
