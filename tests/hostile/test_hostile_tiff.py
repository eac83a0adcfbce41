"""TIFF directories that no scanner writes: refused in one line, soon."""

import subprocess
import sys

import pytest
from tests.hostile.refusal import refused
from tests.hostile.tiff_inputs import BROKEN, tiff

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

OPEN = "import sys; from jecur.slide.reader import open_slide; open_slide(sys.argv[1], mpp=0.25)"


def read(path):
    with open_slide(path, mpp=0.25) as slide:
        return slide.read_region(0, 0, 600, 150)


@pytest.mark.parametrize("aperio", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_directory_is_refused_in_one_line(tmp_path, name, aperio):
    path = tmp_path / ("a.svs" if aperio else "a.tif")
    tiff(path, *BROKEN[name], aperio=aperio)
    if "tile of" in name or "such a tile" in name:  # before it can end this process
        gone = subprocess.run(
            [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=False
        )
        assert gone.returncode == 1, gone.stderr
    error = refused(read, path)
    assert isinstance(error, SlideError)
    assert error.code in {"unreadable", "too-large", "not-a-slide"}
    assert path.name in error.message


@pytest.mark.parametrize("aperio", [False, True])
@pytest.mark.parametrize("pages", [1, 2])
def test_a_loop_of_directories_is_refused(tmp_path, aperio, pages):
    path = tmp_path / ("a.svs" if aperio else "a.tif")
    smaller = {254: (4, [1]), 256: (4, [350]), 257: (4, [300])}
    tiff(path, *[{}, smaller][:pages], loop=True, aperio=aperio)
    error = refused(read, path)
    assert "lead back" in error.message
