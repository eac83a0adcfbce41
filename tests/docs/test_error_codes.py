"""Troubleshooting by code: every code in the source is on the page, and no other."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jecur
from jecur.errors import _REMEDIES

SOURCE = Path(jecur.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs" / "error_codes.md"
KEBAB = re.compile(r"[a-z]+(-[a-z0-9]+)*")
POSITION = {"doubt": 0, "oddity": 0, "say": 0, "Doubt": 0, "Caution": 0, "Finding": 1}
"""Calls that take a code by position."""
FINDINGS = (
    "slide/quality.py",
    "slide/levels.py",
    "slide/tiff/pages.py",
    "slide/tiff/reader_tifffile.py",
    "slide/resolution.py",
)
"""Modules whose pairs (code, sentence) become flags."""
FLAGS = ("slide/annotation/regions.py", "stain/normalizer.py", "cli/score.py")
"""Modules whose tuples and sets of texts are flags."""


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        text = part.value if isinstance(part, ast.Constant) else None
        if isinstance(text, str) and KEBAB.fullmatch(text):
            yield text


def _codes_of_call(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "code":
            yield from _texts(keyword.value)
    name = getattr(call.func, "id", "")
    if name in POSITION and len(call.args) > POSITION[name]:
        yield from _texts(call.args[POSITION[name]])


def _flags(node: ast.Tuple | ast.Set, module: str) -> Iterator[str]:
    parts = [p.value if isinstance(p, ast.Constant) else p for p in node.elts]
    if module in FINDINGS and len(parts) == 2 and isinstance(parts[0], str):
        yield from _texts(ast.Constant(parts[0]))
    if module in FLAGS:
        yield from (p for p in parts if isinstance(p, str) and "-" in p and KEBAB.fullmatch(p))


def codes_of(text: str, module: str) -> set[str]:
    """Every code that a module of the source can say."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            found |= set(_codes_of_call(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "id", "") in {"default_code", "code"} for target in targets):
                found |= set(_texts(node.value)) if node.value else set()
        elif isinstance(node, ast.Tuple | ast.Set):
            found |= set(_flags(node, module))
    return found


@cache
def said_by_the_source() -> frozenset[str]:
    found = {code for code, _, _ in _REMEDIES.values()}
    for path in sorted(SOURCE.rglob("*.py")):
        found |= codes_of(path.read_text(), path.relative_to(SOURCE).as_posix())
    return frozenset(found)


def told_on_the_page() -> list[str]:
    return re.findall(r"^#### (\S+)$", PAGE.read_text(), flags=re.MULTILINE)


def test_the_walk_finds_a_code_however_it_is_said():
    said = """
class A: default_code = "one"
raise E("x", code="two")
raise E("x", code=slide.code or "three")
doubt("four", column, "x")
Finding("error", "five" if bad else "six", name, "x")
"""
    assert codes_of(said, "any.py") == {"one", "two", "three", "four", "five", "six"}
    assert codes_of('f = [("ink", f"{x} of it")]', "slide/quality.py") == {"ink"}


def test_the_walk_finds_codes_of_every_kind_in_the_source():
    found = said_by_the_source()
    assert {"no-mpp", "bad-table", "disk-full", "ink", "blurred", "no-annotation"} <= found
    assert {"few-events", "wrong-unit", "same-file", "seen-in-training", "unlike-training"} <= found


def test_every_code_in_the_source_is_explained():
    missing = sorted(said_by_the_source() - set(told_on_the_page()))
    assert not missing, f"explain them in docs/error_codes.md: {', '.join(missing)}"


def test_no_code_is_explained_that_the_source_does_not_say():
    told = told_on_the_page()
    assert len(told) == len(set(told))
    gone = sorted(set(told) - said_by_the_source())
    assert not gone, f"take them out of docs/error_codes.md: {', '.join(gone)}"


def test_every_code_is_followed_by_a_sentence():
    for section in re.split(r"^#### ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        code, _, rest = section.partition("\n")
        assert rest.split("\n## ")[0].rstrip().endswith((".", "?")), code
