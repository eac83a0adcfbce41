"""Code blocks of README and docs: commands and options exist, settings are read, imports are there."""

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tomli_w
from cyclopts import CycloptsError

import jecur.cli
from jecur.cli.console import app
from jecur.settings import read_study
from jecur.simulate.slide import write_slide

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(jecur.__file__).parent / "templates" / "study.toml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}jecur .*\n(?:^ {8}.*\n)*)", re.MULTILINE)
COMMAND = re.compile(r"(?:^|[\s/])jecur (?!\.)(?P<rest>.*)")


class Block(NamedTuple):
    page: str
    language: str
    text: str


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text, name = page.read_text(), page.relative_to(ROOT).as_posix()
        found += [Block(name, language, body) for language, body in FENCE.findall(text)]
        found += [Block(name, "bash", body) for body in INDENTED.findall(FENCE.sub("", text))]
    return found


def commands() -> list[tuple[str, str]]:
    lines = []
    for block in blocks():
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                found = COMMAND.search(line.split(" #")[0])
                if found and "pip install" not in found["rest"]:
                    lines.append((block.page, found["rest"].strip()))
    return sorted(set(lines))


def of_language(language: str) -> list[Block]:
    return [block for block in blocks() if block.language == language]


def over(base: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The template with what a page says put over it."""
    merged = dict(base)
    for key, value in said.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = over(old, value) if both else value
    return merged


def test_blocks_of_every_kind_are_found():
    assert len(commands()) > 30
    assert of_language("toml")
    assert of_language("python")


@pytest.mark.parametrize(("page", "line"), commands())
def test_the_command_line_takes_what_a_page_writes(page, line):
    try:
        _, bound, ignored = app.parse_args(
            shlex.split(line), exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        pytest.fail(f"{page}: jecur {line}\n{error}")
    assert bound is not None
    assert ignored is not None


def test_an_option_that_does_not_exist_is_noticed():
    with pytest.raises(CycloptsError):
        app.parse_args(["verify", "run", "--colour"], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("block", of_language("toml"), ids=lambda b: b.page)
def test_the_study_file_takes_the_settings_a_page_writes(block, tmp_path):
    template = tomllib.loads(TEMPLATE.read_text())
    study = tmp_path / "study.toml"
    study.write_text(tomli_w.dumps(over(template, tomllib.loads(block.text))))
    assert read_study(study).cohort.table


ELSEWHERE = {"docs/api.md": "api/test_example.py", "docs/notebooks": "docs/test_notebooks.py"}
"""Pages whose blocks another test runs as a whole."""


def test_every_page_with_python_is_run_somewhere():
    for test in ELSEWHERE.values():
        assert (ROOT / "tests" / test).is_file()


@pytest.mark.parametrize(
    "block",
    [b for b in of_language("python") if not b.page.startswith(tuple(ELSEWHERE))],
    ids=lambda b: b.page,
)
def test_what_a_page_shows_runs_as_it_stands(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.full((1024, 1024, 3), 240, dtype=np.uint8)
    pixels[128:896, 128:896] = (200, 120, 170)  # tissue enough for tiles
    write_slide(tmp_path / "patient-7.svs", pixels, um_per_px=0.5)
    given = {"rgb": np.full((2, 224, 224, 3), 230, dtype=np.uint8)}
    exec(compile(block.text, block.page, "exec"), given)  # noqa: S102 - our own pages
    if "batch" in block.text:
        assert given["batch"].rgb.shape[1:] == (224, 224, 3)


@pytest.mark.parametrize("block", of_language("python"), ids=lambda b: b.page)
def test_what_a_page_imports_is_there(block):
    tree = ast.parse(block.text)
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    source = ast.unparse(ast.Module(body=imports, type_ignores=[]))
    exec(compile(source, block.page, "exec"), {})  # noqa: S102 - our own pages
