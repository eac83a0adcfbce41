"""What the page is made of: OpenSeadragon unchanged, no script or style in the page itself."""

import hashlib
import re
from pathlib import Path

import jecur.viewer

STATIC = Path(jecur.viewer.__file__).parent / "static"


def test_openseadragon_is_the_published_file_with_its_licence():
    digest, name = (STATIC / "openseadragon.sha256").read_text().split()
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest
    assert digest == "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"  # npm 6.1.1
    assert "Redistribution and use" in (STATIC / "openseadragon.LICENSE.txt").read_text()


def test_the_page_holds_no_inline_script_or_style_and_nothing_from_elsewhere():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", page)
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert path.startswith("/static/") or path == "data:,"
        assert path == "data:," or (STATIC / path.removeprefix("/static/")).is_file()


def test_our_scripts_ask_nobody_else_and_write_no_markup():
    for path in STATIC.glob("*.js"):
        if path.name.startswith("openseadragon"):
            continue
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        links = set(re.findall(r"https?://[^\"'` ]+", text))
        assert links <= {"http://www.w3.org/2000/svg"}, path.name
