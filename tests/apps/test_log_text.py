"""What an app printed, as a page shows it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.apps.log_text import clean_log
from referee.apps.source_tree import Folder, build_folder
from referee.apps.versions import ListedFile


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[1;31merror\x1b[0m at 3\n", "error at 3\n"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("10 %\r50 %\rdone\nnext", "done\nnext"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("a\x00b\x08c\x9b31md", "abcd"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("\x1b", ""),
    ],
)
def test_terminal_codes_and_control_characters_are_taken_out(printed: str, shown: str) -> None:
    assert clean_log(printed) == shown


@given(st.text(st.characters(codec="utf-8", categories=("Cc", "Lu", "P")), max_size=200))
def test_nothing_that_controls_a_terminal_is_left(printed: str) -> None:
    assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", clean_log(printed)) is None


def list_all(folder: Folder, prefix: str = "") -> list[str]:
    """Return the paths of a tree."""
    below = [path for inner in folder.folders.values() for path in list_all(inner, f"{prefix}{inner.name}/")]
    return [f"{prefix}{name}" for name, _ in folder.files] + below


@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "src"]), min_size=1, max_size=30).map("/".join), max_size=20)
)
def test_tree_holds_every_file_once_and_counts_what_is_below(paths: set[str]) -> None:
    files = [ListedFile(path=path, language="text", size_bytes=3, sha256="0") for path in sorted(paths)]
    root = build_folder(files)
    assert sorted(list_all(root)) == sorted(paths)
    assert (root.files_count, root.total_bytes) == (len(paths), 3 * len(paths))
