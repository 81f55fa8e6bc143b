"""The page in a real Chromium, by keyboard, at two widths; UNIMP_SCREENSHOTS names a folder for pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


FOCUSED = """() => {
    const it = document.activeElement;
    if (it === document.body) return null;
    const labels = [...(it.labels || [])].map(label => label.textContent).join('');
    const name = it.getAttribute('aria-label') || labels || it.textContent;
    const outlined = getComputedStyle(it).outlineStyle !== 'none' || it.classList.contains('skip');
    return [it.outerHTML.slice(0, 90), name.trim() !== '', outlined];
}"""
"""What has the focus: its beginning, whether it has a name, whether one sees that it has the focus."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_a_visit(browser: Any, address: str, tmp_path: Path, width: int, scheme: str) -> None:
    folder = Path(os.environ.get("UNIMP_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:")) else complaints.append(request.url)
        ),
    )
    page.goto(address)
    page.keyboard.type(f"visitor {width} {scheme}")  # the field has the focus
    page.keyboard.press("Enter")
    page.wait_for_selector("#now")
    assert "Nothing yet" in page.text_content("#now")
    first = page.locator("#now .grid button").first
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#now .strip .item")
    assert "is in the history now" in page.text_content("#now [role=status]")
    page.focus("form[action='/ask/search'] input[name=text]")
    page.keyboard.type("bag")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-answer .item")
    for place in (0, 1):
        page.locator("#now input[type=checkbox]").nth(place).press("Space")
    page.locator("#ticked button").press("Enter")
    page.wait_for_selector("#select-answer .chosen")
    page.fill("form[action='/ask/generate-image'] input[name=text]", "blue bag")
    page.keyboard.press("Enter")
    page.wait_for_selector("#generate-image-answer img")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=folder / f"user-{width}-{scheme}.png", full_page=True)
    page.locator("#now .grid a").first.press("Enter")
    page.wait_for_selector("meter")
    page.locator("#mattered button").press("Enter")
    page.wait_for_selector("#found-mattered svg")
    page.locator("summary").press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=folder / f"item-{width}-{scheme}.png", full_page=True)
    page.close()
    assert complaints == []


def test_every_control_is_reached_by_keyboard_and_seen(browser: Any, address: str) -> None:
    """Tab alone comes by every link, field and button, each with a name and a visible outline."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/?user=keys")
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select')].length"
    )
    reached, unseen, nameless = 0, [], []
    page.evaluate("document.body.focus()")
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        facts = page.evaluate(FOCUSED)
        if facts is None:
            break
        reached += 1
        nameless += [] if facts[1] else [facts[0]]
        unseen += [] if facts[2] else [facts[0]]
    page.close()
    assert (nameless, unseen) == ([], [])
    assert reached >= wanted


def test_a_server_that_is_gone_is_said(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/?user=offline")
    page.context.set_offline(True)
    page.locator("#now .grid button").first.press("Enter")
    page.wait_for_selector("#problem .problem")
    assert "does not answer" in page.text_content("#problem")
    assert page.locator("#now").count() == 1
    page.context.set_offline(False)
    page.close()


def test_without_scripts_everything_works(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/?user=plain")
    page.locator("#now .grid button").first.click()
    page.wait_for_selector("#now .strip .item")  # a form of our own page is not taken for another site's
    page.fill("form[action='/ask/search'] input[name=text]", "bag")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-answer .item")
    page.locator("#now .grid a").first.click()
    page.locator("#mattered button").click()
    page.wait_for_selector("#found-mattered svg")
    context.close()
