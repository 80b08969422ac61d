"""What a judge is shown: functions that have to do with the question, numbered, within a limit, the rest named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.conftest import TakeSnapshot, WriteApp

from referee.core.sources import SourceFile
from referee.tools.code_scanning import blank_prose, split_lines
from referee.tools.judge_sources import (
    AppSource,
    ReadSource,
    SourcePiece,
    choose_pieces,
    extract_words,
    read_source,
    render_pieces,
)

BACKEND = '''\
import os


class Shop:
    """The shop."""

    def list_products(self):
        return self.products.all()

    @property
    def coupons(self):
        return self.coupons.all()
'''
FRONTEND = """\
import React from 'react'

export const API = '/api'

export default function Cart() {
  const total = 1
  return <p>{total}</p>
}

async function order() {}
"""


def make_pieces(*texts: str) -> AppSource:
    files = [SourceFile(f"f{number}.py", len(text), "", "python") for number, text in enumerate(texts)]
    sources = [
        ReadSource(file, tuple(split_lines(text)), tuple(blank_prose(text, "python")))
        for file, text in zip(files, texts, strict=True)
    ]
    return AppSource([SourcePiece(source, 1, len(source.lines)) for source in sources], ())


def choose(source: AppSource, *questions: str, characters_count: int = 10_000) -> list[str]:
    shown = choose_pieces(source, questions, characters_count=characters_count, weigh=lambda piece: 1.0)
    return [piece.source.file.path for piece in shown.pieces]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("createOrders(HTMLPage, user_id)", ["creat", "order", "html", "pag", "user", "id"]),
        ("Tasks can be searched by a part of their title.", ["task", "search", "part", "titl"]),
        ("status statuses deleted deleting", ["status", "status", "delet", "delet"]),
        ("sqlite3.connect('/api/tasks')", ["sqlit", "connect", "api", "task"]),
    ],
)
def test_words_of_code_and_of_sentences_become_the_same(text: str, words: list[str]) -> None:
    assert extract_words(text) == words


def test_files_are_cut_into_functions_classes_and_components(
    write_app: WriteApp, snapshot_of: TakeSnapshot
) -> None:
    files = {
        "app.py": BACKEND, "src/Cart.jsx": FRONTEND, "broken.py": "def f(:\n    pass\n", "README.md": "# Shop",
        "data.json": "{}", "big.py": "x = 1\n" * 70_000, "long.py": "x = 1\n" * 100,
    }  # fmt: skip
    source = read_source(snapshot_of(write_app(files)))
    assert [piece.name for piece in source.pieces] == [
        "app.py:1-3", "app.py:4-6", "app.py:7-9", "app.py:10-13", "broken.py:1-3", "long.py:1-80", "long.py:81-101",
        "src/Cart.jsx:1-2", "src/Cart.jsx:3-4", "src/Cart.jsx:5-9", "src/Cart.jsx:10-11",
    ]  # fmt: skip
    assert source.unread == ("README.md", "big.py", "data.json")


def test_rare_words_of_the_question_decide() -> None:
    source = make_pieces(
        "def order(order): order()", "def order(coupon): order()", "def order(total): order()"
    )
    assert choose(source, "A coupon of an order", characters_count=40) == ["f1.py"]


def test_requirements_take_turns_so_that_none_takes_all() -> None:
    source = make_pieces("coupon(coupon, coupon)", "coupon(coupon, cart)", "search(title)")
    assert choose(source, "coupons", "searching a title", characters_count=60) == ["f0.py", "f2.py"]


def test_what_is_left_of_the_limit_goes_to_the_rest_and_what_does_not_fit_is_named() -> None:
    source = make_pieces("nothing(of, it)", "coupon()", "y = 1\n" * 200)
    shown = choose_pieces(source, ["coupons"], characters_count=100, weigh=lambda piece: 1.0)
    assert [piece.name for piece in shown.pieces] == ["f0.py:1-1", "f1.py:1-1"]
    assert shown.left_out == ("f2.py:1-201",)


def test_pieces_are_rendered_with_numbers_and_gaps(write_app: WriteApp, snapshot_of: TakeSnapshot) -> None:
    pieces = read_source(snapshot_of(write_app({"app.py": BACKEND}))).pieces
    assert render_pieces([pieces[0], pieces[2]]) == (
        "FILE app.py\n"
        "    1| import os\n"
        "    2| \n"
        "    3| \n"
        "     …\n"
        "    7|     def list_products(self):\n"
        "    8|         return self.products.all()\n"
        "    9| "
    )


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6), st.text(max_size=40), st.integers(0, 200))
def test_every_piece_is_shown_or_named_once_and_the_limit_holds(
    texts: list[str], question: str, characters_count: int
) -> None:
    source = make_pieces(*texts)
    shown = choose_pieces(source, [question], characters_count=characters_count, weigh=lambda piece: 1.0)
    names = [*(piece.name for piece in shown.pieces), *shown.left_out]
    assert sorted(names) == sorted(piece.name for piece in source.pieces)
    assert sum(len(line) for piece in shown.pieces for line in piece.lines) <= characters_count
