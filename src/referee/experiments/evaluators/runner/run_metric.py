"""Runs the code of a PYTHON metric over events, inside the sandbox.

Reads one JSON object from stdin, ``{"code", "events", "timeout_s"}``, and prints one JSON line for each
event: ``{"value", "explanation"}`` or ``{"error"}``. What the code itself prints goes to stderr. An event
that takes too long ends the process, so the lines that are missing say which event that was.
"""

import ast
import json
import math
import os
import signal
import sys
import traceback
from typing import Any

__all__ = ["main"]

MAX_EXPLANATION_CHARACTERS = 10_000
NAMES = ("evaluate", "evaluator", "main", "metric")
"""Functions that are called when several are defined; else the last one."""


def main() -> None:
    """Score every event."""
    request = json.loads(sys.stdin.buffer.read())
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    for event in request["events"]:
        signal.setitimer(signal.ITIMER_REAL, request["timeout_s"])
        try:
            record = _read_answer(_run(request["code"], event))
        except BaseException as error:  # whatever the code raises is told, an exit too
            record = {"error": _describe(error)}
        signal.setitimer(signal.ITIMER_REAL, 0)
        lines.write(json.dumps(record, ensure_ascii=True) + "\n")
        lines.flush()


def _run(code: str, event: Any) -> Any:
    """Return what the code says of an event: its function's value, or its variable ``result``."""
    tree = ast.parse(code, "metric.py")
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    space: dict[str, Any] = {"__name__": "metric", "event": event}
    exec(compile(tree, "metric.py", "exec"), space)  # noqa: S102 - in the sandbox, a metric's own code is what runs
    if "result" in space:
        return space["result"]
    if not names:
        raise LookupError("the code defines no function, and sets no variable result")
    chosen = next((name for name in NAMES if name in names), names[-1])
    return space[chosen](event)


def _read_answer(answer: Any) -> dict[str, Any]:
    """Return value and explanation: a value alone, a pair, or an object with score and explanation."""
    explanation = ""
    if isinstance(answer, tuple) and len(answer) == 2:
        answer, explanation = answer
    elif isinstance(answer, dict):
        known = [key for key in ("score", "result", "value") if key in answer]
        if not known:
            raise LookupError("the object has none of score, result and value")
        answer, explanation = answer[known[0]], answer.get("explanation", "")
    if answer is not None and not isinstance(answer, (bool, int, float, str)):
        raise TypeError(f"a {type(answer).__name__} is no score")
    if isinstance(answer, float) and not math.isfinite(answer):
        raise ValueError(f"{answer} is no finite number")
    return {"value": answer, "explanation": str(explanation)[:MAX_EXPLANATION_CHARACTERS]}


def _describe(error: BaseException) -> str:
    """Return an error in one line, with the line of the code that raised it."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    steps = [
        step.lineno for step in traceback.extract_tb(error.__traceback__) if step.filename == "metric.py"
    ]
    place = f" (line {steps[-1]})" if steps else ""
    return f"{type(error).__name__}: {error}"[:1_000] + place


if __name__ == "__main__":
    main()
