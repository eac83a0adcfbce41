"""Pages of the site made of the notebooks: each is executed, and what it showed is written beside it.

    python docs/notebook_pages.py            # all notebooks of docs/notebooks
    python docs/notebook_pages.py 3_*.ipynb  # some

A notebook is kept without outputs, so that a change of it is a change of its text. Pictures become JPEG
files, figures SVG files, tables of numbers HTML.
"""

import base64
import html
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent / "notebooks"
WIDTH_PX = 900
SHELL = "%%bash\n"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LOOKS = re.compile(r'<style.*?</style>\s*| border="1" class="dataframe"', re.DOTALL)
"""What pandas says of the looks of a table: the site has its own."""


def executed(notebook: Path, folder: Path, timeout_s: int = 600) -> nbformat.NotebookNode:
    """Run a notebook in ``folder`` with this interpreter's own programs first; raise what it raises."""
    found = nbformat.read(notebook, as_version=4)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        where = {"metadata": {"path": str(folder)}}
        NotebookClient(found, timeout=timeout_s, kernel_name="python3", resources=where).execute()
    finally:
        os.environ["PATH"] = before
    return found


def page_of(notebook: nbformat.NotebookNode, name: str) -> dict[str, bytes]:
    """Files of one notebook's page: the page itself and its pictures."""
    files: dict[str, bytes] = {}
    lines = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines.append(cell.source)
            continue
        shell = cell.source.startswith(SHELL)
        language = "bash" if shell else "python"
        lines.append(f"```{language}\n{cell.source.removeprefix(SHELL)}\n```")
        said = "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
        lines.append(_text(said))  # progress goes to the other stream
        for output in cell.outputs:
            if "data" in output:
                lines.append(_shown(output.data, name, files))
    lines.append(f"[This notebook]({name}.ipynb) to run yourself: `pip install jupyterlab`.")
    files[f"{name}.md"] = ("\n\n".join(line for line in lines if line) + "\n").encode()
    return files


def _shown(data: Mapping[str, str], name: str, files: dict[str, bytes]) -> str:
    """One thing as it shows itself: a figure, a picture, a table or text."""
    said = html.escape(data.get("text/plain", "picture"), quote=True)
    if "image/svg+xml" in data:
        picture = f"{name}_{len(files)}.svg"
        files[picture] = data["image/svg+xml"].encode()
    elif "image/png" in data:
        picture = f"{name}_{len(files)}.jpg"
        files[picture] = _jpeg(base64.b64decode(data["image/png"]))
    elif "text/html" in data:
        return f'<div class="shown" markdown="0">{LOOKS.sub("", data["text/html"])}</div>'
    else:
        return _text(data["text/plain"])
    return f"![{said}]({picture})"


def _text(text: str) -> str:
    plain = ESCAPES.sub("", text).strip("\n")
    return f"```text\n{plain}\n```" if plain else ""


def _jpeg(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        image = picture.convert("RGB")
    image.thumbnail((WIDTH_PX, WIDTH_PX))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=82, optimize=True)
    return written.getvalue()


def main() -> None:
    """Write the pages of the notebooks named, or of all."""
    for pattern in sys.argv[1:] or ["*.ipynb"]:
        for notebook in sorted(FOLDER.glob(pattern)):
            with TemporaryDirectory() as folder:
                done = executed(notebook, Path(folder))
            for old in FOLDER.glob(f"{notebook.stem}_*"):
                old.unlink()
            for name, content in page_of(done, notebook.stem).items():
                (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
