"""OSV records: what they match, what is refused, and how two on the same problem become one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.core.vocabulary import Severity
from referee.tools.advisories.records import Advisory, RecordRefused, group_advisories, parse_records
from referee.tools.advisories.store import AdvisoryStore, dump_record, read_bundled_records


def record(**changes: Any) -> dict[str, Any]:
    """A small record of PyPI, with some of its fields replaced."""
    made: dict[str, Any] = {
        "id": "GHSA-aaaa-bbbb-cccc",
        "modified": "2024-05-06T14:21:27Z",
        "published": "2024-05-01T00:00:00Z",
        "summary": "Something is wrong.",
        "affected": [affected("PyPI", "Flask", [{"introduced": "0"}, {"fixed": "2.2.5"}])],
    }
    return {**made, **changes}


def affected(ecosystem: str, name: str, events: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    return {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": kind, "events": events}],
        **more,
    }


def only(made: dict[str, Any]) -> Advisory:
    (advisory,) = parse_records(made)
    return advisory


@pytest.mark.parametrize(
    ("events", "version", "is_affected"),
    [
        ([{"introduced": "0"}, {"fixed": "2.2.5"}], "0.1", True),
        ([{"introduced": "0"}, {"fixed": "2.2.5"}], "2.2.5", False),
        ([{"introduced": "0"}, {"fixed": "2.2.5"}], "2.2.5rc1", True),
        ([{"introduced": "2.3.0"}, {"fixed": "2.3.2"}], "2.3.0rc1", False),
        (
            [{"introduced": "0"}, {"fixed": "2.2.5"}, {"introduced": "2.3.0"}, {"fixed": "2.3.2"}],
            "2.2.9",
            False,
        ),
        (
            [{"fixed": "2.3.2"}, {"introduced": "2.3.0"}, {"fixed": "2.2.5"}, {"introduced": "0"}],
            "2.3.1",
            True,
        ),
        ([{"introduced": "0"}, {"last_affected": "21.2.0"}], "21.2.0", True),
        ([{"introduced": "0"}, {"last_affected": "21.2.0"}], "21.2.0.post1", False),
        ([{"introduced": "1.0"}], "99", True),
        ([{"introduced": "1.0"}], "0.9", False),
    ],
)
def test_a_version_is_affected_as_the_osv_algorithm_says(
    events: list[dict[str, str]], version: str, is_affected: bool
) -> None:
    assert only(record(affected=[affected("PyPI", "flask", events)])).affects(version) == is_affected


def test_a_version_that_is_named_is_affected_in_any_spelling() -> None:
    entry = {"package": {"ecosystem": "PyPI", "name": "certifi"}, "versions": ["2015.04.28"]}
    assert only(record(affected=[entry])).affects("2015.4.28")


def test_npm_ranges_follow_semver_with_prereleases() -> None:
    events = [{"introduced": "5.0.0-alpha.1"}, {"fixed": "5.0.0-beta.3"}]
    advisory = only(record(affected=[affected("npm", "express", events)]))
    assert [advisory.affects(one) for one in ("5.0.0-alpha.0", "5.0.0-beta.2", "5.0.0-beta.3", "4.0.0")] == [
        False, True, False, False,
    ]  # fmt: skip


def test_names_of_pypi_are_normalised_and_of_npm_kept() -> None:
    both = [
        affected("PyPI", "Flask_CORS.x", [{"introduced": "0"}]),
        affected("npm", "JSONStream", [{"introduced": "0"}]),
    ]
    assert {one.name for one in parse_records(record(affected=both))} == {"flask-cors-x", "JSONStream"}


@pytest.mark.parametrize(
    ("changes", "severity", "basis"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]},
         Severity.critical, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
        ({"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}], "database_specific": {"severity": "LOW"}},
         Severity.low, "LOW"),
        ({"database_specific": {"severity": "MODERATE"}}, Severity.medium, "MODERATE"),
        ({}, Severity.medium, ""),
        ({"id": "MAL-2024-1"}, Severity.critical, "CRITICAL"),
    ],
)  # fmt: skip
def test_severity_comes_from_the_vector_else_the_word_else_medium(
    changes: dict[str, Any], severity: Severity, basis: str
) -> None:
    advisory = only(record(**changes))
    assert (advisory.severity, advisory.severity_basis) == (severity, basis)


@pytest.mark.parametrize(
    "changes",
    [
        {"withdrawn": "2024-01-01T00:00:00Z"},
        {"affected": [affected("Go", "x", [{"introduced": "0"}])]},
        {"affected": []},
    ],
)
def test_withdrawn_and_foreign_records_match_nothing(changes: dict[str, Any]) -> None:
    assert parse_records(record(**changes)) == []


@pytest.mark.parametrize(
    "made",
    [
        [], None, "x", {}, record(id=""), record(id="../../x"), record(id=5), record(id="x" * 200),
        record(affected=[affected("PyPI", "x" * 300, [{"introduced": "0"}])]),
        record(affected=[affected("PyPI", "x", [{"introduced": "not a version"}])]),
        record(affected=[affected("PyPI", "x", [{"fixed": "1.0"}])]),
        record(affected=[affected("PyPI", "x", [{"introduced": "0"}] * 2000)]),
        record(aliases=["CVE-1"] * 100),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_a_reason(made: object) -> None:
    with pytest.raises(RecordRefused, match=r"\w"):
        parse_records(made)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from(["PyPI", "npm", "0", "SEMVER"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from([
            "id", "aliases", "affected", "package", "ecosystem", "name", "ranges", "type", "events", "introduced",
            "fixed", "versions", "severity", "score", "database_specific", "summary", "modified", "withdrawn",
        ]),
        inner,
        max_size=6,
    ),
    max_leaves=40,
)  # fmt: skip


@given(JSON, JSON, JSON)
def test_any_json_is_read_or_refused_and_never_raises_anything_else(
    first: Any, second: Any, third: Any
) -> None:
    try:
        parse_records(
            record(affected=first, severity=second, database_specific=third, aliases=first, summary=second)
        )
    except RecordRefused:
        return


def test_advisories_that_name_each_other_become_one_group_known_by_its_cve() -> None:
    ghsa = only(record(aliases=["CVE-2023-30861", "PYSEC-2023-62"]))
    pysec = only(record(id="PYSEC-2023-62", aliases=["CVE-2023-30861"]))
    other = only(record(id="GHSA-zzzz-zzzz-zzzz"))
    groups = group_advisories([pysec, other, ghsa])
    assert [(group.key, len(group.members)) for group in groups] == [
        ("CVE-2023-30861", 2),
        ("GHSA-zzzz-zzzz-zzzz", 1),
    ]


def test_a_stored_record_reads_back_as_the_same_advisory() -> None:
    advisories = [one for _, made in read_bundled_records() for one in parse_records(made)]
    assert [parse_records(json.loads(dump_record(one)))[0] for one in advisories] == advisories


def test_every_bundled_record_is_usable_and_says_what_fixes_it() -> None:
    records = [made for _, made in read_bundled_records()]
    assert len({made["id"] for made in records}) == len(records) >= 40
    assert all(one.versions or one.ranges for made in records for one in parse_records(made))
    assert all(
        event[-1].kind == "fixed" for made in records for one in parse_records(made) for event in one.ranges
    )


def test_the_bundled_set_answers_with_its_date_and_size() -> None:
    with AdvisoryStore.open(None) as store:
        data = store.data_of("PyPI")
        keys = [group.key for group in store.find_groups("PyPI", "PyYAML") if group.affects("5.3.1")]
    assert (data.is_bundled, data.data_on, data.records_count > 20) == (True, "2024-09-24", True)
    assert keys == ["CVE-2020-14343"]
