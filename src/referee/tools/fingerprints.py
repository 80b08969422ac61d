"""What makes a finding the same one next time, and what makes two tools' findings the same problem.

A fingerprint (version 1) is made of the tool, the rule, the path, the text of the code line
without white space, the tool's identity fields, and which of several equal ones it is. No line
number, message or severity: they change while the problem stays.

A cluster key joins findings of different tools: the same path, line and family of CWE. The
family matters because tools disagree on the number: one ``eval`` is CWE-78 to bandit and
CWE-95 to others.

Source:
    SonarQube's issue tracking (rule and whitespace-free line hash); SARIF 2.1.0, section 3.27.17
    (partialFingerprints must not hold an absolute line number).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from referee.core.findings import ToolFinding
from referee.tools.contract import ToolDescription

__all__ = [
    "FINGERPRINT_VERSION",
    "CodeLineProvider",
    "compute_cluster_key",
    "compute_fingerprint",
    "compute_fingerprints",
    "find_cwe_family",
    "normalise_code_line",
]

FINGERPRINT_VERSION: Final = 1

CodeLineProvider = Callable[[str, int], "str | None"]
"""``code_line(path, line)``: the text of a line counted from 1, None when there is no such line."""


def normalise_code_line(line: str) -> str:
    """Return the text without any white space, so that re-indenting keeps a fingerprint."""
    return "".join(line.split())


def compute_fingerprint(
    tool: str,
    rule_id: str,
    path: str,
    code_line: str,
    *,
    occurrence_index: int = 0,
    identity: Sequence[str] = (),
) -> str:
    """Return the fingerprint of a finding, 64 hexadecimal digits.

    Args:
        tool: Name of the tool.
        rule_id: The rule that matched.
        path: Path of the source file; empty for a finding about the whole subject.
        code_line: Text of the finding's first line; empty where it is no part of the identity.
        occurrence_index: Counts from 0, in the file's order, the findings that are equal in all else.
        identity: Values of the tool's identity fields.
    """
    version = f"v{FINGERPRINT_VERSION}"
    parts = [version, tool, rule_id, path, normalise_code_line(code_line), occurrence_index, *identity]
    # JSON keeps the parts apart: no value can be mistaken for the end of another.
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()


def compute_fingerprints(
    description: ToolDescription, findings: Sequence[ToolFinding], code_line: CodeLineProvider
) -> tuple[str, ...]:
    """Return the fingerprint of each finding of one report, in the order given, all different.

    Findings that are equal in all that counts are numbered by their place (line, column, message),
    so the order in which a tool prints them does not matter.
    """
    lines = [_line_of(description, finding, code_line) for finding in findings]
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, finding in enumerate(findings):
        path = finding.location.path if finding.location else ""
        groups[finding.rule_id, path, normalise_code_line(lines[index]), _identity_of(finding)].append(index)
    fingerprints = [""] * len(findings)
    for members in groups.values():
        members.sort(key=lambda index: _place_of(findings[index]))
        for occurrence_index, index in enumerate(members):
            finding = findings[index]
            fingerprints[index] = compute_fingerprint(
                description.name,
                finding.rule_id,
                finding.location.path if finding.location else "",
                lines[index],
                occurrence_index=occurrence_index,
                identity=_identity_of(finding),
            )
    return tuple(fingerprints)


def compute_cluster_key(path: str | None, line: int | None, cwe_ids: Iterable[int]) -> str | None:
    """Return the key that findings of different tools about the same problem share, None when there is none.

    Args:
        path: Path of the finding's source file.
        line: Its first line.
        cwe_ids: CWE numbers of the finding, or of its rule when the finding names none.
    """
    family = find_cwe_family(cwe_ids)
    if path is None or line is None or family is None:
        return None
    return hashlib.sha256(json.dumps(["cluster-v1", path, line, family]).encode("ascii")).hexdigest()


def find_cwe_family(cwe_ids: Iterable[int]) -> str | None:
    """Return the family of the lowest CWE number that has one."""
    return next((CWE_FAMILIES[number] for number in sorted(cwe_ids) if number in CWE_FAMILIES), None)


def _line_of(description: ToolDescription, finding: ToolFinding, code_line: CodeLineProvider) -> str:
    location = finding.location
    if not description.has_line_identity or location is None or location.start_line is None:
        return ""
    return code_line(location.path, location.start_line) or ""


def _identity_of(finding: ToolFinding) -> tuple[str, ...]:
    """Return the identity fields, with the place of the running app where there is one."""
    return finding.identity if finding.address is None else (*finding.identity, str(finding.address))


def _place_of(finding: ToolFinding) -> tuple[int, int, str]:
    location = finding.location
    return (
        (location.start_line or 0) if location else 0,
        (location.start_column or 0) if location else 0,
        finding.message,
    )


_FAMILIES: Final[dict[str, tuple[int, ...]]] = {
    "code_injection": (74, 77, 78, 88, 94, 95, 96, 97, 98, 470, 624, 917, 1336),
    "sql_injection": (89, 90, 91, 564, 643, 652, 943),
    "cross_site_scripting": (79, 80, 81, 82, 83, 84, 85, 86, 87, 116, 692, 1021),
    "path_traversal": (22, 23, 24, 35, 36, 37, 38, 39, 40, 59, 73, 434, 641),
    "deserialization": (502, 915, 1321),
    "secrets": (256, 257, 259, 260, 312, 313, 321, 522, 540, 547, 615, 798),
    "weak_cryptography": (261, 310, 323, 324, 325, 326, 327, 328, 329, 330, 331, 335, 337, 338, 340, 347,
        759, 760, 916),
    "transport": (295, 296, 297, 298, 299, 300, 311, 319, 322, 523, 757, 940),
    "request_forgery": (352, 918),
    "open_redirect": (601,),
    "xml": (611, 776, 827),
    "cookies": (539, 565, 614, 1004, 1275),
    "cross_origin": (346, 942, 1385),
    "information_exposure": (200, 201, 209, 210, 211, 215, 489, 497, 532, 538, 548, 668),
    "access_control": (250, 264, 269, 276, 284, 285, 287, 288, 289, 290, 294, 306, 307, 384, 613, 639,
        640, 732, 862, 863),
    "resource_exhaustion": (185, 400, 404, 407, 409, 625, 770, 772, 834, 835, 1050, 1333),
    "temporary_files": (377, 378, 379),
    "network_exposure": (605, 1327),
    "error_handling": (248, 252, 253, 390, 391, 392, 396, 397, 617, 703, 754, 755),
    "unused_code": (561, 563, 570, 571, 1164),
    "types": (628, 686, 704, 843, 1287),
    "complexity": (1041, 1074, 1075, 1080, 1120, 1121),
    "outdated_component": (477, 937, 1035, 1104, 1395),
}  # fmt: skip

CWE_FAMILIES: Final[dict[int, str]] = {
    number: family for family, numbers in _FAMILIES.items() for number in numbers
}
"""Family by CWE number: numbers that tools give to the same mistake."""
