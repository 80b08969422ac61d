from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from referee.core.pages import Page
from referee.foundation.web.lists import (
    Column,
    EmptyState,
    ListView,
    Row,
    build_facet,
    change_query,
    read_list_query,
)
from referee.foundation.web.patterns import FIELDS


class TextOf(HTMLParser):
    """The words of a page, without its markup."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.extend(data.split())

    def __str__(self) -> str:
        return " ".join(self.words)


def request_for(app: FastAPI, query: str) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/ui/findings",
        "query_string": query.encode(),
        "headers": [],
    }
    return Request({**scope, "app": app, "state": {}})


def make_view(app: FastAPI, query: str = "", **changes: object) -> ListView:
    rows = (
        Row("1", "/ui/findings/1", {"path": "core/a.py", "severity": "high", "cost": 1.5}),
        Row("2", "/ui/findings/2", {"path": "\x1b[31m<b>", "severity": "low", "cost": None}),
    )
    values: dict[str, object] = {
        "title": "Findings",
        "noun": "findings",
        "query": read_list_query(request_for(app, query), FIELDS),
        "columns": (
            Column("path", "Place", "mono", is_sortable=True, is_title=True),
            Column("severity", "Severity", "severity", is_sortable=True),
            Column("cost", "Took", "duration"),
        ),
        "empty": EmptyState("No findings yet", "Analyse something.", "referee analyze ."),
        "default_sort": "-severity",
        **ListView.paging(Page(rows, 2_000, 2, "next")),
        **changes,
    }
    return ListView(**values)  # type: ignore[arg-type]  # the values are checked where they are used


def render(app: FastAPI, view: ListView) -> str:
    environment = app.state.shell.templates.environment
    source = '{% from "components/table.html" import list_page %}{{ list_page(view, has_panel=true) }}'
    return str(environment.from_string(source).render(view=view))


def test_a_list_shows_rows_pager_and_total(app: FastAPI) -> None:
    text = str(TextOf(render(app, make_view(app))))
    assert text == (
        "Findings Copy link Filter findings Filter Findings Place Severity Took Preview "
        "core/a.py H high 1.5 s ⟨U+001B⟩[31m<b> L low unknown 2 of 2,000 findings at most 2 a page Next page"
    )


def test_the_address_of_the_next_page_keeps_the_filter(app: FastAPI) -> None:
    html = render(app, make_view(app, "filter=tool%3Abandit&item=1"))
    assert 'href="/ui/findings?filter=tool%3Abandit&amp;cursor=next" rel="next"' in html


def test_the_sorted_column_says_so_and_turns_round(app: FastAPI) -> None:
    html = render(app, make_view(app, "filter=sort:path"))
    assert re.findall(r'aria-sort="(\w+)"', html) == ["ascending", "none"]
    assert "filter=sort%3A-path" in html


def test_without_an_order_the_default_one_is_marked(app: FastAPI) -> None:
    assert re.findall(r'aria-sort="(\w+)"', render(app, make_view(app))) == ["none", "descending"]


def test_the_selected_row_is_marked(app: FastAPI) -> None:
    assert '<tr id="row-2" data-row aria-current="true">' in render(app, make_view(app, "item=2"))


def test_nothing_yet_says_what_it_is_and_how_to_fill_it(app: FastAPI) -> None:
    text = str(TextOf(render(app, make_view(app, rows=(), total_count=0))))
    assert text == "Findings Copy link No findings yet Analyse something. referee analyze ."


def test_no_match_offers_to_clear_the_filter(app: FastAPI) -> None:
    html = render(app, make_view(app, "filter=tool:x", rows=(), total_count=0))
    assert "No findings match" in html
    assert '<a class="button" href="/ui/findings">' in html
    assert "No findings yet" not in html


def test_a_wrong_filter_is_shown_with_its_place_and_a_way_out(app: FastAPI) -> None:
    html = render(app, make_view(app, "filter=tool%3Ax+sevrity%3Ahigh"))
    assert "<code>tool:x <mark>sevrity</mark>:high</code>" in html
    assert 'href="/ui/findings?filter=tool%3Ax+severity%3Ahigh"' in html
    assert "data-row" not in html


def test_a_chip_adds_its_word_and_a_chosen_one_takes_it_away(app: FastAPI) -> None:
    query = read_list_query(request_for(app, "filter=state:open&cursor=x&item=1"), FIELDS)
    facet = build_facet(query, "state", "State", {"open": 3, "fixed": 2})
    assert [(choice.label, choice.url, choice.is_selected) for choice in facet.choices] == [
        ("open", "/ui/findings", True),
        ("fixed", "/ui/findings?filter=state%3A%28open+OR+fixed%29", False),
    ]


def test_a_facet_with_many_words_counts_those_it_hides(app: FastAPI) -> None:
    query = read_list_query(request_for(app, "filter=tool:tool-19"), FIELDS)
    facet = build_facet(query, "tool", "Tool", {f"tool-{number}": 1 for number in range(20)})
    assert (len(facet.choices), facet.choices[-1].label, facet.hidden_count) == (13, "tool-19", 7)


@pytest.mark.parametrize(
    ("changes", "url"),
    [({"b": None}, "/x?a=1&a=2"), ({"a": "3"}, "/x?b=%26&a=3"), ({"a": None, "b": None}, "/x")],
)
def test_query_parameters_are_changed_one_by_one(changes: dict[str, str | None], url: str) -> None:
    assert change_query("/x", [("a", "1"), ("a", "2"), ("b", "&")], **changes) == url


async def test_a_page_names_its_json_twin(client: httpx.AsyncClient) -> None:
    page = (await client.get("/-/patterns")).text
    assert page.count("<h1") == 1
    assert "<title>Every component · Referee</title>" in page


async def test_what_an_app_wrote_is_shown_and_never_run(client: httpx.AsyncClient) -> None:
    page = (await client.get("/-/patterns")).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; stays text." in page
    assert "⟨U+202E⟩reversed" in page
    assert "\u202e" not in page
