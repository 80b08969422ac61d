"""CVSS 3 base scores, against scores published with the advisories that use these vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.tools.advisories.cvss import compute_base_score


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:H", 9.1),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 8.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5),
        ("CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 7.2),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N", 6.1),
        ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:H/I:H/A:N", 5.6),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", 5.3),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N", 3.7),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O", 9.8),
    ],
)
def test_base_score_is_the_published_one(vector: str, score: float) -> None:
    assert compute_base_score(vector) == score


@pytest.mark.parametrize(
    "vector",
    [
        "", "9.8", "CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:P/A:P", "CVSS:3.1/AV:N", "CVSS:3.1/AV:N/AV:N",
        "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:?/C:H/I:H/A:H",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N", "CVSS:3.1/" + "A" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_cvss_3_vector_is_refused(vector: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compute_base_score(vector)


@given(
    st.tuples(*(st.sampled_from(o) for o in ("NALP", "LH", "NLH", "NR", "UC", "NLH", "NLH", "NLH"))),
    st.sampled_from(["3.0", "3.1"]),
)
def test_every_vector_scores_between_0_and_10_in_tenths(values: tuple[str, ...], version: str) -> None:
    metrics = zip(("AV", "AC", "PR", "UI", "S", "C", "I", "A"), values, strict=True)
    score = compute_base_score(f"CVSS:{version}/" + "/".join(f"{name}:{value}" for name, value in metrics))
    assert 0.0 <= score <= 10.0
    assert round(score, 1) == score
