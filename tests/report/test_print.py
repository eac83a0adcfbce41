"""The page on paper and on narrow screens: every number of it is there, nothing runs off."""

import re
import shutil
import subprocess
from html import unescape

import pytest

from jecur.report.document import make_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
TO_TEXT = shutil.which("pdftotext")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _chromium(*arguments: str) -> str:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-web-security")
    files = ("--allow-file-access-from-files", "--virtual-time-budget=4000")
    done = subprocess.run(
        [str(BROWSER), *flags, *files, *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(make_report(content).html)
    return path


def _numbers_of(html: str) -> set[str]:
    """Numbers that a reader sees in the text; figures are pictures, the attached card is closed."""
    for hidden in ("style", "svg", "details", "title"):
        html = re.sub(rf"<{hidden}\b.*?</{hidden}>", " ", html, flags=re.S)
    return set(NUMBER.findall(unescape(re.sub(r"<[^>]+>", " ", html))))


@needs_browser
@pytest.mark.skipif(TO_TEXT is None, reason="no pdftotext here")
def test_every_number_of_the_page_is_on_the_paper(page):
    pdf = page.with_suffix(".pdf")
    _chromium("--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    text = subprocess.run(
        [str(TO_TEXT), "-layout", str(pdf), "-"], capture_output=True, text=True, check=True
    ).stdout
    seen, printed = _numbers_of(page.read_text()), set(NUMBER.findall(text))
    assert len(seen) > 100
    assert seen - printed == set()
    pages = text.split("\f")[:-1]
    assert all(len(NUMBER.findall(sheet)) >= 3 for sheet in pages), "a sheet with no numbers"


@needs_browser
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_runs_off_the_page(page, width):
    frame = page.with_name(f"frame{width}.html")
    frame.write_text(
        f'<iframe id=f style="width:{width}px;height:900px;border:0" src="report.html"></iframe><p id=p>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument;"
        "const over = [...d.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, details') "
        f"&& e.getBoundingClientRect().right > {width} + 1).map(e => e.tagName + ' ' + e.className);"
        "document.getElementById('p').textContent = 'WIDTH ' + d.documentElement.scrollWidth + ' OVER '"
        " + over.join(', ') + ' END'; }</script>"
    )
    dom = _chromium("--window-size=1400,1000", "--dump-dom", frame.as_uri())
    found = re.search(r"WIDTH (\d+) OVER (.*?) END</p>", dom)
    assert found, dom[-400:]
    assert int(found[1]) <= width
    assert found[2] == ""
