"""Pictures of the demonstration in README and docs, taken anew from a finished run.

    jecur demo --out demo && python -m benchmarks.report_pictures demo

Chromium draws the top of the report (``docs/images/report.png``) and its Kaplan-Meier curves
(``docs/images/kaplan_meier.png``); what the report says first is printed, for the README's block of text.
Figures of the README, `docs/demo.md` and `docs/reading_the_report.md` are those of one run: they change
together.
"""

import os
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path

from benchmarks.common import ROOT, Arguments

IMAGES = ROOT / "docs" / "images"
TOP_PX, CURVES_PX = (900, 580), (722, 518)


def drawn(page: Path, size: tuple[int, int], to: Path) -> None:
    """Draw the top of a page as a picture of so many pixels."""
    browser = os.environ.get("JECUR_CHROMIUM") or shutil.which("chromium")
    if browser is None:
        raise SystemExit("expected Chromium, found none; apt install chromium")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    subprocess.run(
        [
            browser,
            *flags,
            f"--window-size={size[0]},{size[1]}",
            f"--screenshot={to}",
            page.resolve().as_uri(),
        ],
        check=True,
        capture_output=True,
    )


def said_first(report: str) -> str:
    """Headline and detail of a report, as text."""
    verdict = re.search(r'<section class="verdict.*?</section>', report, re.S)
    if verdict is None:
        raise SystemExit("expected a verdict in the report, found none")
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", verdict[0])).split())


def main() -> None:
    """Draw both pictures."""
    parser = Arguments(__doc__)
    parser.add_argument("run", type=Path, help="folder of jecur demo")
    run = parser.parse_args().run
    report = run / "report.html"
    drawn(report, TOP_PX, IMAGES / "report.png")
    curves = (run / "figures" / "kaplan_meier.svg").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "curves.html"
        style = "<style>body { margin: 0 } svg { width: 100vw; height: 100vh }</style>"
        page.write_text(f"<!doctype html>{style}{curves[curves.index('<svg') :]}", encoding="utf-8")
        drawn(page, CURVES_PX, IMAGES / "kaplan_meier.png")
    print(said_first(report.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
