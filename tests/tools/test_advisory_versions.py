"""Versions: npm's order is that of semver.org, PyPI's that of PEP 440."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.tools.advisories.versions import (
    NpmVersion,
    is_exact_npm_version,
    parse_npm_version,
    parse_version,
)

SPECIFIED_ORDER = [
    "0.0.4", "1.0.0-0.3.7", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "1.11.0", "2.0.0", "2.1.0", "2.1.1",
]  # fmt: skip

numbers = st.integers(min_value=0, max_value=10**12)
identifiers = st.one_of(
    st.integers(min_value=0, max_value=999).map(str),
    st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True),
)
versions = st.builds(
    NpmVersion,
    numbers | st.integers(0, 2),
    numbers | st.integers(0, 2),
    numbers | st.integers(0, 2),
    st.lists(identifiers, max_size=4).map(tuple),
)


def spell(version: NpmVersion) -> str:
    text = f"{version.major}.{version.minor}.{version.patch}"
    return f"{text}-{'.'.join(version.prerelease)}" if version.prerelease else text


def precedes(left: NpmVersion, right: NpmVersion) -> bool:
    """Section 11 of semver.org 2.0.0, rule by rule, as an oracle."""
    for one, other in ((left.major, right.major), (left.minor, right.minor), (left.patch, right.patch)):
        if one != other:
            return one < other
    if not left.prerelease or not right.prerelease:
        return bool(left.prerelease) and not right.prerelease
    for mine, theirs in zip(left.prerelease, right.prerelease, strict=False):
        if mine == theirs:
            continue
        if mine.isdecimal() and theirs.isdecimal():
            return int(mine) < int(theirs)
        if mine.isdecimal() != theirs.isdecimal():
            return mine.isdecimal()
        return mine < theirs
    return len(left.prerelease) < len(right.prerelease)


def test_the_examples_of_the_specification_are_in_order() -> None:
    parsed = [parse_npm_version(text) for text in SPECIFIED_ORDER]
    assert all(earlier < later for earlier, later in pairwise(parsed))


@given(versions, versions)
def test_npm_order_is_that_of_the_specification(left: NpmVersion, right: NpmVersion) -> None:
    assert (left < right) == precedes(left, right)
    assert (left == right) == (not precedes(left, right) and not precedes(right, left))


@given(versions, versions, versions)
def test_npm_order_is_transitive(first: NpmVersion, second: NpmVersion, third: NpmVersion) -> None:
    low, middle, high = sorted([first, second, third])
    assert low <= middle <= high
    assert low <= high


@given(versions, st.from_regex(r"[0-9A-Za-z-]{1,8}", fullmatch=True))
def test_build_metadata_has_no_precedence(version: NpmVersion, build: str) -> None:
    assert parse_npm_version(f"{spell(version)}+{build}") == parse_npm_version(spell(version)) == version


@given(st.text(max_size=300))
def test_any_text_is_a_version_or_a_value_error(text: str) -> None:
    try:
        parse_npm_version(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("short", "full"), [("1", "1.0.0"), ("1.2", "1.2.0"), ("v1.2.3", "1.2.3"), ("=1.2.3", "1.2.3")]
)
def test_short_and_prefixed_spellings_mean_the_full_version(short: str, full: str) -> None:
    assert parse_npm_version(short) == parse_npm_version(full)


@pytest.mark.parametrize(
    "text", ["", "latest", "1.2.3.4", "1.x", "^1.2.3", "1.2.3-", "1.2.3-a..b", "١.٢.٣", "9" * 300]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        parse_npm_version(text)


@pytest.mark.parametrize(
    ("text", "is_exact"),
    [
        ("4.17.20", True), ("=4.17.20", True), ("1.0.0-rc.1", True), ("^4.17.20", False), ("~1.2.3", False),
        ("1.2", False), ("*", False), ("latest", False), (">=1.0.0 <2.0.0", False), ("1.0.0 || 2.0.0", False),
        ("file:../x", False), ("npm:lodash@4.17.20", False), ("git+ssh://host/x.git#v1.0.0", False),
    ],
)  # fmt: skip
def test_only_a_full_version_is_exact(text: str, is_exact: bool) -> None:
    assert is_exact_npm_version(text) == is_exact


def test_pypi_orders_pre_and_post_releases_by_pep_440() -> None:
    ordered = ["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1!0.1"]
    parsed = [parse_version("PyPI", text) for text in ordered]
    assert sorted(parsed, key=lambda one: one) == parsed


def test_pypi_refuses_what_pep_440_does_not_know() -> None:
    with pytest.raises(ValueError, match="Invalid version"):
        parse_version("PyPI", "1.0-whatever")
