"""Code of PYTHON metrics: what it may return, and what it cannot do. In the real sandbox."""

from __future__ import annotations

import pytest
from tests.experiments.runs.events import define, make_event

from referee.core.findings import JsonValue
from referee.experiments.evaluators.python_scoring import score_by_code
from referee.experiments.evaluators.verdicts import Verdict
from referee.foundation.settings import Settings
from referee.traces import Event


def event(answer: JsonValue) -> Event:
    return make_event("s", f"e-{answer}", outputs={"answer": answer})


async def score(
    settings: Settings, code: str, *answers: JsonValue, return_type: str = "float", scale: int | None = None
) -> list[Verdict]:
    definition = define("length", criteria=code, return_type=return_type, scale=scale)
    return await score_by_code(settings, definition, [event(answer) for answer in answers])


async def test_a_function_over_the_event_gives_a_score_for_each_event(settings: Settings) -> None:
    code = (
        "import json\n\ndef length(event):\n    print('noise')\n    return len(event['outputs']['answer'])\n"
    )
    assert [one.score for one in await score(settings, code, "abc", "", "é🙂")] == [3.0, 0.0, 2.0]


@pytest.mark.parametrize(
    "code",
    [
        "def evaluate(event):\n    return 1, 'because'\n\ndef other(x):\n    return 9\n",
        "def helper(x):\n    return {'score': x, 'explanation': 'because'}\n\n"
        "def judge(event):\n    return helper(1)\n",
        "result = (1.0, 'because')",
    ],
)
async def test_a_score_may_come_with_an_explanation(settings: Settings, code: str) -> None:
    assert await score(settings, code, "a") == [Verdict(score=1.0, explanation="because")]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "def f(event):\n    return event['outputs']['nothing']",
            "The code failed: KeyError: 'nothing' (line 2)",
        ),
        ("def f(event:\n", "The code failed: SyntaxError: '(' was never closed (line 1)"),
        ("x = 1", "The code failed: LookupError: the code defines no function, and sets no variable result"),
        ("def f(event):\n    return 'good'", "'good' is no number."),
        ("def f(event):\n    return float('nan')", "The code failed: ValueError: nan is no finite number"),
        ("def f(event):\n    return 10 ** 400", "The number is too large."),
        ("def f(event):\n    return None", "The code gave no score."),
        ("def f(event):\n    return [1]", "The code failed: TypeError: a list is no score"),
        ("def f(event):\n    raise SystemExit(3)", "The code failed: SystemExit: 3 (line 2)"),
        ("import os\ndef f(event):\n    os._exit(3)", "The code ended its process with the exit code 3."),
    ],
)
async def test_without_a_score_there_is_a_reason(settings: Settings, code: str, reason: str) -> None:
    assert await score(settings, code, "a") == [Verdict.unscored(reason)]


async def test_an_event_that_takes_too_long_does_not_take_the_others_along(settings: Settings) -> None:
    quick = settings.model_copy(update={"evaluator_python_timeout_s": 0.5})
    code = "def f(event):\n    while event['outputs']['answer'] == 'slow':\n        pass\n    return 1\n"
    found = await score(quick, code, "a", "slow", "b")
    assert [one.score for one in found] == [1.0, None, 1.0]
    assert found[1].explanation == "The code took longer than 0.5 s."


async def test_code_that_takes_too_much_memory_is_ended(settings: Settings) -> None:
    small = settings.model_copy(update={"evaluator_python_memory_bytes": 128 << 20})
    [verdict] = await score(small, "def f(event):\n    return len(bytearray(10 ** 9))\n", "a")
    assert verdict.score is None
    assert "memory" in verdict.explanation.lower()


async def test_code_reaches_no_network_and_no_files_of_this_machine(settings: Settings) -> None:
    code = (
        "import os, socket\n\ndef f(event):\n"
        "    try:\n        socket.create_connection(('192.0.2.1', 80), timeout=2)\n"
        "    except OSError as error:\n        reached = 0\n    else:\n        reached = 1\n"
        "    return reached + ('REFEREE_HOME' in os.environ) + os.path.exists(event['outputs']['answer'])\n"
    )
    settings.ensure_home()
    (settings.home / "secret").write_text("x")
    assert [one.score for one in await score(settings, code, str(settings.home / "secret"))] == [0.0]


async def test_the_scale_and_the_type_of_the_metric_bind_its_code(settings: Settings) -> None:
    code = "def f(event):\n    return event['outputs']['answer']\n"
    assert [one.score for one in await score(settings, code, 5, 6, scale=5)] == [5.0, None]
    assert [one.score for one in await score(settings, code, True, 1, 2, return_type="boolean")] == [
        True,
        True,
        None,
    ]
