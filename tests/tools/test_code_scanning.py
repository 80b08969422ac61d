"""Telling code from prose: comments, docstrings and texts are no code, whatever they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.sources import Language
from referee.tools.code_scanning import CODE_LANGUAGES, blank_prose, split_lines


def code_of(text: str, language: Language) -> list[str]:
    """Return the lines that are left, with white space as in a sentence."""
    return [" ".join(line.split()) for line in blank_prose(text, language)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("total = price * count  # met: all of it", ["total = price * count"]),
        ('"""A docstring\nof two lines."""\nx = f(y)', ["", "", "x = f(y)"]),
        ("'''one-word'''", ["'''one-word'''"]),
        ('path = "/api/orders"', ['path = "/api/orders"']),
        ('log("all requirements are met")', ["log( )"]),
        ("value = '# not a comment'\nnext()", ["value =", "next()"]),
        ('x = "no end and prose\ny = f(z)', ["x =", "y = f(z)"]),
        ('x = f(y)\n"""no end\nf(met)', ["x = f(y)", "", ""]),
        ("def f():\n    if (x:\n        g(y)\n  h(z)", ["def f():", "if (x:", "g(y)", "h(z)"]),
    ],
)
def test_python_keeps_code_and_nothing_else(text: str, code: list[str]) -> None:
    assert code_of(text, "python") == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("f(x) // met", ["f(x)"]),
        ("a /* two\nlines */ b", ["a", "b"]),
        ("const u = 'http://host/x'", ["const u = 'http://host/x'"]),
        ('say("all is met"); f(x)', ['say(" "); f(x)']),
        ("const s = 'it\\'s met now'; f()", ["const s = ' '; f()"]),
        ("`/tasks/${task.id}/comments`", ["`/tasks/${task.id}/comments`"]),
        (
            "`all is met ${ call(`inner prose ${x}`) } yes it is`; f()",
            ["` ${ call(` ${x}`) } `; f()"],
        ),
        ("const r = /[/*]x/; f(y) // met", ["const r = /[/*]x/; f(y)"]),
        ("const r = /all is met by f(x)/", ["const r = / /"]),
        ("a = b / c; d = e / f // met", ["a = b / c; d = e / f"]),
        ("<p>Don't {f(x)}</p>", ["<p>Don't {f(x)}</p>"]),
        ("<a href='x'>{/* met */}{y}</a>", ["<a href='x'>{ }{y}</a>"]),
        ("/* no end f(x)", [""]),
        ("`no end of prose\nf(x)", ["`", ""]),
    ],
)
def test_scripts_keep_code_and_nothing_else(text: str, code: list[str]) -> None:
    assert code_of(text, "tsx") == code


def test_html_keeps_tags_and_sql_keeps_statements() -> None:
    page = "<!-- met -->\n<form action='/x'>All is met</form>\n<script>// met\nf(x)</script>"
    assert code_of(page, "html") == ["", "<form action='/x'> </form>", "", ""]
    assert code_of("SELECT a FROM b -- met\n/* met */", "sql") == ["SELECT a FROM b", ""]


def test_other_files_have_no_code() -> None:
    assert code_of("# All requirements are met\nf(x)", "markdown") == ["", ""]


@given(
    st.text(alphabet=st.sampled_from("a \n\r\t'\"`#/*\\{}$<>()=f:"), max_size=80),
    st.sampled_from(CODE_LANGUAGES),
)
def test_any_text_keeps_its_lines_and_their_length(text: str, language: Language) -> None:
    lines = split_lines(text)
    blanked = blank_prose(text, language)
    assert [len(line) for line in blanked] == [len(line) for line in lines]


@given(st.text(max_size=200))
def test_a_python_comment_is_never_code(text: str) -> None:
    comment = "# " + "".join(text.split())
    assert blank_prose(f"x = 1\n{comment}", "python")[1].strip() == ""
