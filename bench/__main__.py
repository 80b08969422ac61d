"""``python -m bench [NAME …]``: measure, print a table, keep the numbers."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

from bench.analyses import measure_analysis
from bench.analyzers import measure_analyzers
from bench.app_faults import measure_app_faults
from bench.apps import measure_apps
from bench.bills import measure_bill
from bench.comparisons import measure_pipeline_comparison
from bench.coverage import measure_comparison
from bench.dispatch import measure_dispatch
from bench.faults import measure_faults
from bench.findings import measure_findings
from bench.measuring import Measured, describe_machine, print_table, write_results
from bench.pipelines import (
    measure_original_pipeline,
    measure_pipeline_kills,
    measure_pipelines,
    measure_submitters,
)
from bench.processes import measure_command, measure_server
from tests.faults.app_rounds import KINDS

ON_DEMAND = ("faults", "app-faults", "pipelines", "pipeline-kills", "original-pipeline", "submitters")
"""Benches that take too long to run without being named."""


def main() -> int:
    """Run the benches that are named, or all but those on demand. Exit code 1 when a goal is missed."""
    benches: dict[str, Callable[[argparse.Namespace], list[Measured]]] = {
        "analysis": lambda _: measure_analysis(),
        "findings": lambda _: measure_findings(),
        "command": lambda _: measure_command(),
        "server": lambda _: measure_server(),
        "dispatch": lambda _: measure_dispatch(),
        "comparison": lambda _: [*measure_comparison(), *measure_pipeline_comparison()],
        "bill": lambda _: measure_bill(),
        "faults": _faults,
        "apps": lambda _: measure_apps(),
        "analyzers": lambda _: measure_analyzers(),
        "app-faults": _app_faults,
        "pipelines": lambda _: measure_pipelines(),
        "pipeline-kills": lambda given: measure_pipeline_kills(kills=given.kills, seed=given.seed),
        "original-pipeline": lambda given: measure_original_pipeline(
            rounds=given.rounds, seed=given.seed, submitters=given.submitters
        ),
        "submitters": lambda given: measure_submitters(threads=given.submitters, rounds=given.rounds),
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benches))
    parser.add_argument(
        "--kills", type=int, default=200, help="faults, pipeline-kills: how often something is killed"
    )
    parser.add_argument(
        "--rounds", type=int, default=200, help="app-faults, original-pipeline, submitters: how often"
    )
    parser.add_argument(
        "--submitters",
        type=int,
        default=200,
        help="original-pipeline, submitters: clients that send the same at the same time",
    )
    parser.add_argument("--kinds", default=",".join(KINDS), help="app-faults: which troubles, in turn")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(1 << 30),
        help="of everything random",
    )
    parser.add_argument(
        "--targets", default="server,server,worker", help="faults: server, worker, database, supervisor"
    )
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in benches:
            parser.error(f"there is no bench {name!r}; choose from {', '.join(benches)}")
    before = describe_machine()
    measured: list[Measured] = []
    for name in arguments.names or [name for name in benches if name not in ON_DEMAND]:
        print(f"{name} …", file=sys.stderr, flush=True)
        measured += benches[name](arguments)
    after = describe_machine()
    print_table(measured, before, after)
    path = write_results("-".join(arguments.names) or "all", measured, before, after)
    print(f"Kept in {path}.", file=sys.stderr)
    return 1 if any(one.is_met is False for one in measured) else 0


def _faults(arguments: argparse.Namespace) -> list[Measured]:
    return measure_faults(
        kills=arguments.kills, seed=arguments.seed, targets=tuple(arguments.targets.split(","))
    )


def _app_faults(arguments: argparse.Namespace) -> list[Measured]:
    return measure_app_faults(
        rounds=arguments.rounds, seed=arguments.seed, kinds=tuple(arguments.kinds.split(","))
    )


if __name__ == "__main__":
    sys.exit(main())
