"""Files of rules: YAML with a list, or ``rules:`` with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from referee.alerts.rules import RuleDraft, read_rule
from referee.core.errors import InvalidInput
from referee.foundation.web.values import ValueSource

__all__ = ["read_rule_file", "read_rule_text"]

MAX_FILE_BYTES: Final = 1_000_000
MAX_RULES_COUNT: Final = 1_000


def read_rule_file(path: Path, sources: Mapping[str, ValueSource]) -> list[RuleDraft]:
    """Return the rules of a file.

    Raises:
        InvalidInput: It cannot be read, or holds what is no rule.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _invalid(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(f"it has more than {MAX_FILE_BYTES:,} bytes")
    return read_rule_text(data.decode("utf-8", "replace"), sources)


def read_rule_text(text: str, sources: Mapping[str, ValueSource]) -> list[RuleDraft]:
    """Return the rules of a text.

    Raises:
        InvalidInput: It is no YAML, or holds what is no rule; which one is told.
    """
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a file is read

    try:
        document: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _invalid("it is not YAML") from error
    listed = document.get("rules") if isinstance(document, dict) and "rules" in document else document
    rules = [listed] if isinstance(listed, dict) else listed
    if not isinstance(rules, list) or not 1 <= len(rules) <= MAX_RULES_COUNT:
        raise _invalid(f"it holds no list of 1 to {MAX_RULES_COUNT:,} rules")
    found: list[RuleDraft] = []
    for number, given in enumerate(rules, start=1):
        if not isinstance(given, dict):
            raise _invalid(f"rule {number} is no mapping")
        try:
            found.append(read_rule(given, sources))
        except InvalidInput as error:
            raise InvalidInput(error.code, f"Rule {number}: {error.message}", error.hint) from error
    return found


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(
        "alert.file_invalid",
        f"The file of rules cannot be used: {what}.",
        "Write a list of rules, such as: - {name: duplicates, condition: duplicate_rate > 5%, severity: critical}.",
    )
