"""Which addresses of a running app are put under load: those that answered a client that may read them.

The app is first exercised as a client would; every GET that then answered with
2xx is loaded, with the headers it was sent with. The raw exercise stays beside
the raw load (streams ``exercise.…``), so a parser knows the same addresses later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import urlsplit

from referee.core.addresses import Address
from referee.core.findings import CoverageHole
from referee.tools.app_targets import select_output
from referee.tools.contract import ParameterValue, RawOutput, RunKit, ToolPlan
from referee.tools.exercising import Exchange, Exercise, ReadableUrl, exercise_app, read_exercise
from referee.tools.load_settings import get_int
from referee.tools.reading import shorten
from referee.tools.routes import discover_routes
from referee.tools.running import merge_outputs

__all__ = [
    "EXERCISE",
    "LoadTargets",
    "build_address",
    "choose_load_targets",
    "find_load_targets",
    "read_load_targets",
    "with_exercise",
]

EXERCISE: Final = "exercise"
"""Prefix of the streams of the exercise in a load tool's raw output."""
_MAX_REQUEST_CHARACTERS: Final = 6_000
"""Of an address and its headers; ab takes no request of more than 8,192 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTargets:
    """What an exercise gives to load."""

    urls: tuple[ReadableUrl, ...]
    """In the order in which they are loaded; no two have the same address."""
    holes: tuple[CoverageHole, ...]
    """Addresses that are not loaded, and why."""
    has_answered: bool
    """Whether any request of the exercise got an answer."""
    notices: tuple[str, ...] = ()
    """What the exercise has to say, such as that nobody could log in."""


async def find_load_targets(kit: RunKit, plan: ToolPlan) -> tuple[list[ReadableUrl], RawOutput]:
    """Exercise the app and return the addresses to load, with the raw exercise.

    Raises:
        OutputUnreadable: The exercise wrote nothing that can be read.
    """
    routes = await asyncio.to_thread(discover_routes, kit.snapshot)
    raw = await exercise_app(kit, routes, label=EXERCISE)
    return list(choose_load_targets(read_exercise(raw), plan.parameters).urls), raw


def with_exercise(raw: RawOutput | None, exercise: RawOutput) -> RawOutput:
    """Return the output of a load with the exercise beside it; None for a load that had nothing to do."""
    if raw is None:
        raw = replace(exercise, streams={}, total_bytes={}, duration_ms=0, cpu_ms=0)
    return merge_outputs(raw, {EXERCISE: exercise})


def read_load_targets(raw: RawOutput, plan: ToolPlan) -> LoadTargets:
    """Return the addresses of a load tool's raw output. Pure.

    Raises:
        OutputUnreadable: The exercise is absent, cut, or not what the exercise writes.
    """
    return choose_load_targets(read_exercise(select_output(raw, EXERCISE)), plan.parameters)


def choose_load_targets(exercise: Exercise, parameters: Mapping[str, ParameterValue]) -> LoadTargets:
    """Return which addresses of an exercise are loaded: roots first, one address for each route.

    Args:
        exercise: What the app answered.
        parameters: The tool's parameters; ``max_urls`` is used.
    """
    chosen: dict[Address, ReadableUrl] = {}
    holes: dict[Address, CoverageHole] = {}
    limit = get_int(parameters, "max_urls")
    for url in sorted(exercise.readable, key=lambda entry: entry.route_path != "/"):
        address = build_address(url)
        if address in chosen or address in holes:
            continue
        if not _can_be_sent(url):
            holes[address] = _build_hole(address, "skipped", "Its address or headers cannot be sent.")
        elif len(chosen) == limit:
            holes[address] = _build_hole(address, "skipped", f"The parameter max_urls allows {limit}.")
        else:
            chosen[address] = url if urlsplit(url.url).path else replace(url, url=f"{url.url}/")
    for address, exchange in _find_unreadable(exercise).items():
        if address not in chosen and address not in holes:
            holes[address] = _build_hole(address, "unreadable", _explain(exchange))
    return LoadTargets(
        urls=tuple(chosen.values()),
        holes=tuple(holes.values()),
        has_answered=bool(exercise.readable) or exercise.has_answers,
        notices=exercise.notices,
    )


def build_address(url: ReadableUrl) -> Address:
    """Return the address that findings and measurements name."""
    return _name_route(url.target, url.route_path)


def _name_route(target: str, route_path: str) -> Address:
    return Address(target=target, method="GET", path=shorten(route_path, limit=300))


def _find_unreadable(exercise: Exercise) -> dict[Address, Exchange]:
    """Return the last GET of each route: by then the client had logged in."""
    return {
        _name_route(exchange.target, exchange.route_path): exchange
        for exchange in exercise.exchanges
        if exchange.method == "GET"
    }


def _explain(exchange: Exchange) -> str:
    if exchange.status is None:
        return f"It gave no answer: {shorten(exchange.error, limit=200)}"
    if exchange.has_guessed_id:
        return f"No id to ask for is known; it answered a made-up one with status {exchange.status}."
    return f"It answered with status {exchange.status}."


def _can_be_sent(url: ReadableUrl) -> bool:
    """Whether nothing that the app made up can end a header line or an argument, or is too long for one."""
    words = [url.url, *url.headers, *url.headers.values()]
    return (
        url.url.startswith(("http://", "https://"))
        and all(word.isascii() and word.isprintable() for word in words)
        and sum(map(len, words)) <= _MAX_REQUEST_CHARACTERS
    )


def _build_hole(address: Address, kind: Literal["skipped", "unreadable"], reason: str) -> CoverageHole:
    return CoverageHole(str(address), kind, reason)
