"""Which folders of its machine a server reads for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from referee.analysis.api import check_roots
from referee.core.errors import Forbidden
from referee.foundation.settings import load_settings


def test_server_beyond_loopback_reads_nothing_until_roots_are_set(home: Path) -> None:
    with pytest.raises(Forbidden):
        check_roots(load_settings(home=home, host="0.0.0.0"))  # noqa: S104 - the case under test


def test_server_beyond_loopback_reads_the_roots_that_are_set(home: Path) -> None:
    check_roots(load_settings(home=home, host="0.0.0.0", allowed_roots=[home]))  # noqa: S104 - as above


def test_server_on_loopback_reads_any_folder(home: Path) -> None:
    check_roots(load_settings(home=home, host="127.0.0.1"))
