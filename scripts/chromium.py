"""A headless Chromium of the system, for tests and screenshots."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

__all__ = ["ChromiumMissing", "open_chromium", "set_viewport"]

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
"""It runs as root too, and asks no host but the one that is tested."""


class ChromiumMissing(Exception):
    """Chromium or its driver is not installed."""


@contextmanager
def open_chromium() -> Iterator[webdriver.Chrome]:
    """Open a browser with an empty profile, and close it afterwards.

    Raises:
        ChromiumMissing: It is not installed.
    """
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise ChromiumMissing("Chromium and its driver are not installed.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield browser
        finally:
            browser.quit()


def set_viewport(browser: webdriver.Chrome, width_px: int, height_px: int) -> None:
    """Make the page as large as this, whatever the window is."""
    metrics = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
