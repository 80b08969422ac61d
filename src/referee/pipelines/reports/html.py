"""A report as one HTML file that stands by itself: style and drawings inside, no script, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from markupsafe import Markup

from referee.core.clock import SystemClock
from referee.foundation import web
from referee.foundation.web.assets import Assets
from referee.foundation.web.formats import show_text
from referee.foundation.web.templating import Templates
from referee.pipelines.reports.document import Document, format_cell
from referee.pipelines.reports.drawing import draw_chart

__all__ = ["render_html"]

_STYLES: Final = (
    Path(web.__file__).parent / "static" / "tokens.css",
    Path(__file__).parent / "templates" / "report.css",
)


_FRAME: Final = Markup(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
)
"""No page of the server: its policy has no word for a style inside, and a file has nothing else."""


def render_html(document: Document) -> bytes:
    """Return the file. Blocking."""
    templates = Templates(SystemClock(), Assets())
    templates.register("referee.pipelines.reports")
    module = templates.environment.get_template("reports/blocks.html").module
    body = module.draw_document(document, draw_chart, format_cell)  # type: ignore[attr-defined]  # a macro
    style = Markup("\n".join(path.read_text("utf-8") for path in _STYLES))  # noqa: S704 - files of ours
    return _FRAME.format(title=show_text(document.title), style=style, body=body).encode()
