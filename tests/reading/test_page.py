"""The page of a review in a real browser, by keyboard alone."""

import json
import time
from pathlib import Path

import pytest
from tests.reading.reviews import write_run_with_slides
from tests.reading.test_server import Process
from tests.report.on_screen import driven_browser, needs_browser

from jecur.reading.answers import ANSWERS
from jecur.reading.order import begun_orders, reviewer_folder
from jecur.settings import PAPER_FEATURES

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    with driven_browser() as opened:
        yield opened


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run_with_slides(tmp_path, n_slides=4)


def said_so_far(run: Path) -> list[dict[str, object]]:
    path = reviewer_folder(run, "AB") / ANSWERS
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def open_page(browser, server: Process, **size):
    """A page whose console is kept: errors, and whatever the policy refuses."""
    page = browser.new_page(viewport={"width": 1280, "height": 800} | size)
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on(
        "console",
        lambda m: page.complaints.append(m.text) if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{server.base}#token={server.token}")
    wait_for(page, 1)
    return page


def until(page, holds: str) -> None:
    """Wait for a condition; the page's policy forbids playwright's own way, which evaluates text."""
    end = time.monotonic() + 60
    while not page.evaluate(holds):
        assert time.monotonic() < end, holds
        page.wait_for_timeout(25)


def wait_for(page, number: int) -> None:
    until(
        page,
        f"document.getElementById('progress-text').textContent.includes('tile {number} of')"
        " && document.getElementById('colors').textContent !== ''"
        " && document.getElementById('picture').naturalWidth > 0",
    )


def colors_in(page) -> int:
    return page.evaluate(
        """() => { const i = document.getElementById('picture'), c = document.createElement('canvas');
        c.width = c.height = 64; const d = c.getContext('2d'); d.drawImage(i, 0, 0, 64, 64);
        const p = new Uint32Array(d.getImageData(0, 0, 64, 64).data.buffer);
        return new Set(p).size; }"""
    )


def judge(page, keys: str = "1232") -> None:
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")


def test_a_review_by_keyboard(browser, run):
    server = Process(run)
    try:
        page = open_page(browser, server)
        assert page.title() == "Blinded review"
        assert colors_in(page) > 200  # tissue, and no blank square
        assert page.locator("#colors").text_content() == "Colors as scanned. 128 µm across."
        assert page.locator("#next").is_disabled()
        judge(page)
        wait_for(page, 2)
        expected = dict(
            zip(PAPER_FEATURES, ("present", "absent", "cannot judge", "absent"), strict=True)
        )
        assert said_so_far(run)[0]["answers"] == expected
        assert said_so_far(run)[0]["seconds"] > 0

        page.keyboard.press("s")
        until(page, "document.getElementById('picture').naturalWidth === 768")
        until(page, "!document.getElementById('outline').hidden")
        page.keyboard.press("n")
        until(page, "document.getElementById('colors').textContent.startsWith('Normalized')")
        until(page, "document.getElementById('outline').hidden")
        page.keyboard.press("t")
        until(page, "document.getElementById('picture').naturalWidth === 512")

        page.keyboard.press("p")
        assert page.locator("#pause-cover").is_visible()
        page.keyboard.press("1")  # not while it stands
        page.keyboard.press("p")
        assert page.locator("#pause-cover").is_hidden()
        assert page.locator("input:checked").count() == 0

        page.keyboard.press("m")
        page.keyboard.type("123 u n fat")
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.keyboard.press("ArrowUp")
        judge(page, "2222")
        wait_for(page, 3)
        assert said_so_far(run)[1]["comment"] == "123 u n fat"
        assert set(said_so_far(run)[1]["answers"].values()) == {"absent"}

        page.keyboard.press("u")
        wait_for(page, 2)
        assert page.locator("#comment").input_value() == "123 u n fat"
        assert page.locator("input:checked").count() == 4
        assert "undo" in said_so_far(run)[-1]
        page.keyboard.press("Enter")
        wait_for(page, 3)

        page.reload()  # and go on
        wait_for(page, 3)
        (order,) = begun_orders(run)
        for number in range(3, len(order.looks) + 1):
            wait_for(page, number)
            judge(page, "1111")
        page.wait_for_selector("#end:not([hidden])")
        assert "all on the disk" in page.locator("#end-text").text_content()
        answers = [line for line in said_so_far(run) if "look" in line]
        assert {line["look"] for line in answers} == {look.id for look in order.looks}
        assert page.complaints == []
    finally:
        server.kill()


def test_a_pause_is_not_counted(browser, run):
    server = Process(run)
    try:
        page = open_page(browser, server)
        page.keyboard.press("p")
        page.wait_for_timeout(6_000)
        page.keyboard.press("p")
        judge(page)
        wait_for(page, 2)
        page.wait_for_timeout(1_500)
        judge(page)
        wait_for(page, 3)
        first, second = (line["seconds"] for line in said_so_far(run))
        assert second >= 1.5
        assert 0 < first < 6.0
    finally:
        server.kill()


def test_a_server_that_ended_is_a_sentence_and_nothing_is_lost(browser, run):
    server = Process(run)
    page = open_page(browser, server)
    judge(page)
    wait_for(page, 2)
    server.kill()
    judge(page)
    page.wait_for_selector("#message:not([hidden])")
    assert "Nothing you answered is lost" in page.locator("#message").text_content()
    assert len(said_so_far(run)) == 1
    page.close()
    server = Process(run)
    try:
        again = browser.new_page()
        again.goto(f"{server.base}#token={server.token}")
        until(again, "document.getElementById('progress-text').textContent.includes('tile 2 of')")
    finally:
        server.kill()


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_nothing_is_cut_off(browser, run, width):
    server = Process(run)
    try:
        page = open_page(browser, server, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for selector in ("#picture", "#features fieldset:last-child", "#next", "#undo", "#pause"):
            box = page.locator(selector).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        names = page.evaluate(
            "[...document.querySelectorAll('button,input,textarea,progress')].map(e => e.textContent ||"
            " e.labels?.[0]?.textContent || e.getAttribute('aria-label'))"
        )
        assert all(names)
    finally:
        server.kill()
