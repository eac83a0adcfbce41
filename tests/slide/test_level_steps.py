"""Places on every level of pyramids whose sides do not divide: colors tell the place, to the far corner."""

import math

import numpy as np
import pytest
import tifffile
from tests.slide.test_levels import OME

from jecur.geometry import Size
from jecur.slide.reader import open_slide
from jecur.slide.resample import level_downsample

SLIDES = ((4003, 357), (431, 3989))
LOW, SPAN = 20.0, 200.0
ROUNDED = {"down": math.floor, "up": math.ceil}


def colors(width, height, *, shape, step_x, step_y):
    """Level of a slide whose red rises with x and green with y; its first pixel begins at (0, 0)."""
    x, y = (np.arange(shape[0]) + 0.5) * step_x, (np.arange(shape[1]) + 0.5) * step_y
    image = np.full((shape[1], shape[0], 3), 128.0)
    image[..., 0] = LOW + SPAN * np.minimum(x / width, 1.0)
    image[..., 1] = LOW + SPAN * np.minimum(y / height, 1.0)[:, None]
    return np.rint(image).astype(np.uint8)


def write(path, size, steps, rounding, *, cut, kind):
    width, height = size
    aperio = f"Aperio Image Library v11\n{width}x{height} (240x240) |AppMag = 20|MPP = 0.5000"
    ome = OME.replace('SizeX="1050" SizeY="800"', f'SizeX="{width}" SizeY="{height}"')
    with tifffile.TiffWriter(path, ome=False) as writer:
        for step in (1, *steps):
            shape = tuple(rounding(side / step) for side in size)
            told = (step, step) if cut else (width / shape[0], height / shape[1])
            options = {"photometric": "rgb", "tile": (240, 240), "compression": "deflate"}
            if step == 1:
                options |= {"resolution": (2e4, 2e4), "resolutionunit": "centimeter"}
                options["subifds"] = len(steps) if kind in {"ome", "subifds"} else 0
            else:
                options["subfiletype"] = 1
            if kind == "aperio" or (kind == "ome" and step == 1):
                options["description"] = {"aperio": aperio, "ome": ome}[kind]
            image = colors(width, height, shape=shape, step_x=told[0], step_y=told[1])
            writer.write(image, metadata=None, **options)
    return path


@pytest.mark.parametrize("kind", ["generic", "aperio", "ome", "subifds"])
@pytest.mark.parametrize("steps", [(2, 4, 8), (3, 9), (5,), (16,), (2.5, 6.25)])
@pytest.mark.parametrize("rounding", ROUNDED)
def test_no_place_of_a_level_is_off_by_more_than_the_pixel_that_was_rounded_away(
    tmp_path, kind, steps, rounding
):
    suffix = {"aperio": ".svs", "ome": ".ome.tif"}.get(kind, ".tif")
    for size in SLIDES:
        for cut in (True, False):  # what does not divide was cut off, or squeezed in
            path = tmp_path / f"{size[0]}-{cut}{suffix}"
            write(path, size, steps, ROUNDED[rounding], cut=cut, kind=kind)
            with open_slide(path) as slide:
                assert len(slide.levels) == 1 + len(steps)
                assert "levels-disagree" not in dict(slide.notes)
                for step in slide.downsamples[1:]:
                    # OpenSlide is asked for whole pixels of level 0
                    assert max(_off(slide, size, step)) < 1.05 + 0.5 / step


def _off(slide, size, step):
    """Pixels of the level, in x and y, that the far corner and the middle of each side are shown beside."""
    found = []
    for side in (min(size) / 2, min(size) / 5):
        pixels = max(1, round(side / step))
        side = pixels * step  # noqa: PLW2901
        for x, y in (
            (size[0] - side, size[1] - side),
            (size[0] / 2 - side / 2, 0.0),
            (0.0, size[1] / 2 - side / 2),
        ):
            shown = slide.read_region(x, y, side, pixels).astype(float)
            place = x + side / 2, y + side / 2
            means = shown[..., :2].mean(axis=(0, 1))
            wanted = [LOW + SPAN * at / whole for at, whole in zip(place, size, strict=True)]
            slopes = [SPAN * step / whole for whole in size]
            # half a color level is rounding
            found += [
                max(abs(m - w) - 0.5, 0.0) / s
                for m, w, s in zip(means, wanted, slopes, strict=True)
            ]
    return found


@pytest.mark.parametrize("size", [(100_003, 9_973), (9_973, 100_003), (46_000, 32_914), (700, 700)])
@pytest.mark.parametrize("step", [2, 3, 4, 16, 32])
@pytest.mark.parametrize("rounding", ROUNDED)
def test_the_step_of_a_level_brings_its_far_end_to_the_slides_own(size, step, rounding):
    shape = [ROUNDED[rounding](side / step) for side in size]
    found = level_downsample(Size(*size), Size(*shape))
    ends = [side / found - pixels for side, pixels in zip(size, shape, strict=True)]
    assert max(map(abs, ends)) <= 1.0
