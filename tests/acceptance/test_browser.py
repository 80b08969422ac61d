"""A person's path through the pages: real server, real tools, real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripts.chromium import ChromiumMissing, open_chromium, set_viewport
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from tests.acceptance.conftest import Referee
from tests.programs import skip_for_system

pytestmark = pytest.mark.apt

AXE = "axe-core@4.14.1"
OPEN_FILTER = "is:open suppressed:no"
CODE = """import hashlib
import subprocess


def run(name):
    return subprocess.call("ls " + name, shell=True)


def digest(text):
    return hashlib.md5(text.encode()).hexdigest()


def read(name):
    return eval(name)


unused = subprocess.call("date", shell=True)  # nosec
"""
WIDTH_PX, HEIGHT_PX, NARROW_PX = 1280, 900, 360


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    """One browser for this file."""
    try:
        with open_chromium() as opened:
            yield opened
    except ChromiumMissing as error:
        skip_for_system(str(error))


@pytest.fixture
def page(chromium: Chrome) -> Iterator[Chrome]:
    """The browser without cookies; whatever it complains about fails the test."""
    set_viewport(chromium, WIDTH_PX, HEIGHT_PX)
    chromium.delete_all_cookies()
    chromium.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
    yield chromium
    complaints = chromium.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
    # Ends the page's live stream before its server ends, so that the next test is not blamed for that.
    chromium.get("about:blank")
    assert [entry["message"] for entry in complaints] == []


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is recognised as an app, with five flaws of which one is suppressed."""
    folder = tmp_path_factory.mktemp("apps") / "models" / "quiet-model" / "app1"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(CODE)
    return folder


@dataclass(frozen=True, slots=True)
class Served:
    """A server on a home of its own, and the command line beside it."""

    referee: Referee
    url: str


@contextmanager
def serving(home: Path, tools_dir: Path) -> Iterator[Served]:
    """Run a server on a home of its own."""
    referee = Referee(home, tools_dir)
    referee.run("up", "--detach", "--port", "0")
    try:
        yield Served(referee, referee.url)
    finally:
        referee.run("down")


@pytest.fixture
def empty(tmp_path: Path, tools_dir: Path) -> Iterator[Served]:
    """A server without anything."""
    with serving(tmp_path / "home", tools_dir) as served:
        yield served


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, tools_dir: Path, subject: Path) -> Iterator[Served]:
    """A server that has analysed the subject."""
    with serving(tmp_path_factory.mktemp("filled"), tools_dir) as served:
        served.referee.run("analyze", str(subject), "--tools", "bandit,radon")
        yield served


