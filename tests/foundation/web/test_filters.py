from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.errors import InvalidInput
from referee.foundation.web.filters import (
    Comparison,
    Filter,
    FilterField,
    FlagValue,
    IdValue,
    NumberValue,
    Sort,
    Term,
    TextValue,
    TimeValue,
    Value,
    WordValue,
    parse_filter,
)

SEVERITIES = ("info", "low", "medium", "high", "critical")
STATES = ("open", "fixed", "not_applicable")
FIELDS = {
    "severity": FilterField("ordered", "How bad.", SEVERITIES, is_sortable=True),
    "state": FilterField("enum", "Where it stands.", STATES),
    "path": FilterField("text", "The file.", is_searched=True, is_sortable=True, aliases=("file",)),
    "tool": FilterField("keyword", "Who found it."),
    "created": FilterField("time", "When.", is_sortable=True, example="created:>=-7d"),
    "count": FilterField("number", "How many."),
    "id": FilterField("id", "Which.", noun="finding"),
    "suppressed": FilterField("flag", "Whether the code suppresses it."),
}


def parse(text: str) -> Filter:
    return parse_filter(text, FIELDS)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("path:core", Term("path", (TextValue("core"),))),
        ("file:core", Term("path", (TextValue("core"),))),
        ("path:core/*", Term("path", (TextValue("core/*", is_pattern=True),))),
        ('path:"a * b"', Term("path", (TextValue("a * b"),))),
        (r"path:a\ b*", Term("path", (TextValue("a b*", is_pattern=True),))),
        (r"path:a\*b", Term("path", (TextValue("a*b"),))),
        ("-tool:(bandit OR mypy)", Term("tool", (TextValue("bandit"), TextValue("mypy")), is_excluded=True)),
        ("severity:>=high", Term("severity", (WordValue("high", Comparison.at_least),))),
        ("SEVERITY:High", Term("severity", (WordValue("high"),))),
        ("state:not-applicable", Term("state", (WordValue("not_applicable"),))),
        ("is:open", Term("state", (WordValue("open"),))),
        ("-is:suppressed", Term("suppressed", (FlagValue(True),), is_excluded=True)),
        ("suppressed:no", Term("suppressed", (FlagValue(False),))),
        ("count:>3.5", Term("count", (NumberValue(3.5, Comparison.more),))),
        ("count:-2", Term("count", (NumberValue(-2),))),
        ("created:2026-03-01", Term("created", (TimeValue(date(2026, 3, 1)),))),
        ("created:>=-7d", Term("created", (TimeValue(timedelta(days=7), Comparison.at_least),))),
        (
            "created:<2026-03-01T10:00:00+02:00",
            Term("created", (TimeValue(datetime(2026, 3, 1, 8, tzinfo=UTC), Comparison.less),)),
        ),
        (f"id:finding_{UUID(int=5).hex}", Term("id", (IdValue(UUID(int=5), "finding"),))),
        ("hello", Term(None, (TextValue("hello"),))),
        ('-"two words"', Term(None, (TextValue("two words"),), is_excluded=True)),
        ('path:"-x"', Term("path", (TextValue("-x"),))),
    ],
)
def test_each_form_of_the_grammar_is_understood(text: str, term: Term) -> None:
    assert parse(text).terms == (term,)


def test_orders_are_read_apart_from_terms() -> None:
    assert parse("sort:-severity x sort:path") == Filter(
        (Term(None, (TextValue("x"),)),), (Sort("severity", is_descending=True), Sort("path"))
    )


