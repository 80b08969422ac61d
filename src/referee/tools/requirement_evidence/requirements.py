"""The requirements of a template as one list, with the name each one keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from referee.core.findings import JsonValue
from referee.core.requirements import Evidence
from referee.core.templates import Endpoint, Template

__all__ = ["Category", "Fact", "Requirement", "dump_template", "list_requirements"]

Category = Literal["backend", "frontend", "admin", "endpoint", "admin_endpoint"]

_MODES: Final[Mapping[str, tuple[Category, ...]]] = {
    "full": ("backend", "frontend", "admin", "endpoint", "admin_endpoint"),
    "backend_only": ("backend", "endpoint"),
    "frontend_only": ("frontend",),
    "admin_only": ("admin", "admin_endpoint"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that the app was asked for."""

    requirement_id: str
    category: Category
    text: str
    endpoint: Endpoint | None = None
    """The endpoint, when it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One piece of evidence, and the rule that it breaks when it speaks against the app."""

    evidence: Evidence
    rule_id: str = "requirement-not-met"
    endpoint: Endpoint | None = None
    """The endpoint that it was seen at, where it is about a requirement in words."""
    is_clumsy_refusal: bool = False
    """Whether somebody who may not was kept out by a crash: bad for the endpoint, but nobody got in."""


def list_requirements(template: Template, scan_mode: str = "full") -> tuple[Requirement, ...]:
    """Return the requirements of a mode: texts first, then endpoints in the template's order."""
    texts: tuple[tuple[Category, tuple[str, ...]], ...] = (
        ("backend", template.backend_requirements),
        ("frontend", template.frontend_requirements),
        ("admin", template.admin_requirements),
    )
    found = [
        Requirement(requirement_id=f"{category}-{number}", category=category, text=text)
        for category, entries in texts
        for number, text in enumerate(entries, start=1)
    ]
    used: dict[str, int] = {}
    for endpoint in template.endpoints:
        name = f"endpoint-{endpoint.method}-{endpoint.path}".lower()
        name = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
        used[name] = used.get(name, 0) + 1
        suffix = f"-{used[name]}" if used[name] > 1 else ""
        found.append(
            Requirement(
                requirement_id=name + suffix,
                category="admin_endpoint" if endpoint.is_admin else "endpoint",
                text=f"{endpoint.method} {endpoint.path}: {endpoint.description}".rstrip(": "),
                endpoint=endpoint,
            )
        )
    return tuple(one for one in found if one.category in _MODES.get(scan_mode, _MODES["full"]))


def dump_template(template: Template) -> JsonValue:
    """Return a template as ``parse_template`` reads it."""

    def dump(endpoint: Endpoint) -> JsonValue:
        return {
            "method": endpoint.method,
            "path": endpoint.path,
            "description": endpoint.description,
            "request": endpoint.request,
            "response": endpoint.response,
        }

    return {
        "slug": template.slug,
        "name": template.name,
        "category": template.category,
        "description": template.description,
        "backend_requirements": list(template.backend_requirements),
        "frontend_requirements": list(template.frontend_requirements),
        "admin_requirements": list(template.admin_requirements),
        "api_endpoints": [dump(endpoint) for endpoint in template.endpoints if not endpoint.is_admin],
        "admin_api_endpoints": [dump(endpoint) for endpoint in template.endpoints if endpoint.is_admin],
        "data_model": template.data_model,
    }
