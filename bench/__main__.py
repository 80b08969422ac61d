"""``python -m bench [NAME …]``: measure, print a table, keep the numbers."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

from bench.alert_rules import measure_alert_latency, measure_alert_rules
from bench.alerts import measure_alert_kills
from bench.analyses import measure_analysis
from bench.analyzers import measure_analyzers
from bench.app_faults import measure_app_faults
from bench.apps import measure_apps
from bench.artifacts import measure_artifacts
from bench.audit import measure_audit
from bench.backfills import measure_backfill_kills, measure_backfills
from bench.balls import measure_balls
from bench.bills import measure_bill
from bench.comparisons import measure_pipeline_comparison
from bench.coverage import measure_comparison
from bench.dispatch import measure_dispatch
from bench.faults import measure_faults
from bench.findings import measure_findings
from bench.many_machines import measure_many_machines
from bench.measuring import Measured, describe_machine, print_table, write_results
from bench.peer_angles import measure_peer_angles
from bench.peer_videos import measure_peer_videos
from bench.pipelines import (
    measure_original_pipeline,
    measure_pipeline_kills,
    measure_pipelines,
    measure_submitters,
)
from bench.processes import measure_command, measure_server
from bench.result_imports import measure_result_imports
from bench.trace_faults import measure_trace_kills, measure_trace_reads
from bench.trace_pages import measure_trace_page
from bench.trace_queries import measure_trace_queries
from bench.traces import measure_traces
from bench.video_kills import measure_video_kills
from bench.videos import measure_videos
from bench.workers import measure_workers
from tests.faults.app_rounds import KINDS

ON_DEMAND = (
    "faults",
    "app-faults",
    "pipelines",
    "pipeline-kills",
    "original-pipeline",
    "submitters",
    "traces",
    "trace-queries",
    "trace-page",
    "trace-kills",
    "trace-reads",
    "backfills",
    "backfill-kills",
    "artifacts",
    "many-machines",
    "audit",
    "imports",
    "alert-kills",
    "alert-latency",
    "alert-rules",
    "video-kills",
    "videos",
    "sports2d",
    "workers",
    "video-peer",
    "balls",
)
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
        "many-machines": lambda _: measure_many_machines(),
        "artifacts": lambda _: measure_artifacts(),
        "audit": lambda given: measure_audit(rows=given.rows),
        "imports": lambda _: measure_result_imports(),
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
        "traces": lambda given: measure_traces(
            spans=given.spans,
            peer_spans=given.peer_spans,
            has_peers=given.peers,
            per_request=given.per_request,
        ),
        "backfills": lambda given: measure_backfills(rows=given.rows),
        "backfill-kills": lambda given: measure_backfill_kills(
            kills=given.kills, rows=given.rows, seed=given.seed
        ),
        "trace-queries": lambda given: measure_trace_queries(spans=given.spans, folder=given.folder),
        "trace-page": lambda given: measure_trace_page(spans=given.page_spans, seed=given.seed),
        "trace-kills": lambda given: measure_trace_kills(kills=given.kills, seed=given.seed),
        "trace-reads": lambda given: measure_trace_reads(writes=given.writes, seed=given.seed),
        "alert-kills": lambda given: measure_alert_kills(
            crossings=given.crossings, kills=given.kills, seed=given.seed
        ),
        "alert-latency": lambda _: measure_alert_latency(),
        "alert-rules": lambda given: measure_alert_rules(spans=given.spans),
        "video-kills": lambda given: measure_video_kills(kills=given.kills, seed=given.seed),
        "submitters": lambda given: measure_submitters(threads=given.submitters, rounds=given.rounds),
        "videos": lambda given: measure_videos(chunks=given.chunks),
        "sports2d": lambda _: measure_peer_angles(),
        "workers": lambda _: measure_workers(),
        "balls": lambda given: measure_balls(trials=given.trials),
        "video-peer": lambda given: measure_peer_videos(seconds=given.seconds),
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benches))
    parser.add_argument(
        "--kills",
        type=int,
        default=200,
        help="faults, pipeline-kills, trace-kills, alert-kills, video-kills: how often something is killed",
    )
    parser.add_argument(
        "--rounds", type=int, default=200, help="app-faults, original-pipeline, submitters: how often"
    )
    parser.add_argument(
        "--first-round", type=int, default=1, help="app-faults: where a part of a long run begins"
    )
    parser.add_argument(
        "--submitters",
        type=int,
        default=200,
        help="original-pipeline, submitters: clients that send the same at the same time",
    )
    parser.add_argument(
        "--spans", type=int, default=100_000, help="traces, trace-queries, alert-rules: how many Referee gets"
    )
    parser.add_argument(
        "--folder", type=Path, help="trace-queries: where the filled store stays for the next run"
    )
    parser.add_argument(
        "--crossings", type=int, default=10_000, help="alert-kills: changes of state that the values ask for"
    )
    parser.add_argument("--page-spans", type=int, default=20_000, help="trace-page: spans of the one trace")
    parser.add_argument("--per-request", type=int, default=500, help="traces: spans of one request")
    parser.add_argument(
        "--peers", action="store_true", help="traces: Phoenix and MLflow too, installed at the first use"
    )
    parser.add_argument("--peer-spans", type=int, default=10_000, help="traces: how many each of them gets")
    parser.add_argument(
        "--rows",
        type=int,
        default=1_000_000,
        help="audit, backfills, backfill-kills: rows of the largest table",
    )
    parser.add_argument(
        "--writes", type=int, default=10_000, help="trace-reads: how many are created and read"
    )
    parser.add_argument(
        "--chunks", type=int, default=4, help="videos: how many chunks of the deep pass, two at a time"
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="video-peer: of the clip that both analyse"
    )
    parser.add_argument("--trials", type=int, default=10, help="balls: deliveries of each case")
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
        rounds=arguments.rounds,
        seed=arguments.seed,
        first_round=arguments.first_round,
        kinds=tuple(arguments.kinds.split(",")),
    )


if __name__ == "__main__":
    sys.exit(main())
