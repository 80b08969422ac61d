"""What ``referee pipeline plan`` prints, in the words of the page."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from referee.foundation.web.formats import show_text
from referee.pipelines.planning_preview import PipelinePreview
from referee.pipelines.planning_words import describe_preview

__all__ = ["print_preview"]

_PLACEHOLDERS_COUNT = 20


def print_preview(console: Console, preview: PipelinePreview) -> None:
    """Print what a pipeline file stands for."""
    console.print(Text(show_text(preview.name), style="bold"))
    for label, said in describe_preview(preview):
        console.print(Text.assemble((f"{label}: ", "dim"), show_text(said)), soft_wrap=True)
    for one in preview.placeholders[:_PLACEHOLDERS_COUNT]:
        console.print(Text(f"  {show_text(one.name)}: {show_text(one.reason)}"), soft_wrap=True)
    if preview.placeholders_count > _PLACEHOLDERS_COUNT:
        console.print(f"  and {preview.placeholders_count - _PLACEHOLDERS_COUNT} more")