@pytest.mark.parametrize(
    ("text", "code", "position", "suggestion"),
    [
        ("sevrity:high", "filter.unknown_key", 0, "severity"),
        ("x -sevrity:high", "filter.unknown_key", 3, "severity"),
        ("severity:hihg", "filter.value_unknown", 9, "high"),
        ("is:opn", "filter.value_unknown", 3, "open"),
        ("state:>=open", "filter.value_invalid", 6, None),
        ("created:yesterday", "filter.value_invalid", 8, None),
        ("created:2026-02-30", "filter.value_invalid", 8, None),
        ("created:-999999w", "filter.value_invalid", 8, None),
        ("count:many", "filter.value_invalid", 6, None),
        ("count:inf", "filter.value_invalid", 6, None),
        ("count:99999999999999999999", "filter.value_invalid", 6, None),
        ("id:analysis_1", "filter.value_invalid", 3, None),
        ("suppressed:maybe", "filter.value_unknown", 11, None),
        ("sort:tool", "filter.value_unknown", 5, None),
        ("sort:pth", "filter.value_unknown", 5, "path"),
        ("-sort:path", "filter.sort_excluded", 0, None),
        ("path:", "filter.value_missing", 0, None),
        ("severity:>=", "filter.value_missing", 9, None),
        ("severity:>=hihg", "filter.value_unknown", 9, ">=high"),
        ("path:(a", "filter.parenthesis_open", 5, None),
        ("path:(a b)", "filter.or_expected", 8, None),
        ("path:()", "filter.value_missing", 6, None),
        ('"open', "filter.quote_open", 0, None),
        ("1:2", "filter.key_malformed", 0, None),
        ("a(b", "filter.character_unexpected", 1, None),
        ("path:a\\", "filter.escape_open", 6, None),
        ("is:(open OR fixed)", "filter.is_takes_one", 4, None),
        ("x" * 2_001, "filter.too_long", 2_000, None),
        (" ".join(f"a{number}" for number in range(41)), "filter.too_many_terms", 150, None),
        ("sort:path sort:severity sort:created sort:path", "filter.too_many_sorts", 0, None),
    ],
)
def test_what_cannot_be_expressed_is_refused_at_its_position(
    text: str, code: str, position: int, suggestion: str | None
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    error = caught.value
    assert (error.code, error.context["position"], error.context.get("suggestion")) == (
        code,
        position,
        suggestion,
    )
    assert error.hint


def test_bare_text_is_refused_where_nothing_is_searched() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter("hello", {"count": FIELDS["count"]})
    assert caught.value.code == "filter.search_unsupported"


def test_a_repeated_term_is_kept_once() -> None:
    assert str(parse("path:a path:a")) == "path:a"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
patterns = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0*"), max_size=6), min_size=2
)
text_values = st.one_of(
    texts.map(TextValue), patterns.map(lambda parts: TextValue("*".join(parts), is_pattern=True))
)
comparisons = st.sampled_from(Comparison)
distances = st.integers(0, 999_999).map(lambda count: timedelta(seconds=count))
moments = st.one_of(st.dates(), st.datetimes(timezones=st.just(UTC)), distances)


def lists_of(values: st.SearchStrategy[Value]) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)


terms = st.one_of(
    st.builds(Term, st.none(), st.tuples(text_values), st.booleans()),
    st.builds(Term, st.sampled_from(["path", "tool"]), lists_of(text_values), st.booleans()),
    st.builds(
        Term,
        st.just("severity"),
        lists_of(st.builds(WordValue, st.sampled_from(SEVERITIES), comparisons)),
        st.booleans(),
    ),
    st.builds(Term, st.just("state"), lists_of(st.builds(WordValue, st.sampled_from(STATES))), st.booleans()),
    st.builds(
        Term,
        st.just("count"),
        lists_of(
            st.builds(
                NumberValue,
                st.one_of(st.integers(-(2**62), 2**62), st.floats(-1e18, 1e18, allow_nan=False)),
                comparisons,
            )
        ),
        st.booleans(),
    ),
    st.builds(Term, st.just("created"), lists_of(st.builds(TimeValue, moments, comparisons)), st.booleans()),
    st.builds(
        Term, st.just("id"), lists_of(st.builds(IdValue, st.uuids(), st.just("finding"))), st.booleans()
    ),
    st.builds(Term, st.just("suppressed"), lists_of(st.builds(FlagValue, st.booleans())), st.booleans()),
)
sorts = st.builds(Sort, st.sampled_from(["severity", "path", "created"]), st.booleans())
filters = st.builds(
    Filter,
    st.lists(terms, max_size=5, unique=True).map(tuple),
    st.lists(sorts, max_size=3).map(tuple),
    st.just(FIELDS),
).filter(lambda built: len(str(built)) <= 2_000)


@given(filters)
def test_every_filter_is_read_back_from_its_own_text(built: Filter) -> None:
    assert parse(str(built)) == built


@given(st.text(max_size=60))
def test_any_text_is_either_understood_or_explained(text: str) -> None:
    try:
        understood = parse(text)
    except InvalidInput as error:
        assert 0 <= int(str(error.context["position"])) <= len(text)
    else:
        assert parse(str(understood)) == understood


def test_a_facet_word_joins_the_others_of_its_key() -> None:
    chosen = parse("state:open x").add_word("state", "fixed")
    assert (str(chosen), chosen.has_word("state", "fixed")) == ("state:(open OR fixed) x", True)


def test_a_facet_word_is_taken_away_again() -> None:
    assert str(parse("state:(open OR fixed)").toggle_word("state", "open")) == "state:fixed"
    assert parse("state:fixed").toggle_word("state", "fixed").is_empty


def test_a_facet_word_leaves_exclusions_and_ranges_alone() -> None:
    chosen = parse("-state:open severity:>=high").add_word("state", "open").add_word("severity", "low")
    assert str(chosen) == "-state:open severity:>=high state:open severity:low"


def test_a_facet_counts_without_its_own_key() -> None:
    assert str(parse("state:open path:a").without("state")) == "path:a"
