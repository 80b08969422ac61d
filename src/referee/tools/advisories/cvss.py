"""The base score of a CVSS 3.0 or 3.1 vector.

Not here: CVSS 2 and 4. An advisory that has only those is judged by the word
its database gives (``records.py``). The severity of a score is in ``referee.tools.severity``.

Source:
    FIRST, Common Vulnerability Scoring System v3.1: Specification Document,
    section 7.1 (base equations) and appendix A (roundup).
"""

from __future__ import annotations

__all__ = ["compute_base_score"]

_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}
MAX_VECTOR_CHARACTERS = 300
"""All 22 metrics together need fewer than 150."""


def compute_base_score(vector: str) -> float:
    """Return the base score, 0.0 to 10.0, of a vector such as ``CVSS:3.1/AV:N/AC:L/…``.

    Temporal and environmental metrics are allowed and ignored.

    Raises:
        ValueError: It is not a vector of version 3.0 or 3.1, or a base metric is missing,
            repeated or unknown.
    """
    if len(vector) > MAX_VECTOR_CHARACTERS:
        raise ValueError(f"a vector of {len(vector)} characters")
    prefix, *parts = vector.strip().split("/")
    if prefix not in ("CVSS:3.0", "CVSS:3.1"):
        raise ValueError("not a CVSS 3 vector")
    metrics: dict[str, str] = {}
    for part in parts:
        name, separator, value = part.partition(":")
        if not separator or name in metrics:
            raise ValueError(f"metric {part!r} is malformed or repeated")
        metrics[name] = value
    try:
        weights = {name: options[metrics[name]] for name, options in _WEIGHTS.items()}
        is_scope_changed = {"U": False, "C": True}[metrics["S"]]
        privileges = _PRIVILEGES[metrics["S"]][metrics["PR"]]
    except KeyError as error:
        raise ValueError(f"base metric {error.args[0]!r} is missing or unknown") from error

    impact_base = 1 - (1 - weights["C"]) * (1 - weights["I"]) * (1 - weights["A"])
    if is_scope_changed:
        impact = 7.52 * (impact_base - 0.029) - 3.25 * (impact_base - 0.02) ** 15
    else:
        impact = 6.42 * impact_base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weights["AV"] * weights["AC"] * privileges * weights["UI"]
    total = 1.08 * (impact + exploitability) if is_scope_changed else impact + exploitability
    return _round_up(min(total, 10.0))


def _round_up(value: float) -> float:
    # Appendix A of the specification: in integers, so that floats cannot step past a tenth.
    scaled = round(value * 100_000)
    return scaled / 100_000 if scaled % 10_000 == 0 else (scaled // 10_000 + 1) / 10
