"""A trace of many spans in a browser: from the navigation until its tree can be used, and what a click then takes."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from bench.measuring import Measured, temporary_folder
from bench.otlp_load import Watched, send_spans
from bench.otlp_spans import make_large_trace
from bench.trace_servers import start_referee
from scripts.chromium import open_chromium, set_viewport
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

__all__ = ["measure_trace_page"]

OPENED = 7
WIDTH_PX, HEIGHT_PX = 1_300, 900
WAIT_S = 60.0
GOAL_MS = 2_000.0
USABLE = """
const done = arguments[arguments.length - 1];
const look = () => {
  const rows = document.querySelectorAll("#tree-rows tr[data-row]");
  if (document.readyState !== "complete" || !window.htmx || rows.length === 0) {
    requestAnimationFrame(look);
    return;
  }
  // The second frame begins after the first one was painted.
  requestAnimationFrame(() => requestAnimationFrame(() => done({
    at_ms: performance.timeOrigin + performance.now(),
    rows: rows.length,
    nodes: document.getElementsByTagName("*").length,
    bytes: performance.getEntriesByType("navigation")[0].transferSize,
    answered_ms: performance.getEntriesByType("navigation")[0].responseEnd,
  })));
};
look();
"""


def measure_trace_page(*, spans: int, seed: int) -> list[Measured]:
    """Open the page of one trace of ``spans`` spans in Chromium, as a person does, and use it."""
    print(f"seed {seed}, one trace of {spans:,} spans", file=sys.stderr)
    trace = make_large_trace(spans, per_request=1_000, seed=seed)
    with temporary_folder() as folder, start_referee(folder) as server:
        watched = Watched(server.list_processes)
        load = send_spans(server.url, server.headers, trace.bodies, watched)
        if load.spans_count != spans:
            raise AssertionError(f"Referee took {load.spans_count} spans of {spans}")
        address = f"{server.base}/ui/traces/{trace.trace_ids[0]}"
        with open_chromium() as browser:
            set_viewport(browser, WIDTH_PX, HEIGHT_PX)
            browser.set_script_timeout(WAIT_S)
            return _measure(browser, address, spans)


def _measure(browser: Chrome, address: str, spans: int) -> list[Measured]:
    opened = [_open(browser, address) for _ in range(OPENED)]
    first, later = opened[0], [one["took_ms"] for one in opened[1:]]
    return [
        _tell(f"trace of {spans:,} spans: usable after, first time", first["took_ms"], opened=opened),
        _tell("… median of the next", statistics.median(later)),
        _tell("… its panel of a span, from the click", _click(browser, _open_panel)),
        _tell("… the next rows, from scrolling there", _click(browser, _scroll)),
        _tell("… folded to two levels, from the click", _click(browser, _fold)),
        _tell("… critical path, from the navigation", _open_view(browser, f"{address}?view=critical")),
        _tell("… span events, from the navigation", _open_view(browser, f"{address}?view=log")),
    ]


def _tell(name: str, value: float, **details: object) -> Measured:
    return Measured(name=name, value=value, unit="ms", goal=GOAL_MS, details=details)


def _open(browser: Chrome, address: str) -> dict[str, float]:
    browser.get("about:blank")
    begun_ms = time.time() * 1_000
    browser.get(address)
    seen: dict[str, float] = browser.execute_async_script(USABLE)  # type: ignore[no-untyped-call]  # selenium has no types
    return {**seen, "took_ms": seen["at_ms"] - begun_ms}


def _open_view(browser: Chrome, address: str) -> float:
    browser.get("about:blank")
    begun_s = time.monotonic()
    browser.get(address)
    _wait(browser, lambda page: page.find_elements(By.CSS_SELECTOR, "#tree tr[data-row]"))
    return (time.monotonic() - begun_s) * 1_000


def _click(browser: Chrome, act: Callable[[Chrome], Callable[[Chrome], object]]) -> float:
    begun_s = time.monotonic()
    _wait(browser, act(browser))
    return (time.monotonic() - begun_s) * 1_000


def _open_panel(browser: Chrome) -> Callable[[Chrome], object]:
    browser.find_elements(By.CSS_SELECTOR, "#tree-rows a.row-preview")[5].click()
    return lambda page: page.find_elements(By.CSS_SELECTOR, "#panel:not(.is-empty) h2")


def _scroll(browser: Chrome) -> Callable[[Chrome], object]:
    held = len(browser.find_elements(By.CSS_SELECTOR, "#tree-rows tr[data-row]"))
    browser.execute_script("document.querySelector('.more-rows').scrollIntoView()")  # type: ignore[no-untyped-call]  # selenium has no types
    return lambda page: len(page.find_elements(By.CSS_SELECTOR, "#tree-rows tr[data-row]")) > held


def _fold(browser: Chrome) -> Callable[[Chrome], object]:
    chip = browser.find_elements(By.CSS_SELECTOR, ".tree-controls a.chip")[1]
    browser.execute_script("arguments[0].click()", chip)  # type: ignore[no-untyped-call]  # selenium has no types
    return lambda page: "levels=" in page.current_url


def _wait(browser: Chrome, condition: Callable[[Chrome], object]) -> None:
    WebDriverWait(browser, WAIT_S, poll_frequency=0.01).until(condition)
