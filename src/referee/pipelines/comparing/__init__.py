"""Comparing models over the cells of a pipeline, or over analyses. This is the door.

Names are loaded when first asked for: NumPy and SciPy wait until somebody compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.pipelines.comparing.cells import CellFacts, CellSet
    from referee.pipelines.comparing.collecting import collect_analyses, collect_pipeline
    from referee.pipelines.comparing.computing import compute_comparison, tell_metric
    from referee.pipelines.comparing.metrics import METRICS, Metric
    from referee.pipelines.comparing.service import compare_analyses, compare_pipeline
    from referee.pipelines.comparing.views import ModelComparison

__all__ = [
    "METRICS",
    "CellFacts",
    "CellSet",
    "Metric",
    "ModelComparison",
    "collect_analyses",
    "collect_pipeline",
    "compare_analyses",
    "compare_pipeline",
    "compute_comparison",
    "tell_metric",
]

__getattr__ = open_door(
    __name__,
    {
        "cells": ("CellFacts", "CellSet"),
        "computing": ("compute_comparison", "tell_metric"),
        "collecting": ("collect_analyses", "collect_pipeline"),
        "metrics": ("METRICS", "Metric"),
        "service": ("compare_analyses", "compare_pipeline"),
        "views": ("ModelComparison",),
    },
)
