"""Which addresses are loaded, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from referee.core.addresses import Address
from referee.tools import get_tool
from referee.tools.exercising import Exchange, Exercise, ReadableUrl
from referee.tools.load_targets import LoadTargets, build_address, choose_load_targets


def readable(
    path: str, *, target: str = "backend", url: str = "", headers: dict[str, str] | None = None
) -> ReadableUrl:
    return ReadableUrl(
        target=target, url=url or f"http://127.0.0.1:5000{path}", route_path=path, headers=headers or {}
    )


def asked(path: str, status: int | None, **others: Any) -> Exchange:
    values: dict[str, Any] = {
        "target": "backend",
        "method": "GET",
        "path": path,
        "route_path": path,
        "role": "visitor",
        "status": status,
        "error": "" if status else "connection refused",
        "duration_ms": 1.0,
        "request_body": None,
        "response_excerpt": "",
        "content_type": "",
    }
    return Exchange(**{**values, **others})


def choose(exercise: Exercise, **given: object) -> LoadTargets:
    return choose_load_targets(exercise, get_tool("ab").describe().resolve_parameters(given))


def holes(targets: LoadTargets) -> list[tuple[str, str, str]]:
    return [(hole.name, hole.kind, hole.reason) for hole in targets.holes]


def test_roots_of_all_targets_come_first_and_keep_their_own_address() -> None:
    urls = (readable("/api/tasks"), readable("/"), readable("/", target="frontend"))
    chosen = choose(Exercise(exchanges=(), readable=urls)).urls
    assert [str(build_address(url)) for url in chosen] == [
        "backend GET /",
        "frontend GET /",
        "backend GET /api/tasks",
    ]


def test_address_names_the_route_and_not_the_id_that_was_asked_for() -> None:
    url = ReadableUrl(target="backend", url="http://127.0.0.1:5000/api/tasks/7", route_path="/api/tasks/:id")
    assert build_address(url) == Address(target="backend", method="GET", path="/api/tasks/:id")


def test_route_that_two_roles_can_read_is_loaded_once_with_the_first() -> None:
    urls = (readable("/a", headers={"X": "1"}), readable("/a", headers={"X": "2"}))
    targets = choose(Exercise(exchanges=(), readable=urls))
    assert [url.headers for url in targets.urls] == [{"X": "1"}]
    assert targets.holes == ()


def test_addresses_beyond_max_urls_are_named_as_skipped() -> None:
    urls = tuple(readable(f"/{number}") for number in range(4))
    targets = choose(Exercise(exchanges=(), readable=urls), max_urls=2)
    assert [url.route_path for url in targets.urls] == ["/0", "/1"]
    assert holes(targets) == [
        ("backend GET /2", "skipped", "The parameter max_urls allows 2."),
        ("backend GET /3", "skipped", "The parameter max_urls allows 2."),
    ]


def test_get_that_answered_no_2xx_is_a_hole_with_its_last_status() -> None:
    exchanges = (
        asked("/private", 401),
        asked("/private", 500, role="person"),
        asked("/gone", None),
        asked("/tasks/1", 404, route_path="/tasks/:id", has_guessed_id=True),
        asked("/tasks", 201, method="POST"),
        asked("/", 200),
    )
    targets = choose(Exercise(exchanges=exchanges, readable=(readable("/"),)))
    assert holes(targets) == [
        ("backend GET /private", "unreadable", "It answered with status 500."),
        ("backend GET /gone", "unreadable", "It gave no answer: connection refused"),
        (
            "backend GET /tasks/:id",
            "unreadable",
            "No id to ask for is known; it answered a made-up one with status 404.",
        ),
    ]


@pytest.mark.parametrize(
    "url",
    [
        readable("/a", headers={"Authorization": "Bearer x\r\nHost: elsewhere"}),
        readable("/a", headers={"X\x00": "y"}),
        readable("/a", url="http://127.0.0.1:5000/a b\n"),
        readable("/a", url="-Bhttp://127.0.0.1:5000/a"),
        readable("/a", url="file:///etc/passwd"),
        readable("/a", headers={"Authorization": "x" * 6_000}),
    ],
)
def test_address_that_could_become_something_else_on_the_way_is_not_sent(url: ReadableUrl) -> None:
    targets = choose(Exercise(exchanges=(), readable=(url,)))
    assert targets.urls == ()
    assert holes(targets) == [("backend GET /a", "skipped", "Its address or headers cannot be sent.")]


def test_root_without_a_path_gets_one() -> None:
    targets = choose(Exercise(exchanges=(), readable=(readable("/", url="http://127.0.0.1:5000"),)))
    assert [url.url for url in targets.urls] == ["http://127.0.0.1:5000/"]


@pytest.mark.parametrize(
    ("exercise", "expected"),
    [
        (Exercise(exchanges=(asked("/", None),), readable=()), False),
        (Exercise(exchanges=(asked("/", 503),), readable=()), True),
        (Exercise(exchanges=(), readable=()), False),
        (Exercise(exchanges=(), readable=(readable("/"),)), True),
    ],
)
def test_app_has_answered_when_any_status_came(exercise: Exercise, expected: bool) -> None:
    assert choose(exercise).has_answered is expected
