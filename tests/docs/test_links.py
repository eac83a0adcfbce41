"""Every page is on the site, and every link of the repository's pages leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAV = ROOT / "mkdocs.yml"
if not NAV.exists():
    pytest.skip("the documentation is not shipped with the package", allow_module_level=True)

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


def links(page: Path) -> list[str]:
    """Targets of the page's own links and pictures, without other hosts and its own anchors."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(<?([^)\s>]+)", text)
    return [t.partition("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    dead = [t for t in links(page) if not (page.parent / t).exists()]
    assert not dead


def test_a_dead_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) ![b](gone.png) [c](#here) [d](mailto:a@b.c) `[e](code.md)`")
    assert links(page) == ["there.md", "gone.png"]


def test_every_page_is_in_the_navigation():
    nav = NAV.read_text(encoding="utf-8")
    pages = [p for p in PAGES if p.parent != ROOT and p.parent.name != "notebooks"]
    assert len(pages) > 40
    # docs/hooks.py adds the API's page and the notebooks
    assert [p.name for p in pages if p.name not in nav] == ["api.md"]
