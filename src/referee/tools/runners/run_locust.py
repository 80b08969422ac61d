"""Put the addresses named on stdin under load with locust, one after another, and print what was measured.

Reads one JSON object: ``urls`` (each with ``url`` and ``headers``), ``users``,
``spawn_rate``, ``timeout_s``, ``warmup_requests``, ``run_time_s``,
``time_budget_s`` and ``samples_limit``. Prints one line per address (see
``load_recording.py``) and a last one ``{"kind": "end"}``.

Locust is used as a library, so one process serves all addresses and every single
request reaches the record, which locust's own files, with times rounded to two
digits, do not give. Time counts from the moment when all users are there.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import gevent
from gevent.event import Event
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS
from locust.env import Environment
from locust.event import Events

sys.path.append(str(Path(__file__).parent))

from load_recording import TICK_S, Recording, name_error, print_end, share_time

_FIRST_FAILED_STATUS = 400
_BAD_STATUS = "status"
"""What a failure says that came with a whole answer."""
_CHUNK_BYTES = 65_536


def _build_user_class(target, timeout_s):
    class Visitor(FastHttpUser):
        """Asks for one address again and again, without a pause."""

        host = target["url"]
        network_timeout = timeout_s
        connection_timeout = timeout_s

        @task
        def read(self):
            """Send one request; an answer below 400 that is whole is a success. Return whether it is whole."""
            sent_s = time.perf_counter()
            with self.client.get(
                self.host, headers=target["headers"], allow_redirects=False, stream=True, catch_response=True
            ) as response:
                error = _read_body(response, sent_s + timeout_s)
                response.request_meta["response_time"] = 1000 * (time.perf_counter() - sent_s)
                if error:
                    response.failure(error)
                elif response.status_code >= _FIRST_FAILED_STATUS:
                    response.failure(_BAD_STATUS)
                else:
                    response.success()
            return not error

    return Visitor


def _read_body(response, deadline_s):
    """Read the body and throw it away, so that one without an end fills no memory; return the error's kind."""
    if not response.status_code:
        return name_error(response.error)
    try:
        while response.read(_CHUNK_BYTES):
            if time.perf_counter() >= deadline_s:
                return "timeout"
    except FAILURE_EXCEPTIONS as trouble:
        return "timeout" if name_error(trouble) == "timeout" else "answer_cut"
    return ""


def _watch_loop(recording):
    while True:
        due_s = time.perf_counter() + TICK_S
        gevent.sleep(TICK_S)
        recording.add_lag(time.perf_counter() - due_s)


def _listen(events, recording):
    def keep(*, response_time, response, exception, **_others):
        ended_s, error = time.perf_counter(), str(exception or "")
        is_answered = error in ("", _BAD_STATUS)
        recording.add(
            ended_s - response_time / 1000, ended_s, response.status_code if is_answered else 0, error
        )

    events.request.add_listener(keep)


def _warm_up(user_class, requests, address_time_s):
    """Send a few requests that nobody listens to."""
    user = user_class(Environment(user_classes=[user_class], events=Events()))
    end_s = time.perf_counter() + address_time_s
    for _ in range(requests):
        if not user.read() or time.perf_counter() >= end_s:
            break


def _load(target, recording, job, address_time_s):
    """Load one address; return the CPU time at the end and whether locust warned of too much of it."""
    user_class = _build_user_class(target, job["timeout_s"])
    _warm_up(user_class, job["warmup_requests"], address_time_s)
    events = Events()
    _listen(events, recording)
    environment = Environment(user_classes=[user_class], events=events, stop_timeout=job["timeout_s"] + 1)
    runner = environment.create_local_runner()
    everybody = Event()

    def begin(**_others):
        recording.begin()
        everybody.set()

    events.spawning_complete.add_listener(begin)
    watcher = gevent.spawn(_watch_loop, recording)
    runner.start(job["users"], spawn_rate=job["spawn_rate"])
    everybody.wait(timeout=address_time_s)
    end_s = time.perf_counter() + address_time_s
    while time.perf_counter() < end_s and not recording.is_full:
        gevent.sleep(min(TICK_S, max(0.0, end_s - time.perf_counter())))
    cpu_s, is_warned = time.process_time(), runner.cpu_warning_emitted
    runner.quit()
    watcher.kill()
    return cpu_s, is_warned


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    for index, target, address_time_s in share_time(job):
        recording = Recording(index, job["samples_limit"])
        cpu_s, is_warned = _load(target, recording, job, address_time_s)
        recording.write(cpu_s=cpu_s, is_warned=is_warned)
    print_end()


main()
