"""What a design can show, in the unit of a pilot or in standard deviations, and files written by forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from referee.foundation.statistics import Spread
from referee.pipelines.definition import parse_definition
from referee.pipelines.definition_reading import read_document
from referee.pipelines.definition_writing import write_definition, write_folder_definition
from referee.pipelines.planning_design import Pilot, estimate_design, pool_spread


def test_without_a_pilot_the_unit_is_the_standard_deviation() -> None:
    found = estimate_design(
        models_count=2, templates_count=30, repeats_count=1, unit_word="template", pilot=None
    )
    # Textbook: (t(0.975; 29) + t(0.8; 29)) / sqrt(30), by the noncentral t distribution.
    assert found.difference == pytest.approx(0.53, abs=0.01)
    assert found.sentence == (
        "A difference of 0.53 standard deviations is detected with a chance of 80 % (30 templates with one app of each "
        "model, and one pair of models at an error rate of 5 %). The standard deviation is that of the difference from "
        "template to template; it becomes known with the first pipeline that uses these tools."
    )


def test_a_pilot_gives_the_unit_and_more_models_need_more() -> None:
    pilot = Pilot(
        spread=Spread(template_sd=3.0, repeat_sd=2.0), name="spring", models_count=3, templates_count=10
    )
    two, four = (
        estimate_design(
            models_count=count, templates_count=30, repeats_count=2, unit_word="template", pilot=pilot
        )
        for count in (2, 4)
    )
    assert two.unit == four.unit == "findings"
    assert two.difference is not None and four.difference is not None
    assert two.difference == pytest.approx(0.53 * math.sqrt(3.0**2 + 2.0**2), abs=0.05)
    assert four.difference > two.difference
    assert (two.comparisons_count, four.comparisons_count) == (1, 6)
    assert "The spread is that of 'spring': 3 models, 10 templates." in two.sentence


@pytest.mark.parametrize(
    ("models_count", "templates_count", "expected"),
    [
        (1, 30, "One model is compared with nothing."),
        (2, 1, "With fewer than two templates"),
        (0, 0, "One model"),
    ],
)
def test_design_that_can_show_nothing_says_so(models_count: int, templates_count: int, expected: str) -> None:
    found = estimate_design(
        models_count=models_count,
        templates_count=templates_count,
        repeats_count=1,
        unit_word="template",
        pilot=None,
    )
    assert found.difference is None
    assert found.sentence.startswith(expected)


def test_spread_is_pooled_over_pairs_on_shared_templates_only() -> None:
    scores = {
        "a": {"t1": [1.0], "t2": [5.0], "t3": [2.0], "only": [99.0]},
        "b": {"t1": [1.0], "t2": [1.0], "t3": [1.0]},
        "c": {"t1": [1.0], "t2": [1.0], "t3": [1.0]},
    }
    pooled = pool_spread(scores)
    assert pooled is not None
    spread, models_count, templates_count = pooled
    # Differences of a from either: 0, 4, 1, variance 13/3; of b from c: 0. Mean of the three: 26/9.
    assert spread.template_sd == pytest.approx(math.sqrt(26 / 9))
    assert (models_count, templates_count) == (3, 3)
    assert pool_spread({"a": {"t1": [1.0], "t2": [1.0]}}) is None
    assert pool_spread({"a": {"t1": [1.0]}, "b": {"t2": [1.0]}}) is None


def test_file_of_a_folder_is_one_that_a_person_could_write() -> None:
    text = write_folder_definition("/srv/their apps", name="theirs: all", tools=["vulture"], template="notes")
    assert text == (
        'name: "theirs: all"\n'
        "existing:\n"
        '  folder: "/srv/their apps"\n'
        "  template: notes\n"
        "analysis:\n"
        "  profile: standard\n"
        "  tools: [vulture]\n"
    )
    assert parse_definition(text).existing is not None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = (
    texts
    | st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.none()
    | st.floats(-1e6, 1e6)
    | st.lists(texts, max_size=5)
)


@given(
    st.dictionaries(
        texts, values | st.dictionaries(texts, values, min_size=1, max_size=3), min_size=1, max_size=4
    )
)
@example({"k" * 120: [], "small": 1e-05, "large": 1e16})
@settings(deadline=None, max_examples=60)
def test_whatever_is_written_is_read_as_the_same(value: dict[str, object]) -> None:
    assert read_document(write_definition(value)).value == value  # type: ignore[arg-type]  # JSON by construction
