"""The page in a real browser: Chromium, if it is there; the test installs nothing."""

import base64
import re
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.report.on_screen import driven_browser, needs_browser
from tests.slide.test_real_slides import OPENED
from tests.viewer.hand_made_run import write_run

from jecur.slide.reader import open_slide

pytestmark = needs_browser
pytest.importorskip("starlette", reason='pip install "jecur[view]"')

LOADED = """() => {
  const { view } = window.jecurView || {};
  const item = view && view.viewer.world.getItemAt(0);
  if (!item || !item.getFullyLoaded() || !view.overlay.tiles) return false;
  const { width, height } = view.viewer.drawer.canvas;
  const data = view.viewer.drawer.canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return data.some((value) => value > 0);
}"""
NORMALIZED = """() => {
  const item = window.jecurView.view.viewer.world.getItemAt(0);
  return Boolean(item && item.source.getTileUrl(9, 0, 0).includes("normalized"));
}"""
PIXELS = """(which) => {
  const { view } = window.jecurView;
  const canvas = which === "overlay" ? view.overlay.canvas : view.viewer.drawer.canvas;
  const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let text = "";
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return [width, height, btoa(text)];
}"""


CUT_OFF = re.compile(r"net::ERR_(CONNECTION_\w+|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)")
UNNAMED = """() => [...document.querySelectorAll("button, input, select, canvas[role]")]
  .filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label")))
  .map((e) => e.id)"""


