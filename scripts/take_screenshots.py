"""Take the screenshots of the documentation from a running server that has analysed the sample apps.

Usage: ``python -m scripts.take_screenshots [--url URL] [--output FOLDER]``, after ``make run``. It starts one
more analysis, to show it while it runs. ``pngquant`` makes the files small where it is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from scripts.chromium import open_chromium, set_viewport
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

ROOT: Final = Path(__file__).parents[1]
WIDTH_PX: Final = 1440
HEIGHT_PX: Final = 900
MAX_FILE_BYTES: Final = 150_000
OPEN: Final = "is:open suppressed:no"
THEMES: Final = ("light", "dark")
END_TIMEOUT_S: Final = 600
SHOWN_TOOL_RUNS: Final = range(2, 6)
"""How many tools have ended when an analysis is shown as running."""


class Photographer:
    """A browser before a server."""

    def __init__(self, browser: Chrome, client: httpx.Client, output: Path) -> None:
        self.browser = browser
        self.client = client
        self.output = output

    def take(self, name: str, path: str, themes: tuple[str, ...] = THEMES) -> None:
        """Show a page in each theme and keep what is seen."""
        for theme in themes:
            self.show(path, theme)
            file = self.output / f"{name}-{theme}.png"
            file.write_bytes(self.browser.get_screenshot_as_png())
            shrink(file)
            print(f"{file.stat().st_size:>8,} bytes  {file.name}")

    def show(self, path: str, theme: str) -> None:
        """Open a page and wait until it is drawn."""
        set_viewport(self.browser, WIDTH_PX, HEIGHT_PX)
        url = str(self.client.base_url).rstrip("/")
        if not self.browser.current_url.startswith(url):
            self.browser.get(f"{url}/problems")
        self.browser.add_cookie({"name": "referee_theme", "value": theme})
        self.browser.get(url + path)
        is_drawn = "return document.readyState === 'complete' && document.fonts.status === 'loaded'"
        WebDriverWait(self.browser, 10).until(lambda browser: browser.execute_script(is_drawn))

    def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON of an address."""
        return self.client.get(path, params=query).raise_for_status().json()


def shrink(file: Path) -> None:
    """Reduce a file to 256 colours, and fail when it stays too large for a repository."""
    program = shutil.which("pngquant")
    if program is not None:
        subprocess.run(
            [program, "--force", "--strip", "--speed", "1", "--output", file, "256", file], check=True
        )
    if file.stat().st_size > MAX_FILE_BYTES:
        raise SystemExit(f"{file} has more than {MAX_FILE_BYTES:,} bytes. Install pngquant and try again.")


def take_deep(photographer: Photographer) -> None:
    """Show the latest deep analysis: all its tools, and how its app answered under load."""
    deep = photographer.get("/v1/analyses", filter="profile:deep")["items"]
    if not deep:
        raise SystemExit("No analysis is deep. Run `make run` first.")
    address = f"/ui/analyses/{deep[0]['analysis_id']}"
    photographer.take("analysis-deep", address)
    photographer.take("performance", f"{address}/performance")
    photographer.take("requirements", f"{address}/requirements")


def take_running(photographer: Photographer, path: str) -> str:
    """Start an analysis that uses no cached result, show it in each theme before it ends, and return its id."""
    started = photographer.client.post("/v1/analyses", json={"path": path, "is_cache_allowed": False})
    analysis_id = started.raise_for_status().json()["analysis_id"]
    address = f"/v1/analyses/{analysis_id}"
    wait_until(lambda: photographer.get(address)["ended_count"] in SHOWN_TOOL_RUNS)
    photographer.take("analysis-running", f"/ui/analyses/{analysis_id}")
    wait_until(lambda: photographer.get(address)["finished_at"] is not None)
    return str(analysis_id)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Look until something is so."""
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while not is_true():
        if time.monotonic() > deadline_s:
            raise SystemExit("The analysis does not come to its end.")
        time.sleep(0.1)


def take_all(photographer: Photographer) -> None:
    """Take every screenshot."""
    take_deep(photographer)
    subjects = photographer.get("/v1/analyses", filter="profile:deep")["items"]
    busiest = max(subjects, key=lambda one: one["findings"]["high"])
    findings = photographer.get("/v1/findings", filter=f"{OPEN} severity:>=high tool:bandit")
    analysis_id = take_running(photographer, busiest["subject"]["path"])
    photographer.take("overview", "/ui/")
    photographer.take("analysis", f"/ui/analyses/{analysis_id}")
    photographer.take("findings", f"/ui/findings?item={findings['items'][0]['finding_id'].replace('-', '')}")
    photographer.take(
        "finding", f"/ui/findings/{findings['items'][1]['finding_id']}?{urlencode({'filter': OPEN})}"
    )
    photographer.take("apps", "/ui/apps")
    photographer.take("system", "/ui/system")


def main() -> None:
    """Read the arguments and take the screenshots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8765", help="address of the server")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "screenshots", help="folder")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (
        httpx.Client(base_url=arguments.url, timeout=60, trust_env=False) as client,
        open_chromium() as browser,
    ):
        take_all(Photographer(browser, client, arguments.output))


if __name__ == "__main__":
    main()
