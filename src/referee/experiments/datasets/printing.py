"""What the command line prints of datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from referee.experiments.datasets.views import Datapoint, Dataset
from referee.foundation.web.formats import format_instant, show_text, truncate_text

__all__ = ["print_dataset", "print_datasets"]

_SHOWN_CHARACTERS = 80


def print_datasets(console: Console, datasets: Sequence[Dataset]) -> None:
    """Print datasets as a table."""
    if not datasets:
        console.print("No datasets. Make one with `referee dataset create NAME`.", markup=False)
        return
    table = Table("dataset", "name", "datapoints", "version", "created")
    for one in datasets:
        cells = (
            str(one.dataset_id),
            show_text(one.name),
            f"{one.datapoints_count:,}",
            str(one.version),
            format_instant(one.created_at),
        )
        table.add_row(*map(Text, cells))
    console.print(table)


def print_dataset(
    console: Console, dataset: Dataset, datapoints: Sequence[Datapoint], version: int | None
) -> None:
    """Print a dataset and some of its datapoints."""
    console.print(
        Text(f"{show_text(dataset.name)}, version {version or dataset.version} of {dataset.version}")
    )
    table = Table("datapoint", "inputs", "ground truth")
    for one in datapoints:
        cells = (str(one.datapoint_id), _say(one.content.inputs), _say(one.content.ground_truth))
        table.add_row(*map(Text, cells))
    console.print(table)


def _say(value: object) -> str:
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return show_text(truncate_text(text, _SHOWN_CHARACTERS))
