"""The notebooks run from top to bottom on what they draw themselves; the site shows what is in them."""

import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="needs the extra: docs")
pytest.importorskip("nbclient", reason="needs the extra: docs")
pytest.importorskip("ipykernel", reason="needs the extra: docs")

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```(?:python|bash)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def _pages():
    spec = importlib.util.spec_from_file_location("notebook_pages", DOCS / "notebook_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = _pages()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_page_shows_the_text_of_the_notebook(notebook):
    found = nbformat.read(notebook, as_version=4)
    code = [c.source.removeprefix(pages.SHELL) for c in found.cells if c.cell_type == "code"]
    page = notebook.with_suffix(".md").read_text(encoding="utf-8")
    assert FENCE.findall(page) == code
    assert all(c.source in page for c in found.cells if c.cell_type == "markdown")
    assert all(not c.outputs for c in found.cells if c.cell_type == "code")
    shown = set(re.findall(r"\]\(([^)/]+\.(?:jpg|svg))\)", page))
    assert shown == {p.name for p in notebook.parent.glob(f"{notebook.stem}_*.???")}


@pytest.mark.filterwarnings("default")  # of the kernel's own libraries
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_its_pictures_show_something(notebook, tmp_path):
    done = pages.executed(notebook, tmp_path)
    files = pages.page_of(done, notebook.stem)
    assert files.keys() == {
        notebook.with_suffix(".md").name,
        *(p.name for p in notebook.parent.glob(f"{notebook.stem}_*.???")),
    }
    for name, content in files.items():
        if name.endswith(".jpg"):
            with Image.open(io.BytesIO(content)) as picture:
                assert np.asarray(picture).std() > 10, name
        elif name.endswith(".svg"):
            assert content.count(b"<path") > 20, name
