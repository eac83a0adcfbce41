"""A slide that took the place of the one that was scored is not shown under its scores."""

import numpy as np
import pytest
from PIL import Image
from tests.viewer.hand_made_run import write_run

from jecur.errors import SlideError
from jecur.reading.tile_pixels import TilePixels
from jecur.runs.pictures import png_bytes
from jecur.simulate.slide import write_slide
from jecur.slide.reader import open_slide
from jecur.viewer.run_slides import RunSlides
from jecur.viewer.run_tables import read_run_tables

GLASS, PINK, PURPLE = (244, 242, 243), (226, 160, 195), (105, 70, 145)


def picture(seed, width=900, height=700):
    """Pieces of tissue on glass, elsewhere for each seed."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), GLASS, np.uint8)
    for x, y in rng.integers((0, 0), (width, height), size=(30, 2)):
        image[y : y + 90, x : x + 90] = PINK
        image[y + 20 : y + 50, x + 20 : x + 70] = PURPLE
    return image


@pytest.fixture(params=["whole", "core"])
def run(tmp_path, request):
    """A run of one slide, or of one core of it, with its thumbnail."""
    (tmp_path / "slides").mkdir()
    write_slide(tmp_path / "slides" / "a.tiff", picture(1), um_per_px=0.5)
    row = {"mpp": 0.5, "mpp_source": "file", "width": 900, "height": 700, "origin": "0 0"}
    if request.param == "core":
        row |= {"core": "A-1", "width": 600, "height": 500, "origin": "200 100"}
    folder = write_run(tmp_path / "run", {"a": "a.tiff"}, rows={"a": row})
    with open_slide(tmp_path / "slides" / "a.tiff") as slide:
        part = slide.window(200, 100, type(slide.size)(600, 500)) if "core" in row else slide
        longer = max(part.size.width, part.size.height)
        (folder / "slides" / "a" / "thumbnail.png").write_bytes(
            png_bytes(part.overview(longer * 0.5 / 256))
        )
    return folder


def opened(run):
    return RunSlides(read_run_tables(run), run.parent / "slides").open(0)


def test_the_slide_of_the_run_is_opened(run):
    with opened(run) as slide:
        assert slide.size.width in {900, 600}


@pytest.mark.parametrize(
    ("image", "mpp", "found"),
    [
        (picture(2), 0.5, "other tissue"),
        (picture(1)[::-1], 0.5, "other tissue"),
        (np.roll(picture(1), 60, axis=1), 0.5, "other tissue"),
        (picture(1), 0.25, r"0\.5 um/px.*0\.25"),
        (picture(1)[:500, :700], 0.5, "700 x 500 px"),
    ],
)
def test_another_slide_of_its_name_is_refused(run, image, mpp, found):
    files = RunSlides(read_run_tables(run), run.parent / "slides")
    files.open(0).close()
    (run.parent / "slides" / "a.tiff").unlink()
    write_slide(run.parent / "slides" / "a.tiff", np.ascontiguousarray(image), um_per_px=mpp)
    with pytest.raises(SlideError, match=found) as caught:
        files.open(0)
    assert caught.value.code == "other-slide"


def test_a_review_does_not_take_it_either(run):
    pixels = TilePixels(run, run.parent / "slides")
    pixels._open("a").close()
    write_slide(run.parent / "slides" / "a.tiff", picture(2), um_per_px=0.5)
    with pytest.raises(SlideError) as caught:
        TilePixels(run, run.parent / "slides")._open("a")
    assert caught.value.code == "other-slide"


def test_a_run_that_says_nothing_of_its_slides_shows_what_is_there(tmp_path):
    write_slide(tmp_path / "a.tiff", picture(1), um_per_px=0.5)
    run = write_run(tmp_path / "run", {"a": "a.tiff"})
    with RunSlides(read_run_tables(run), tmp_path).open(0) as slide:
        assert slide.size.width == 900


def test_slight_differences_of_decoders_are_none(run):
    path = run / "slides" / "a" / "thumbnail.png"
    seen = np.asarray(Image.open(path)).astype(int)
    noise = np.random.default_rng(0).normal(0, 12, seen.shape)
    Image.fromarray(np.clip(seen + noise, 0, 255).astype(np.uint8)).save(path)
    opened(run).close()
