"""A second process that writes to the table of a running backfill: new rows, changed rows, columns set by itself.

``python other_writer.py ADDRESS LAST_KEY`` says ready, writes until its standard input closes, and then prints what it
wrote and how long each write waited, as JSON.
"""

from __future__ import annotations

import json
import select
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, TypeAlias

import psycopg

Do: TypeAlias = Callable[[str], Any]


def write(address: str, last_key: int) -> dict[str, Any]:
    """Write from the end of the table towards its beginning, so that rows are met that the run has yet to reach."""
    told: dict[str, Any] = {"inserted": [], "set": [], "changed": [], "waits_s": []}
    with _connect(address) as (do, transaction):
        print("ready", flush=True)
        number = 0
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            began = time.monotonic()
            with transaction():
                key = 1_000_000 + number
                do(
                    "INSERT INTO task_audits (audit_id, task_id, event_type, payload, source_event_ts)"
                    f" VALUES ({key}, 't', 'SUPERVISOR_ALLOWED', '{{}}', 'inserted {number}')"
                )
                set_key, changed_key = last_key - 2 * number, last_key - 2 * number - 1
                do(f"UPDATE task_audits SET source_event_ts = 'set {number}' WHERE audit_id = {set_key}")
                do(f"UPDATE task_audits SET task_id = 'changed {number}' WHERE audit_id = {changed_key}")
            told["waits_s"].append(time.monotonic() - began)
            told["inserted"].append([key, f"inserted {number}"])
            told["set"].append([set_key, f"set {number}"])
            told["changed"].append([changed_key, f"changed {number}"])
            number += 1
            if 2 * number + 1 >= last_key:
                break
    return told


@contextmanager
def _connect(address: str) -> Iterator[tuple[Do, Callable[[], AbstractContextManager[Any]]]]:
    if address.startswith("postgres"):
        with psycopg.connect(address, autocommit=True) as server:
            yield (lambda sql: server.execute(sql.encode())), server.transaction
        return
    with closing(sqlite3.connect(address, timeout=60, isolation_level=None)) as file:

        def begin() -> AbstractContextManager[Any]:
            file.execute("BEGIN IMMEDIATE")
            return file

        yield file.execute, begin


if __name__ == "__main__":
    print(json.dumps(write(sys.argv[1], int(sys.argv[2]))))
