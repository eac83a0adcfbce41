"""Hook of the documentation site: pages outside docs/ join it, and links follow them there.

Pages are written for readers of the repository: a link is a path from the page's own file, be it in
docs/ or beside it. On the site docs/ is the root and everything else keeps its path below it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NAV_AFTER_METHODS = 7
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "NOTICE",
    "benchmarks/RESULTS.md",
    "benchmarks/results/*.md",
)
LINK = re.compile(r"\]\((?![a-z]+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the Python API into the navigation, those that there are."""
    pages = [*sorted(DOCS.glob("api*.md")), *sorted(DOCS.glob("notebooks/*.md"))]
    if pages and config.nav:
        section = {"Python API": [page.relative_to(DOCS).as_posix() for page in pages]}
        config.nav.insert(NAV_AFTER_METHODS, section)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/ under their path in the repository."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    del config, files
    source = Path(page.file.abs_src_path or "").resolve().relative_to(ROOT).as_posix()

    def on_site(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["path"]))
        target = path.removeprefix("docs/")
        relative = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"]({relative}{found['anchor'] or ''})"

    return LINK.sub(on_site, markdown)
