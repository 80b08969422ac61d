"""The Jinja environment: strict, escaping, and with the filters that pages use.

Undefined names fail, everything that is printed is escaped, and every string
passes ``show_text`` first, so that control and direction characters from an
app, a tool or a file name are visible in each page without anyone asking.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
)
from markupsafe import Markup

from referee.core.clock import Clock
from referee.foundation.web import formats
from referee.foundation.web.assets import Assets
from referee.foundation.web.badges import SEVERITY_LETTERS, describe_severity, describe_state
from referee.foundation.web.charts import (
    render_bar_chart,
    render_chart_definitions,
    render_histogram,
    render_interval_chart,
    render_line_chart,
    render_sparkline,
    render_timeline,
)
from referee.foundation.web.code import render_code

__all__ = ["Templates"]


class Templates:
    """Finds and renders templates of the shell and of the registered rooms."""

    def __init__(self, clock: Clock, assets: Assets) -> None:
        self._rooms: dict[str, BaseLoader] = {}
        own = FileSystemLoader(Path(__file__).parent / "templates")
        self.environment = Environment(
            loader=ChoiceLoader([own, PrefixLoader(self._rooms)]),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        )
        self.environment.filters.update(_build_filters(clock))
        self.environment.globals.update(
            asset_url=assets.url,
            icon=_IconMaker(assets),
            describe_state=describe_state,
            describe_severity=describe_severity,
            severity_letters=SEVERITY_LETTERS,
            chart_definitions=render_chart_definitions,
            bar_chart=render_bar_chart,
            histogram=render_histogram,
            interval_chart=render_interval_chart,
            line_chart=render_line_chart,
            sparkline=render_sparkline,
            timeline=render_timeline,
            render_code=render_code,
            with_query=with_query,
        )

    def register(self, package: str) -> None:
        """Make ``templates/x.html`` of a package renderable as ``<last part of its name>/x.html``."""
        prefix = package.rsplit(".", 1)[-1]
        if prefix in self._rooms:
            raise ValueError(f"the templates of {prefix} are already registered")
        self._rooms[prefix] = PackageLoader(package)

    def render(self, template: str, context: dict[str, Any]) -> str:
        """Return the rendered text."""
        return self.environment.get_template(template).render(context)


def with_query(path: str, /, **parameters: object) -> str:
    """Return ``path`` with the given query parameters; those that are None or empty are left out."""
    kept = [(name, str(value)) for name, value in parameters.items() if value is not None and value != ""]
    return f"{path}?{urlencode(kept)}" if kept else path


def _finalize(value: object) -> object:
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return formats.show_text(value)
    return "" if value is None else value


def _build_filters(clock: Clock) -> dict[str, Any]:
    def ago(value: datetime | None) -> Markup:
        if value is None:
            return Markup('<span class="quiet">{}</span>').format(formats.UNKNOWN)
        return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(
            value.isoformat(), formats.format_instant(value), formats.format_relative(value, clock.now())
        )

    return {
        "ago": ago,
        "bytes": formats.format_bytes,
        "count": formats.format_count,
        "duration": formats.format_duration,
        "heading": formats.format_heading,
        "instant": formats.format_instant,
        "milliseconds": formats.format_milliseconds,
        "number": formats.format_number,
        "period": formats.format_period,
        "percent": formats.format_share,
        "shorten": formats.truncate_text,
        "short_id": formats.shorten_id,
        "words": formats.format_words,
        "visible": formats.show_text,
    }


class _IconMaker:
    """``icon(name)`` in a template: one symbol of the sprite, hidden from screen readers."""

    def __init__(self, assets: Assets) -> None:
        self._sprite_url = assets.url("icons.svg")

    def __call__(self, name: str, label: str = "") -> Markup:
        if label:
            return Markup('<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>').format(
                label, self._sprite_url, name
            )
        return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>').format(
            self._sprite_url, name
        )
