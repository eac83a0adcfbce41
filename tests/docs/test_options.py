"""Every option that a page names in its text, its tables or its commands is one of the command line."""

import re
from pathlib import Path

import pytest
from cyclopts import App

from jecur.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").rglob("*.ipynb"), ROOT / "README.md"]
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Options of the programs that stand beside Jecur on a page: a line with one of these words may name them.
OTHERS = re.compile(
    r"\b(pip|mkdocs|dask worker|torchrun|srun|sbatch|accelerate|python -m benchmarks)\b"
    r"|--(?:ntasks|cpus-per-task)"
)


def options(of: App) -> set[str]:
    """Every name of every option of a command and those below it."""
    found = {"--help", "--version"}
    for name in of:
        if not name.startswith("-"):
            found |= options(of[name])
    if of.default_command is not None:
        found |= {name for one in of.assemble_argument_collection() for name in one.names}
    return found


KNOWN = options(app)


def strangers(text: str) -> list[str]:
    """Options of a text that no command has."""
    lines = [line for line in text.splitlines() if not OTHERS.search(line)]
    return [name for line in lines for name in OPTION.findall(line) if name not in KNOWN]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_option_that_is_none(page: Path) -> None:
    assert strangers(page.read_text("utf-8")) == []


def test_an_option_that_is_none_is_seen() -> None:
    assert len(KNOWN) > 100
    assert strangers("give `--wrokers 3`, or --out DIR; `--help`") == ["--wrokers"]
