"""The page in a real Chromium, by keyboard, at two widths; UNIMP_SCREENSHOTS names a folder for pictures."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from unimp.app.http.app import create_app
from unimp.app.http.server import bind
from unimp.app.http.settings import ServeSettings
from unimp.app.store import Store
from unimp.personalizer import Personalizer

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def address(personalizer: Personalizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a free port of loopback."""
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('browser') / 'store.db'}")
    app = create_app(personalizer, store, ServeSettings(keys=False, requests_per_second=0))
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


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
    page.focus("form[action='/found'] input[name=text]")
    page.keyboard.type("bag")
    page.keyboard.press("Enter")
    page.wait_for_selector("#found .item")
    for place in (0, 1):
        page.locator("#now input[type=checkbox]").nth(place).press("Space")
    page.locator("#compare button").press("Enter")
    page.wait_for_selector("#chosen .chosen")
    page.fill("form[action='/drawn'] input[name=text]", "blue bag")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawn img")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=folder / f"user-{width}-{scheme}.png", full_page=True)
    page.locator("#now .grid a").first.press("Enter")
    page.wait_for_selector("meter")
    page.screenshot(path=folder / f"item-{width}-{scheme}.png", full_page=True)
    page.close()
    assert complaints == []
