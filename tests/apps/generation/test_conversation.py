"""What an answer is taken for: whole or cut, a program or a question, finished or with gaps."""

from __future__ import annotations

import pytest

from referee.apps.generation.blocks import read_files
from referee.apps.generation.conversation import find_placeholders, is_seeking_confirmation, join_answers


@pytest.mark.parametrize(
    "line",
    [
        "# ... rest of the code",
        "// ... existing code ...",
        "# The remaining routes stay the same as before",
        "// Add your logic here",
        "/* styles omitted for brevity */",
        "<!-- ... -->",
        "{/* ... other components ... */}",
        "# TO" + "DO: implement this",
        "raise NotImplementedError",
        'throw new Error("Not implemented");',
        "# implementation goes here",
        'call("http://x"); // the rest of the routes',
        " * ... existing methods",
        "// FIX" + "ME: handle errors",
        "# Placeholder implementation",
    ],
)
def test_gap_is_found(line: str) -> None:
    assert find_placeholders({"a.js": f"one\n{line}\n"}) == [f"a.js:2: {line.strip()}"]


@pytest.mark.parametrize(
    "line",
    [
        '<input placeholder="Your name here" />',
        "# Rest endpoints of notes",
        "const all = [...existing, ...other];",
        "# The rest is served by the frontend.",
        'label = "TO" "DO"',
        "// Only the remaining seats are shown",
        "// Adds the code here and there",
        "status = 'todo'",
        "# Mark a todo as complete and write it back",
        "// Placeholder component while notes are loading",
        'url = "http://localhost/add-more"',
        "a { --rest: 1; }",
    ],
)
def test_finished_code_has_no_gap(line: str) -> None:
    assert find_placeholders({"a.js": f"{line}\n"}) == []


def test_empty_function_is_a_gap_and_an_interface_is_not() -> None:
    code = (
        "class Store(Protocol):\n    def read(self): ...\n\n\ndef save():\n    '''Save.'''\n    pass\n\n\n"
        "try:\n    save()\nexcept OSError:\n    pass\n"
    )
    assert find_placeholders({"backend/a.py": code}) == ["backend/a.py:5: def save():"]


@pytest.mark.parametrize(
    "answer",
    [
        "Shall I proceed with the implementation?",
        "Would you like me to use SQLite or PostgreSQL?",
        "Please confirm the data model and I will write the code.",
        "Let me know if that plan works.",
        "```python app.py\nx = 1\n```\nShould I continue with the other files?",
        "```python app.py\nx = 1\n```\nReply 'continue' for the rest.",
    ],
)
def test_question_in_place_of_work_is_noticed(answer: str) -> None:
    assert is_seeking_confirmation(answer, read_files(answer, "backend"))


@pytest.mark.parametrize(
    "answer",
    [
        "```python app.py\nx = 1\n```\nLet me know if you have questions.",
        "```python app.py\n# Shall I continue?\nx = 1\n```\n",
        "It is done.",
    ],
)
def test_finished_answer_is_no_question(answer: str) -> None:
    assert not is_seeking_confirmation(answer, read_files(answer, "backend"))


@pytest.mark.parametrize(
    ("text", "more", "joined"),
    [
        ("```py a.py\nx = ", "1\n```", "```py a.py\nx = 1\n```"),
        ("```py a.py\nx = ", "```python\n1\n```", "```py a.py\nx = 1\n```"),
        ("```py a.py\nx = ", "Going on:\n\n```python\n1\n```", "```py a.py\nx = 1\n```"),
        ("```py a.py\nvalue = compute(", "value = compute(1)\n```", "```py a.py\nvalue = compute(1)\n```"),
        (
            "```py a.py\nfirst_line_of_it()\nsecond_line_of_it()\nthi",
            "first_line_of_it()\nsecond_line_of_it()\nthird()\n```",
            "```py a.py\nfirst_line_of_it()\nsecond_line_of_it()\nthird()\n```",
        ),
    ],
)
def test_continuation_is_joined_without_what_it_repeats(text: str, more: str, joined: str) -> None:
    assert join_answers(text, more) == joined


def test_long_lines_of_marks_are_read_in_no_time() -> None:
    hostile = {"a.js": "#" * 400_000 + "\n", "b.js": "/*" * 200_000, "c.py": "# ... " * 60_000}
    assert [place.split(":")[0] for place in find_placeholders(hostile)] == ["c.py"]