def find(page: Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def wait(page: Chrome, condition: Callable[[Chrome], Any], timeout_s: float = 15) -> Any:
    return WebDriverWait(page, timeout_s, 0.05, [StaleElementReferenceException]).until(condition)


def press(page: Chrome, *keys: str) -> None:
    for key in keys:
        page.switch_to.active_element.send_keys(key)


@contextmanager
def leaving(page: Chrome, timeout_s: float = 15) -> Iterator[None]:
    """Wait, after what is done inside, until another page is there as a whole."""
    page.execute_script("window.isOld = true")
    yield
    is_there = "return !window.isOld && document.readyState === 'complete'"
    wait(page, lambda _: page.execute_script(is_there), timeout_s)


def follow(page: Chrome, link: WebElement) -> None:
    """Click a link or button and wait until another page is there."""
    with leaving(page):
        link.click()


def read_card(page: Chrome, label: str) -> str:
    """Return the value of a number card."""
    labels = [element.text for element in page.find_elements(By.CSS_SELECTOR, ".card-label")]
    return page.find_elements(By.CSS_SELECTOR, ".card-value")[labels.index(label)].text


def read_ledger(page: Chrome) -> dict[str, str]:
    """Return the outcome of each tool as the ledger shows it."""
    return {
        row.find_element(By.CSS_SELECTOR, "th").text.split()[0]: row.find_element(
            By.CSS_SELECTOR, ".state"
        ).text
        for row in page.find_elements(By.CSS_SELECTOR, ".ledger tr[data-row]")
    }


def read_severities(page: Chrome) -> set[str]:
    """Return the severities that a list of findings shows; it may be changing."""
    shown = page.find_elements(By.CSS_SELECTOR, "tbody .severity")
    return {word for element in shown for word in element.text.split()[-1:]}


def test_a_person_goes_from_an_empty_home_to_a_judged_finding(
    empty: Served, page: Chrome, subject: Path
) -> None:
    page.get(f"{empty.url}/ui/")
    assert "No analyses yet" in find(page, ".empty").text

    find(page, "#start-path").send_keys("/nowhere/at/all")
    follow(page, find(page, ".start-form button"))
    assert "/nowhere/at/all" in find(page, ".notice.is-bad").text
    assert find(page, "#path").get_attribute("value") == "/nowhere/at/all"
    page.get_log("browser")  # type: ignore[no-untyped-call]  # the refusal's status, which is meant

    find(page, "#path").clear()
    find(page, "#path").send_keys(str(subject))
    for tool in ("bandit", "mypy", "radon"):
        find(page, f'input[name="tools"][value="{tool}"]').click()
    follow(page, find(page, ".form > button"))

    page.execute_script("window.isSamePage = true")
    assert set(read_ledger(page)) == {"bandit", "mypy", "radon"}
    wait(page, lambda _: set(read_ledger(page).values()) == {"succeeded"}, 120)
    wait(page, lambda _: "completed" in find(page, "h1").text)
    assert page.execute_script("return window.isSamePage") is True
    assert "completed" in find(page, "#announcer").text

    with leaving(page):
        press(page, "g", "f")
    assert page.current_url.endswith("/ui/findings")
    total = int(read_card(page, "Open"))
    find(page, "#filter").send_keys(f"{OPEN_FILTER} severity:high", Keys.ENTER)
    wait(page, lambda _: read_severities(page) == {"high"})
    assert "severity%3Ahigh" in page.current_url

    follow(page, find(page, ".row-link"))
    assert "shell=True" in find(page, ".code-line.is-marked").text
    find(page, "#reason").send_keys("Only used in tests")
    follow(page, find(page, ".start-form button"))
    assert "Dismissed: Only used in tests" in find(page, ".notice").text
    page.get(f"{empty.url}/ui/findings")
    assert (read_card(page, "Open"), read_card(page, "Dismissed")) == (str(total - 1), "1")

    follow(page, find(page, 'button[name="theme"][value="dark"]'))
    assert find(page, "html").get_attribute("data-theme") == "dark"


def test_keys_lead_through_a_list_and_its_preview(filled: Served, page: Chrome) -> None:
    page.get(f"{filled.url}/ui/findings")
    press(page, "?")
    assert "Jump to a page, an id or a name" in find(page, "#help").text
    press(page, Keys.ESCAPE)
    press(page, "j", "j", "p")
    wait(page, lambda _: find(page, "#panel .code-line.is-marked").is_displayed())
    second = find(page, "#panel h2").text
    press(page, "]")
    wait(page, lambda _: find(page, "#panel h2").text != second)
    press(page, Keys.ESCAPE)
    wait(page, lambda _: not find(page, "#panel").is_displayed())
    with leaving(page):
        press(page, "j", Keys.ENTER)
    assert "/ui/findings/" in page.current_url
    position = find(page, ".position").text
    press(page, "]")
    wait(page, lambda _: find(page, ".position").text != position)


def test_jump_finds_an_app_by_its_model(filled: Served, page: Chrome) -> None:
    page.get(f"{filled.url}/ui/")
    press(page, "/")
    find(page, "#jump-input").send_keys("quiet-mod")
    wait(page, lambda _: "quiet-model/app1" in find(page, "#jump-hits").text)
    press(page, Keys.ENTER)
    wait(page, lambda _: find(page, "h1").text.startswith("quiet-model/app1"))


def test_page_api_and_command_line_count_the_same(filled: Served, page: Chrome) -> None:
    page.get(f"{filled.url}/ui/")
    shown = int(read_card(page, "Open findings"))
    cells = page.find_elements(By.CSS_SELECTOR, "#overview-charts > div:first-child td")
    bars = [int(str(cell.get_attribute("textContent"))) for cell in cells]
    counted = httpx.get(f"{filled.url}/v1/findings", params={"filter": OPEN_FILTER}, trust_env=False).json()
    printed = json.loads(filled.referee.run("finding", "list", OPEN_FILTER, "--json").stdout)
    severities = httpx.get(f"{filled.url}/v1/overview", trust_env=False).json()["severities"]
    assert (
        shown == counted["total_count"] == printed["total_count"] == sum(one["count"] for one in severities)
    )
    assert sum(bars) == shown


def test_a_verification_is_watched_to_its_end(filled: Served, page: Chrome) -> None:
    page.get(f"{filled.url}/ui/integrity")
    follow(page, find(page, ".page-actions .is-primary"))
    wait(page, lambda _: "Everything is as it was recorded" in find(page, "#integrity").text, 60)


def test_pages_work_without_the_script(filled: Served, page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.get(f"{filled.url}/ui/findings?filter=severity:high")
        find(page, ".row-preview").click()
        assert find(page, "#panel").is_displayed()
        find(page, "#panel .panel-body .is-primary").click()
        assert find(page, ".code-line.is-marked").is_displayed()
        page.get(f"{filled.url}/ui/analyses/new")
        assert find(page, ".form > button").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_profiles_are_explained_where_an_analysis_starts(filled: Served, page: Chrome) -> None:
    page.get(f"{filled.url}/ui/")
    options = Select(find(page, "#start-profile")).options
    assert [option.text for option in options] == ["quick", "standard", "deep"]


def list_addresses(served: Served) -> list[str]:
    """Return an address of each kind of page."""
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        first = {
            noun: client.get(f"/v1/{noun}").json()["items"][0]
            for noun in ("analyses", "apps", "findings", "jobs")
        }
    analysis = f"/ui/analyses/{first['analyses']['analysis_id']}"
    return [
        "/ui/",
        "/ui/apps",
        f"/ui/apps/{first['apps']['app_id']}",
        f"/ui/apps/{first['apps']['app_id']}/runs",
        f"/ui/apps/{first['apps']['app_id']}/source",
        f"/ui/apps/{first['apps']['app_id']}/versions",
        f"/ui/apps/{first['apps']['app_id']}/measurements",
        "/ui/apps/generate",
        "/ui/app-runs",
        "/ui/pipelines/new",
        "/ui/pipelines/new/file",
        "/ui/analyses",
        "/ui/analyses/new",
        analysis,
        f"{analysis}/findings",
        f"{analysis}/measurements",
        f"{analysis}/artifacts",
        "/ui/findings",
        f"/ui/findings?item={first['findings']['finding_id'].replace('-', '')}",
        f"/ui/findings/{first['findings']['finding_id']}",
        "/ui/tools",
        "/ui/tools/semgrep",
        "/ui/tools/wapiti",
        "/ui/services",
        "/ui/jobs",
        f"/ui/jobs/{first['jobs']['job_id']}",
        "/ui/operations",
        "/ui/probes",
        "/ui/retention",
        "/ui/system",
        "/ui/integrity",
    ]


def test_no_page_scrolls_sideways_on_a_phone(filled: Served, page: Chrome) -> None:
    set_viewport(page, NARROW_PX, HEIGHT_PX)
    widths = {}
    for path in list_addresses(filled):
        page.get(filled.url + path)
        widths[path] = page.execute_script("return document.documentElement.scrollWidth")
    assert {path: width for path, width in widths.items() if width > NARROW_PX} == {}


@pytest.fixture(scope="session")
def axe(tools_dir: Path) -> str:
    """The accessibility checker's script, from npm."""
    folder = tools_dir / "axe-core"
    packed = folder / f"{AXE.replace('@', '-')}.tgz"
    if not packed.exists():
        npm = shutil.which("npm")
        if npm is None:
            skip_for_system("npm, which brings axe-core, is not installed.")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "pack", "--silent", AXE], cwd=folder, check=True, capture_output=True, timeout=120
        )
    unpacked = subprocess.run(
        ["tar", "-xzOf", packed, "package/axe.min.js"], check=True, capture_output=True, text=True
    )
    return unpacked.stdout


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_barrier(filled: Served, page: Chrome, axe: str, theme: str) -> None:
    page.get(f"{filled.url}/ui/")
    page.add_cookie({"name": "referee_theme", "value": theme})
    barriers = {}
    for path in list_addresses(filled):
        page.get(filled.url + path)
        page.execute_script(axe)
        found = page.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {resultTypes: ['violations']}).then(result => done(result.violations"
            ".filter(one => ['serious', 'critical'].includes(one.impact))"
            ".map(one => [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 160))])));"
        )
        barriers[path] = found
    assert {path: found for path, found in barriers.items() if found} == {}
