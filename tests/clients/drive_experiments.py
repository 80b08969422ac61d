"""Run by an environment of honeyhive 1.x: evaluates over datasets of both kinds, and compares the runs."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os
import sys

from honeyhive import HoneyHive, evaluate
from honeyhive._generated import models as m
from honeyhive.experiments import compare_runs, evaluator

CASES = [{"inputs": {"n": number}, "ground_truth": {"double": 2 * number}} for number in (1, 2, 3)]


def double(datapoint: dict) -> dict[str, int]:
    """Be right but for three."""
    number = datapoint["inputs"]["n"]
    return {"double": 2 * number if number != 3 else 0}


def double_well(datapoint: dict) -> dict[str, int]:
    """Be right."""
    return {"double": 2 * datapoint["inputs"]["n"]}


@evaluator
def is_right(outputs: dict, inputs: dict, ground_truth: dict) -> float:
    """Compare with what is known."""
    return 1.0 if outputs == ground_truth else 0.0


def describe(client: HoneyHive, summary: object) -> dict[str, object]:
    """Return what a run came to, as the summary and the server say it."""
    run = client.experiments.get_run(summary.run_id).evaluation
    metric = summary.metrics.get_metric("is_right")
    aggregate = metric["aggregate"] if isinstance(metric, dict) else metric.aggregate
    return {
        "status": [summary.status, run.status],
        "counts": [len(summary.datapoints), len(run.event_ids)],
        "names": summary.metrics.list_metrics(),
        "is_right": aggregate,
    }


def make_dataset(client: HoneyHive) -> str:
    """Return the id of a dataset with the cases, whose ground truth comes after them."""
    dataset_id = client.datasets.create(m.CreateDatasetRequest(name="doubles")).result.insertedId
    for case in CASES:
        request = m.CreateDatapointRequest(inputs=case["inputs"], linked_datasets=[dataset_id])
        (datapoint_id,) = client.datapoints.create(request).result.insertedIds
        client.datapoints.update(datapoint_id, m.UpdateDatapointRequest(ground_truth=case["ground_truth"]))
    return dataset_id


def run(function: object, **arguments: object) -> object:
    """Evaluate without printing a table."""
    return evaluate(
        function,
        evaluators=[is_right],
        api_key=os.environ["HH_API_KEY"],
        server_url=os.environ["HH_API_URL"],
        print_results=False,
        **arguments,
    )


def compare(client: HoneyHive, **where: object) -> dict[str, object]:
    """Evaluate twice, and compare."""
    old, new = (run(f, name=n, **where) for f, n in ((double, "old"), (double_well, "new")))
    compared = compare_runs(client, new.run_id, old.run_id, "default")
    delta = compared.get_metric_delta("is_right")
    events = client.experiments.compare_run_events(new.run_id, old.run_id, event_type="session")
    return {
        "old": describe(client, old),
        "new": describe(client, new),
        "datasets": [client.experiments.get_run(one.run_id).evaluation.dataset_id for one in (old, new)],
        "common": compared.common_datapoints,
        "delta": [delta["old_aggregate"], delta["new_aggregate"]],
        "improved": compared.list_improved_metrics(),
        "pairs": [len(events.events), events.totalEvents],
        "names": sorted(one.name for one in client.experiments.list_runs().evaluations),
        "deleted": [client.experiments.delete_run(one.run_id).deleted for one in (old, new)],
    }


def main() -> None:
    """Evaluate over cases of this program; over a dataset of the server too, where the version can."""
    client = HoneyHive(api_key=os.environ["HH_API_KEY"])
    seen = {"local": compare(client, dataset=CASES)}
    if "managed" in sys.argv:
        dataset_id = make_dataset(client)
        seen["managed"] = compare(client, dataset_id=dataset_id)
        seen["is_dataset_known"] = seen["managed"]["datasets"] == [dataset_id] * 2
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
