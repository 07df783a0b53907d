"""The page in a real browser: it is drawn, asks nobody else, slides, filters, rejects, and reads on a small screen.

It needs Debian's chromium and chromium-driver, selenium, and Gradio; without one of them it is skipped. With
SEGUE_SCREENSHOTS=DIR it also writes what it saw.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.viewer.test_server import served

from segue.data.review import REVIEW_FILE, read_review
from segue.viewer.session import Session

PATIENCE = 300
"""Seconds to wait for the page; continuous integration shares its processors."""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage"
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_page_load_timeout(PATIENCE)
    opened.set_script_timeout(PATIENCE)
    yield opened
    opened.quit()


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait for something, which may fail while the page is changing."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except Exception as error:  # what was found a moment ago may be gone
            last = error
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen: {last}")


class Seen:
    """What tests do with the page."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def press(self, selector: str) -> None:
        self.browser.execute_script("arguments[0].click()", self.one(selector))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def choose(self, selector: str, title: str) -> None:
        """Choose an option of one of Gradio's drop-down lists."""
        field = self.one(f"{selector} input")
        self.run("arguments[0].scrollIntoView({block: 'center'})", field)
        field.click()
        found = until(
            lambda: [o for o in self.all("[role=option]") if title in o.text], f"the option {title}"
        )
        found[0].click()

    def picture(self) -> str:
        return self.one("#compared figcaption").text

    def is_drawn(self) -> bool:
        return self.run(
            "const all = [...document.querySelectorAll('#compared img')];"
            "return all.length > 2 && all.every(i => i.complete && i.naturalWidth > 0)"
        )

    def keep(self, name: str) -> None:
        folder = os.environ.get("SEGUE_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_a_run_is_looked_at_filtered_and_rejected_from(run: Path, browser: Any) -> None:
    names = Session(run, "cpu").gallery.names
    seen = Seen(browser)
    browser.set_window_size(1280, 1000)
    with served(run) as address:
        browser.get(address)
        until(lambda: len(seen.all(".tile")) == 24, "the first page of the list")
        until(lambda: seen.picture() == names[0] and seen.is_drawn(), "the first picture")
        seen.keep("start_1280")

        # The slider: the right side begins where it stands.
        slider = seen.one("#compared input[data-sets=at]")
        before = seen.run("return getComputedStyle(document.querySelector('.side.right')).clipPath")
        seen.run(
            "arguments[0].value = 70; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", slider
        )
        after = seen.run("return getComputedStyle(document.querySelector('.side.right')).clipPath")
        assert "50%" in before and "70%" in after

        # So it does where the picture itself is dragged.
        seen.run(
            "const frame = document.querySelector('.frame'), box = frame.getBoundingClientRect();"
            "frame.dispatchEvent(new PointerEvent('pointermove',"
            " {bubbles: true, buttons: 1, clientX: box.left + box.width / 5, clientY: box.top + 9}))"
        )
        assert seen.one("#compared input[data-sets=at]").get_attribute("value") == "20"

        # Another picture; the slider stays where it was put.
        seen.press('.tile[data-place="5"]')
        until(lambda: seen.picture() == names[5] and seen.is_drawn(), "the sixth picture")
        assert "20%" in seen.run("return getComputedStyle(document.querySelector('.side.right')).clipPath")

        # Filter by a measure: only what was measured has one.
        seen.choose("#order", "entropy")
        until(lambda: "not measured" in seen.one("#tiles").text, "the order by entropy")
        least = seen.one("#least input[type=number]")
        seen.run("arguments[0].scrollIntoView({block: 'center'})", least)
        least.clear()
        least.send_keys("1", "\ue004")
        until(lambda: len(seen.all(".tile")) == 2, "the filter by entropy")

        # Reject one: it is on disk, and the next one is shown.
        seen.press('.tile[data-place="5"]')
        until(lambda: seen.picture() == names[5], "the sixth picture again")
        seen.press("#reject")
        until(lambda: read_review(run / REVIEW_FILE).rejected == [names[5]], "the rejection")
        until(lambda: seen.all(".tile.rejected"), "the rejected tile")
        seen.keep("rejected_1280")

        browser.set_window_size(400, 900)
        until(seen.is_drawn, "the small page")
        assert seen.run("return document.documentElement.scrollWidth") <= seen.run("return window.innerWidth")
        seen.keep("rejected_400")
        seen.run("document.querySelector('#compared').scrollIntoView()")
        seen.keep("picture_400")

        asked = seen.run("return performance.getEntriesByType('resource').map(one => one.name)")
        assert asked and all(one.startswith((address, "data:", "blob:")) for one in asked), asked
        wrong = [one for one in browser.get_log("browser") if one["source"] in ("javascript", "security")]
        assert not [one for one in wrong if one["level"] == "SEVERE"], wrong
