"""What the bill of materials of a large app takes."""

from __future__ import annotations

import json
import time

from bench.measuring import Measured, temporary_folder
from tests.apps.bill_of_materials.test_bill_of_materials import render, write

__all__ = ["measure_bill"]

PACKAGES_COUNT = 3_000


def measure_bill() -> list[Measured]:
    """Make the bill of a lock file with 3,000 packages that need five others each."""
    names = [f"p{number}" for number in range(PACKAGES_COUNT)]
    packages: dict[str, object] = {"": {"dependencies": dict.fromkeys(names, "1")}}
    for number, name in enumerate(names):
        needed = [names[(number * 7 + offset) % PACKAGES_COUNT] for offset in range(5)]
        packages[f"node_modules/{name}"] = {"version": "1.0.0", "dependencies": dict.fromkeys(needed, "1")}
    with temporary_folder() as folder:
        write(folder / "app", {"package-lock.json": json.dumps({"packages": packages})})
        begun_s = time.perf_counter()
        document = json.loads(render(folder / "app", folder / "snapshots"))
        took_s = time.perf_counter() - begun_s
    assert len(document["components"]) == PACKAGES_COUNT
    return [Measured(name="bill of materials of 3,000 packages", value=took_s, unit="s", goal=5)]
