"""The pages in a real browser: keys, narrow screens, live blocks, and nothing that the policy has to block."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tests.foundation.web.conftest import Example

WIDTHS_PX = (360, 768, 1280)


@pytest.fixture
def page(browser: Chrome, address: str, browser_app: FastAPI) -> Iterator[Chrome]:
    """The browser, wide, without cookies; afterwards, whatever it complained about fails the test."""
    browser_app.state.example = Example()
    browser.get(address + "/problems")
    browser.delete_all_cookies()
    set_width(browser, 1280)
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
    yield browser
    complaints = browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types
    assert [entry["message"] for entry in complaints] == []


def set_width(browser: Chrome, width_px: int, height_px: int = 900) -> None:
    metrics = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def find(page: Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def press(page: Chrome, *keys: str) -> None:
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def wait(page: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    return WebDriverWait(page, 10, 0.05, [StaleElementReferenceException]).until(condition)


def run(page: Chrome, script: str, *arguments: object) -> Any:
    return page.execute_script(script, *arguments)


def focused_text(page: Chrome) -> str:
    return page.switch_to.active_element.text


def test_slash_opens_jump_and_arrows_and_enter_go_there(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, "/")
    wait(page, lambda _: len(page.find_elements(By.CSS_SELECTOR, "#jump-hits [role=option]")) == 2)
    field = find(page, "#jump-input")
    assert page.switch_to.active_element == field
    assert (field.get_attribute("role"), field.get_attribute("aria-expanded")) == ("combobox", "true")
    press(page, Keys.ARROW_DOWN)
    chosen = find(page, f"#{field.get_attribute('aria-activedescendant')}")
    assert (chosen.get_attribute("aria-selected"), "Live example" in chosen.text) == ("true", True)
    press(page, Keys.ENTER)
    wait(page, lambda _: page.current_url == address + "/ui/live-example")


def test_jump_asks_the_rooms_while_typing(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, "/")
    field = find(page, "#jump-input")
    field.send_keys("zebra")
    wait(page, lambda _: "app zebra" in find(page, "#jump-hits").text)
    press(page, Keys.ESCAPE)
    assert not find(page, "#jump").is_displayed()


def test_the_help_lists_keys_and_every_key_has_a_button(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, "?")
    assert "Go to Findings" in find(page, "#help").text
    press(page, Keys.ESCAPE)
    find(page, '[data-open="help"]').click()
    assert find(page, "#help").is_displayed()
    press(page, Keys.ESCAPE)


def test_keys_are_off_while_typing(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, "f")
    field = find(page, "#filter")
    assert page.switch_to.active_element == field
    press(page, "?", "/", "j")
    assert field.get_attribute("value") == "?/j"
    assert not find(page, "#jump").is_displayed()


def test_j_and_k_move_over_rows_and_enter_opens_one(page: Chrome, address: str) -> None:
    page.get(address + "/ui/live-example")
    press(page, "j")
    press(page, "j", "j", "j", "k")
    assert focused_text(page) == "second"
    press(page, Keys.ENTER)
    wait(page, lambda _: page.current_url.endswith("filter=tool:second"))


def test_x_selects_the_row(page: Chrome, address: str) -> None:
    page.get(address + "/ui/live-example")
    press(page, "j", "j", "x")
    boxes = page.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")
    assert [box.is_selected() for box in boxes] == [False, True, False]


def test_p_opens_the_preview_brackets_move_and_escape_closes_it(page: Chrome, address: str) -> None:
    page.get(address + "/ui/live-example")
    press(page, "j", "j", "p")
    wait(page, lambda _: "About second" in find(page, "#panel").text)
    assert page.current_url.endswith("?item=second")
    press(page, "]")
    wait(page, lambda _: "About third" in find(page, "#panel").text)
    press(page, "[")
    wait(page, lambda _: "About first" in find(page, "#panel").text)
    press(page, Keys.ESCAPE)
    wait(page, lambda _: not find(page, "#panel").is_displayed())
    assert page.current_url.endswith("/ui/live-example")


def test_a_click_on_a_row_previews_it(page: Chrome, address: str) -> None:
    page.get(address + "/ui/live-example")
    run(page, "document.querySelector('#row-third td:nth-child(2)').click()")
    wait(page, lambda _: "About third" in find(page, "#panel").text)


def test_g_and_a_letter_go_to_a_room(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, "g", "a")
    wait(page, lambda _: page.current_url == address + "/ui/live-example")


def test_the_first_tab_stop_skips_to_the_content_with_a_visible_ring(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    press(page, Keys.TAB)
    assert focused_text(page) == "Skip to content"
    ring = run(
        page, "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]"
    )
    assert ring == ["solid", "2px"]
    press(page, Keys.ENTER)
    wait(page, lambda _: run(page, "return document.activeElement.id") == "content")


@pytest.mark.parametrize(("theme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 20, 24)")])
def test_the_theme_switch_colours_the_page(page: Chrome, address: str, theme: str, ground: str) -> None:
    page.get(address + "/-/patterns?filter=tool:x")
    find(page, f'button[name="theme"][value="{theme}"]').click()
    wait(page, lambda _: find(page, "html").get_attribute("data-theme") == theme)
    assert page.current_url.endswith("/-/patterns?filter=tool:x")
    assert run(page, "return getComputedStyle(document.documentElement).backgroundColor") == ground
    assert find(page, f'button[value="{theme}"]').get_attribute("aria-pressed") == "true"


def test_both_themes_are_drawn_on_the_patterns_page(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    grounds = run(
        page,
        "return [...document.querySelectorAll('.patterns-theme')].map(e => getComputedStyle(e).backgroundColor)",
    )
    assert grounds == ["rgb(255, 255, 255)", "rgb(15, 20, 24)"]


@pytest.mark.parametrize("width_px", WIDTHS_PX)
@pytest.mark.parametrize("path", ["/-/patterns", "/problems", "/ui/live-example?item=first", "/ui/login"])
def test_no_page_scrolls_sideways(page: Chrome, address: str, path: str, width_px: int) -> None:
    set_width(page, width_px)
    page.get(address + path)
    assert run(page, "return document.documentElement.scrollWidth") <= width_px


def test_rows_are_stacked_and_labelled_where_the_screen_is_narrow(page: Chrome, address: str) -> None:
    set_width(page, 360)
    page.get(address + "/-/patterns")
    cells = run(
        page,
        "return [...document.querySelectorAll('.patterns-theme tbody tr')].slice(0, 1)"
        ".flatMap(row => [...row.cells].map(cell => [cell.getBoundingClientRect().left,"
        " getComputedStyle(cell, '::before').content]))",
    )
    assert len({left for left, _ in cells}) == 1
    assert cells[1][1] == '"Severity"'


def test_the_menu_opens_where_the_screen_is_narrow(page: Chrome, address: str) -> None:
    set_width(page, 360)
    page.get(address + "/-/patterns")
    assert not find(page, "#navigation").is_displayed()
    find(page, 'a[href="#navigation"]').click()
    assert find(page, "#navigation").is_displayed()
    find(page, ".sidebar-close").click()
    assert not find(page, "#navigation").is_displayed()


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_targets_are_at_least_24_pixels_high(page: Chrome, address: str, width_px: int) -> None:
    set_width(page, width_px)
    page.get(address + "/-/patterns")
    small = run(
        page,
        "return [...document.querySelectorAll('button, input, select, summary, a.button, a.chip, .navigation a,"
        " .tabs a, th a')].filter(e => e.getClientRects().length && !e.closest('[hidden]'))"
        ".filter(e => e.getBoundingClientRect().height < 23.9).map(e => e.outerHTML.slice(0, 80))",
    )
    assert small == []


def test_nothing_moves_when_less_motion_is_wanted(page: Chrome, address: str) -> None:
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    page.get(address + "/-/patterns")
    moving = run(
        page,
        "return [...document.querySelectorAll('*')].map(e => getComputedStyle(e))"
        ".filter(s => parseFloat(s.transitionDuration) > 0 || s.animationName !== 'none').length",
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert moving == 0


def test_every_icon_of_the_page_exists(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    missing = run(
        page,
        "const wanted = [...document.querySelectorAll('use')].map(u => u.getAttribute('href').split('#')[1]);"
        "const request = new XMLHttpRequest();"
        "request.open('GET', document.querySelector('use').getAttribute('href').split('#')[0], false);"
        "request.send();"
        "return [...new Set(wanted)].filter(name => !request.responseText.includes('id=\"' + name + '\"'));",
    )
    assert missing == []


def test_a_page_has_landmarks_labels_and_unique_ids(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    counts = run(
        page,
        "const all = s => [...document.querySelectorAll(s)]; return {"
        " h1: all('h1').length, main: all('main').length, nav: all('nav:not([aria-label])').length,"
        " inputs: all('input:not([type=hidden]), select').filter(e => !e.labels.length && !e.ariaLabel).length,"
        " buttons: all('button, a').filter(e => !(e.textContent.trim() || e.ariaLabel)).length,"
        " ids: all('.main [id]:not(tr)').length - new Set(all('.main [id]:not(tr)').map(e => e.id)).size}",
    )
    assert counts == {"h1": 1, "main": 1, "nav": 0, "inputs": 0, "buttons": 0, "ids": 0}


def test_a_project_is_switched_without_a_further_click(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    run(
        page,
        "const s = document.getElementById('project'); s.value = 'second';"
        "s.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    wait(page, lambda _: page.get_cookie("referee_project") is not None)
    wait(page, lambda _: find(page, "#project option:checked").text == "Second")


def test_copying_a_link_says_so(page: Chrome, address: str) -> None:
    permission = {"permission": {"name": "clipboard-write"}, "setting": "granted", "origin": address}
    page.execute_cdp_cmd("Browser.setPermission", permission)
    page.get(address + "/-/patterns")
    find(page, "[data-copy-link]").click()
    wait(page, lambda _: find(page, "#announcer").get_attribute("textContent") == "Copied")


def publish(app: FastAPI, page: Chrome) -> None:
    """Deliver an event once the page's stream is open, from the server's own thread."""
    hub = app.state.shell.live
    wait(page, lambda _: hub.streams_count == 1)
    hub.deliver("example:1")


def test_a_live_block_follows_without_a_reload_and_is_announced(
    page: Chrome, address: str, browser_app: FastAPI
) -> None:
    page.get(address + "/ui/live-example")
    run(page, "window.isSamePage = true")
    browser_app.state.example = Example(count=12)
    publish(browser_app, page)
    wait(page, lambda _: find(page, "#counter").text == "12 found")
    wait(page, lambda _: find(page, "#announcer").get_attribute("textContent") == "12 findings so far")
    assert run(page, "return window.isSamePage") is True


def test_new_rows_wait_behind_a_bar_so_that_nothing_moves_under_the_cursor(
    page: Chrome, address: str, browser_app: FastAPI
) -> None:
    page.get(address + "/ui/live-example")
    browser_app.state.example = Example(rows=("newest", "newer", "first", "second", "third"))
    publish(browser_app, page)
    wait(page, lambda _: find(page, ".live-bar").is_displayed())
    assert find(page, ".live-bar").text == "2 new - show"
    assert [row.text.split()[0] for row in page.find_elements(By.CSS_SELECTOR, "tr[data-row]")] == [
        "first",
        "second",
        "third",
    ]
    find(page, ".live-bar").click()
    wait(page, lambda _: len(page.find_elements(By.CSS_SELECTOR, "tr[data-row]")) == 5)
    assert not find(page, ".live-bar").is_displayed()


def test_the_policy_blocks_inline_script_and_style(page: Chrome, address: str) -> None:
    page.get(address + "/-/patterns")
    run(
        page,
        "window.violations = []; document.addEventListener('securitypolicyviolation',"
        " e => window.violations.push(e.effectiveDirective));"
        "const s = document.createElement('script'); s.textContent = 'window.injected = 1'; document.body.append(s);"
        "const d = document.createElement('div'); d.setAttribute('style', 'color: red'); document.body.append(d);",
    )
    wait(page, lambda _: len(run(page, "return window.violations")) == 2)
    assert run(page, "return window.injected === undefined")
    assert sorted(run(page, "return window.violations")) == ["script-src-elem", "style-src-attr"]
    assert len(json.dumps(page.get_log("browser"))) > 2  # type: ignore[no-untyped-call]  # selenium has no types
