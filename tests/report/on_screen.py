"""Pages in Chromium, on paper and on screens of any width; a test that needs it skips where it is absent."""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("JECUR_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
TO_TEXT = shutil.which("pdftotext")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
needs_paper = pytest.mark.skipif(
    CHROMIUM is None or TO_TEXT is None, reason="no Chromium or no pdftotext here"
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OVER = """<iframe id=f style="width:{width}px;height:900px;border:0" src="{page}"></iframe><p id=p>
<script>onload = () => {{ const d = document.getElementById('f').contentDocument;
const over = [...d.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, details')
&& e.getBoundingClientRect().right > {width} + 1).map(e => e.tagName + ' ' + e.className);
document.getElementById('p').textContent = 'WIDTH ' + d.documentElement.scrollWidth + ' OVER '
+ over.join(', ') + ' END'; }}</script>"""


def _chromium(*arguments: str) -> str:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-web-security")
    files = ("--allow-file-access-from-files", "--virtual-time-budget=4000")
    done = subprocess.run(
        [str(CHROMIUM), *flags, *files, *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@contextmanager
def driven_browser():
    """A browser that a test drives (playwright)."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def sheets_of(page: Path, size: str = "") -> list[str]:
    """Text of each sheet that a page is printed on: A4, as it asks for, or of another CSS ``size``."""
    if size:
        style = f"<style>@page {{ size: {size}; margin: 12mm }}</style></head>"
        text = page.read_text().replace("</head>", style, 1)
        page = page.with_name(f"{page.stem}-{size.split(maxsplit=1)[0]}.html")
        page.write_text(text)
    pdf = page.with_suffix(".pdf")
    _chromium("--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    text = subprocess.run(
        [str(TO_TEXT), "-layout", str(pdf), "-"], capture_output=True, text=True, check=True
    ).stdout
    return text.split("\f")[:-1]


def numbers_of(html: str) -> set[str]:
    """Numbers that a reader sees in the text; figures are pictures, the attached card is closed."""
    for hidden in ("style", "svg", "details", "title"):
        html = re.sub(rf"<{hidden}\b.*?</{hidden}>", " ", html, flags=re.S)
    return set(NUMBER.findall(unescape(re.sub(r"<[^>]+>", " ", html))))


def numbers_not_on(sheets: list[str], page: Path) -> set[str]:
    """Numbers of a page that are on none of its sheets."""
    return numbers_of(page.read_text()) - set(NUMBER.findall("\n".join(sheets)))


def require_narrow(page: Path, width: int) -> None:
    """The page is no wider than its window, and nothing on it runs off to the right."""
    frame = page.with_name(f"frame{width}.html")
    frame.write_text(_OVER.format(width=width, page=page.name))
    dom = _chromium("--window-size=1400,1000", "--dump-dom", frame.as_uri())
    found = re.search(r"WIDTH (\d+) OVER (.*?) END</p>", dom)
    assert found, dom[-400:]
    assert int(found[1]) <= width
    assert found[2] == ""
