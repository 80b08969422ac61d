"""Files in a model's answer: how a path is found, and what of hostile ones becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referee.apps.generation.blocks import check_path, ends_inside_block, merge_files, read_files
from referee.apps.generation.contract import Notice


@pytest.mark.parametrize(
    "answer",
    [
        "```python backend/app.py\nx = 1\n```",
        "```python app.py\nx = 1\n```",
        "```python:backend/app.py\nx = 1\n```",
        '```python title="backend/app.py"\nx = 1\n```',
        "```backend/app.py\nx = 1\n```",
        "**backend/app.py**\n\n```python\nx = 1\n```",
        "### File: `backend/app.py`\n```python\nx = 1\n```",
        "1. `backend/app.py`:\n```python\nx = 1\n```",
        "~~~~python ./backend/app.py\nx = 1\n~~~~",
        "```python\nx = 1\n```",
        "```python backend/app.py\r\nx = 1\r\n```",
    ],
)
def test_path_is_found_however_a_model_writes_it(answer: str) -> None:
    assert read_files(answer, "backend").files == {"backend/app.py": "x = 1\n"}


def test_path_in_the_first_line_stays_a_comment_of_the_file() -> None:
    found = read_files("```jsx\n// src/App.jsx\nexport default 1;\n```", "frontend")
    assert found.files == {"frontend/src/App.jsx": "// src/App.jsx\nexport default 1;\n"}


def test_commands_and_outputs_are_no_files() -> None:
    assert read_files("```bash\npip install flask\n```\n```\n * Running\n```", "backend").files == {}


def test_block_in_a_longer_one_belongs_to_it() -> None:
    answer = "````markdown README.md\n```bash\nls\n```\n````"
    assert read_files(answer, "backend").files == {"backend/README.md": "```bash\nls\n```\n"}


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "backend/../../etc/passwd",
        "/etc/passwd",
        "~/.ssh/authorized_keys",
        "C:/Windows/win.ini",
        "..\\..\\win.ini",
        ".git/hooks/post-checkout.sh",
        "backend/.git/config.txt",
        "frontend/src/App.jsx",
        "a/" * 12 + "b.py",
        "x" * 300 + ".py",
        "a//b.py",
        "name\x1b[31m.py",
        "app.py.",
    ],
)
def test_hostile_path_is_refused_and_told(path: str) -> None:
    assert isinstance(check_path(path, "backend"), Notice)


def test_refused_block_leaves_the_others() -> None:
    found = read_files("```text ../../etc/passwd\nroot\n```\n```python app.py\nx = 1\n```", "backend")
    assert (list(found.files), [notice.kind for notice in found.notices]) == (
        ["backend/app.py"],
        ["unsafe_path"],
    )


@given(st.text(max_size=60))
def test_no_path_ever_leads_out_of_its_half(named: str) -> None:
    path = check_path(named, "backend")
    steps = path.split("/") if isinstance(path, str) else ["backend", "refused"]
    assert steps[0] == "backend"
    assert not {"", ".", ".."} & set(steps)


@given(st.text(max_size=300))
def test_any_answer_is_read(answer: str) -> None:
    assert all(path.startswith("frontend/") for path in read_files(answer, "frontend").files)


def test_huge_file_and_too_many_are_refused() -> None:
    huge = read_files(f"```python app.py\n{'x' * 600_000}\n```", "backend")
    many = read_files("".join(f"```python f{number}.py\nx\n```\n" for number in range(250)), "backend")
    assert (huge.files, [notice.kind for notice in huge.notices]) == ({}, ["refused_file"])
    assert (len(many.files), len(many.notices)) == (200, 50)


def test_bytes_that_are_no_text_are_refused_or_replaced() -> None:
    assert read_files("```python app.py\nx\0y\n```", "backend").files == {}
    assert read_files("```python app.py\nx = '\ud800'\n```", "backend").files == {
        "backend/app.py": "x = '?'\n"
    }


def test_path_cannot_be_file_and_folder_or_differ_in_case_only() -> None:
    merged, notices = merge_files(
        {"backend/a": "1"}, {"backend/a/b.py": "2", "backend/A": "3", "backend/c": "4"}
    )
    assert (merged, len(notices)) == ({"backend/a": "1", "backend/c": "4"}, 2)


def test_open_block_is_noticed() -> None:
    assert ends_inside_block("```python app.py\nx = 1\n")
    assert not ends_inside_block("```python app.py\nx = 1\n```\n")