@contextmanager
def served(run, *options):
    """Address of ``jecur view`` on a run, while it runs."""
    command = [sys.executable, "-m", "jecur", "view", str(run), "--no-browser", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def browser():
    with driven_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def url(tiny_run):
    """Address of the tiny run, of which a viewer changes nothing: one serves all."""
    with served(tiny_run) as address:
        yield address


@pytest.fixture
def page(browser):
    """A page that may say nothing wrong in its console; a policy violation is said there."""
    wrong = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page = context.new_page()
    # a tile may be asked for while its server is being ended: that is no fault of the page
    page.on(
        "console",
        lambda m: (
            wrong.append(m.text) if m.type == "error" and not CUT_OFF.search(m.text) else None
        ),
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.wrong = wrong
    yield page
    context.close()
    assert wrong == []


def pixels(page, which="slide"):
    width, height, text = page.evaluate(PIXELS, which)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def wait_for_slide(page):
    page.wait_for_function(LOADED, timeout=60_000)
    page.wait_for_timeout(300)


def open_list(page, url):
    page.goto(url)
    page.wait_for_selector("#patients tbody tr")


def test_every_good_slide_opens_and_is_not_blank(page, test_data, tmp_path):
    names = {name: file for file, *_, name in OPENED}
    run = write_run(tmp_path / "run", names)
    with served(run, "--slides", test_data / "slides") as url:
        for number, name in enumerate(names):
            page.goto("about:blank")
            page.goto(f"{url}&slide={number}")
            wait_for_slide(page)
            image = pixels(page)
            assert page.locator("#message").is_hidden(), name
            drawn = image[..., :3][image[..., 3] > 0].astype(float)
            assert len(drawn) > 5_000, name
            with open_slide(test_data / "slides" / names[name]) as slide:
                step = max(1.0, max(slide.size.width, slide.size.height) / 700)
                own = slide.overview(step * slide.mpp).reshape(-1, 3).astype(float)
            assert np.abs(drawn.mean(0) - own.mean(0)).max() < 4, name
            assert abs(drawn.std() - own.std()) < 8, name


def planted(folder):
    """A slide that is white but for a dark square, and a run whose tissue outline is that square."""
    x, y, side = 1301, 903, 400
    image = np.full((2400, 3000, 3), 240, np.uint8)
    image[y : y + side, x : x + side] = (90, 20, 100)
    folder.mkdir()
    with tifffile.TiffWriter(folder / "p.tiff") as writer:
        for level in range(3):
            step = 2**level
            part = (
                image.reshape(2400 // step, step, 3000 // step, step, 3)
                .mean((1, 3))
                .astype(np.uint8)
            )
            resolution = (2e4 / 2**level,) * 2
            writer.write(part, tile=(256, 256), photometric="rgb", resolution=resolution,
                         resolutionunit="CENTIMETER", subfiletype=int(level > 0))  # fmt: skip
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    grid = pd.DataFrame({"x": [1280, 1536], "y": [896, 896], "score": [1.0, -1.0]})
    return write_run(folder / "run", {"p": "p.tiff"}, tiles={"p": grid}, outlines={"p": [ring]})


def span(marks):
    """First and last place of what is marked."""
    places = np.flatnonzero(marks)
    return places[0], places[-1]


@pytest.mark.parametrize("zoom", [4.0, 1.0, 0.5])
def test_a_planted_square_lies_under_its_outline(page, tmp_path, zoom):
    run = planted(tmp_path / "planted")
    with served(run, "--slides", run.parent) as url:
        page.goto(f"{url}&slide=0&x=1501&y=1103&zoom={zoom}")
        wait_for_slide(page)
        page.keyboard.press("h")
        page.keyboard.press("t")
        page.wait_for_timeout(500)
        slide, outline = pixels(page), pixels(page, "overlay")
    dark = slide[..., 1].astype(int) < 130
    dark &= slide[..., 3] > 0
    drawn = outline[..., 3] > 100
    for axis in (0, 1):
        first, last = span(dark.sum(axis) > dark.sum(axis).max() / 2)
        line_first, line_last = span(drawn.any(axis))
        # a line of two pixels lies half on each side of the edge
        assert abs(first - (line_first + 1)) <= 1
        assert abs(last + 1 - line_last) <= 1
    assert dark.any(0).sum() == pytest.approx(400 / zoom, abs=2)


def test_patients_curve_and_list_answer_each_other(page, url, tiny_run):
    open_list(page, url)
    rows = page.locator("#patients tbody tr")
    scores = pd.read_csv(tiny_run / "scores.csv")
    assert page.title() == "Jecur viewer"
    n_all = rows.count()
    assert n_all == 16
    # a curve filters
    group = scores["group"].dropna().iloc[0]
    page.locator(f"#curve .legend[data-group={group}]").click()
    assert rows.count() == (scores["group"] == group).sum() < n_all
    page.locator("#clear").click()
    assert rows.count() == n_all
    # a dot or tick chooses its patient
    tick = page.locator("#curve .tick").first
    tick.locator(".tick-target").click()
    chosen = page.locator("tr[aria-selected=true]")
    assert chosen.get_attribute("data-number") == tick.get_attribute("data-patient")
    assert page.locator("#curve .marked").get_attribute("visibility") == "visible"
    # search and sort
    page.keyboard.press("/")
    page.keyboard.type("V-0011")
    assert rows.count() == 1
    page.locator("#clear").click()
    page.locator("th button[data-sort=months]").click()
    months = [t for t in page.locator("tbody td:nth-child(4)").all_inner_texts() if t]
    assert [float(m) for m in months] == sorted(float(m) for m in months)
    # keyboard alone
    page.locator("th button[data-sort=risk]").click()
    page.locator("#patients tbody tr[tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    best = scores.loc[scores["risk"].idxmax(), "patient_id"]
    assert page.locator("tr[aria-selected=true] td").first.inner_text() == best
    page.keyboard.press("Enter")
    wait_for_slide(page)
    assert page.locator("#slide-name").inner_text() == best
    page.keyboard.press("Escape")
    assert page.locator("#patients-view").is_visible()


def test_layers_keys_gallery_and_link(page, url):
    open_list(page, url)
    page.locator("#to-top").click()
    page.wait_for_selector("#top-high button img[src^=blob]")
    page.locator("#top-high button").nth(1).click()
    wait_for_slide(page)
    page.wait_for_timeout(1200)
    place = page.evaluate("""() => {
      const { view } = window.jecurView;
      const [left, top, scale] = view.overlay.transform();
      const { clientWidth, clientHeight } = view.viewer.canvas;
      return [(clientWidth / 2 - left) / scale, (clientHeight / 2 - top) / scale, view.overlay.chosen];
    }""")
    tile = place[2]
    assert place[0] == pytest.approx(tile["x"] + tile["side"] / 2, abs=3)
    assert place[1] == pytest.approx(tile["y"] + tile["side"] / 2, abs=3)
    # opacity: what covers the middle of the chosen tile
    middle = pixels(page, "overlay")
    middle = middle[middle.shape[0] // 2, middle.shape[1] // 2]
    assert middle[3] == pytest.approx(255 * 0.55, abs=2)
    for _ in range(5):
        page.keyboard.press("[")
    page.wait_for_timeout(200)
    faded = pixels(page, "overlay")
    assert faded[faded.shape[0] // 2, faded.shape[1] // 2, 3] == pytest.approx(255 * 0.3, abs=2)
    page.keyboard.press("h")
    page.wait_for_timeout(200)
    assert pixels(page, "overlay")[100:-100, 100:-100, 3].min() == 0
    page.keyboard.press("h")
    # a score under the pointer
    box = page.locator("#scanned").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#tip:not([hidden])")
    assert f"score {tile['score']:.2f}" in page.locator("#tip").inner_text()
    # the address holds the place
    held = page.url
    other = page.context.new_page()
    other.goto(held)
    wait_for_slide(other)
    numbers = [
        dict(part.split("=") for part in p.split("#")[1].split("&")) for p in (held, other.url)
    ]
    for name in ("slide", "x", "y"):
        assert float(numbers[0][name]) == pytest.approx(float(numbers[1][name]), abs=2)
    assert float(numbers[0]["zoom"]) == pytest.approx(float(numbers[1]["zoom"]), rel=0.01)
    other.close()


def test_normalized_nuclei_and_files_to_keep(page, tiny_run, tmp_path):
    with served(tiny_run) as url:
        page.goto(f"{url}&slide=8")
        wait_for_slide(page)
        scanned = pixels(page)
        page.keyboard.press("h")
        page.keyboard.press("c")
        page.wait_for_function(NORMALIZED, timeout=60_000)
        wait_for_slide(page)
        assert np.abs(pixels(page).astype(int) - scanned).max() > 10
        page.keyboard.press("c")
        page.wait_for_function(
            "() => document.querySelectorAll('.pane:not([hidden]) canvas').length >= 2"
        )
        page.keyboard.press("c")
        wait_for_slide(page)
        page.keyboard.press("n")
        page.wait_for_function(
            "() => window.jecurView.view.viewer.world.getItemCount() === 2", timeout=60_000
        )
        page.keyboard.press("n")
        for button, kind in (("#save-png", b"\x89PNG"), ("#save-geojson", b"{")):
            with page.expect_download() as waiting:
                page.locator(button).click()
            path = tmp_path / waiting.value.suggested_filename
            waiting.value.save_as(path)
            assert path.read_bytes().startswith(kind)
            assert "V-0" not in path.name


def test_the_page_is_usable_narrow_and_dark(browser, url):
    for width in (1280, 800):
        page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme="dark")
        open_list(page, url)
        for view in ("#to-top", "#to-patients"):
            page.locator(view).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#patients tbody tr").first.dblclick()
        wait_for_slide(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#scanned").bounding_box()["width"] > width / 3
        unnamed = page.evaluate(UNNAMED)
        assert unnamed == []
        page.close()


def test_without_the_token_the_page_says_what_to_do(page, url):
    page.goto(url.split("#")[0])
    page.wait_for_selector("#message:not([hidden])")
    assert "address" in page.locator("#message").inner_text()
    page.goto(url.split("#")[0] + "?again#token=wrong")
    page.wait_for_function("document.getElementById('message').textContent.includes('token')")
    assert all("401" in text for text in page.wrong)
    page.wrong.clear()
