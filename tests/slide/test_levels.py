"""Levels that are no smaller copies of the first: left out and told; those that are, stay, however made."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.slide.conftest import tissue_image

from jecur.slide.reader import open_slide

WIDTH, HEIGHT, TILE = 1050, 800, 256
APERIO = f"Aperio Image Library v11\n{WIDTH}x{HEIGHT} (256x256) |AppMag = 20|MPP = 0.5000"
OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    f'<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="3" SizeZ="1" '
    'SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0" SamplesPerPixel="3"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


@pytest.fixture(scope="module")
def whole():
    """Tissue, darker from left to right: what is shifted or cut is another picture."""
    image = tissue_image(WIDTH, HEIGHT).astype(float)
    image *= np.linspace(1.0, 0.6, WIDTH)[None, :, None]
    return np.rint(image).astype(np.uint8)


def reduced(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def padded(image, right, below):
    return np.pad(image, ((0, below), (0, right), (0, 0)), constant_values=255)


def write(path, levels, kind, codec="deflate"):
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, level in enumerate(levels):
            options = {"photometric": "rgb", "tile": (TILE, TILE), "compression": codec}
            if number:
                options["subfiletype"] = 1
            else:
                options |= {"resolution": (2e4, 2e4), "resolutionunit": "centimeter"}
                options["subifds"] = len(levels) - 1 if kind in {"ome", "subifds"} else 0
            if kind == "aperio" or (kind == "ome" and not number):
                options["description"] = {"aperio": APERIO, "ome": OME}[kind]
            writer.write(level, metadata=None, **options)
    return path


SUFFIXES = {"generic": ".tif", "aperio": ".svs", "subifds": ".tif", "ome": ".ome.tif"}
STRANGE = {
    "a label": lambda image: np.full((220, 300, 3), (40, 180, 60), np.uint8),
    "a label of the slide's shape": lambda image: np.full((200, 262, 3), (40, 180, 60), np.uint8),
    "another scan": lambda image: reduced(image[::-1, ::-1], 262, 200),
    "padded to whole tiles": lambda image: padded(reduced(image, 262, 200), 250, 56),
    "padded in its shape": lambda image: reduced(padded(image, WIDTH // 2, HEIGHT // 2), 262, 200),
    "cut off": lambda image: reduced(image, 262, 200)[:140, :230],
    "some tiles blank": lambda image: np.where(
        np.arange(262)[None, :, None] < 128, 255, reduced(image, 262, 200)
    ).astype(np.uint8),
}
ROUNDED = {
    "up": [(525, 400), (263, 200), (132, 100)],
    "down": [(525, 400), (262, 200), (131, 100)],
    "odd factors": [(350, 267), (143, 109)],
    "one large step": [(65, 50)],
    "down to a pixel": [(525, 400), (65, 50), (9, 7), (2, 2), (1, 1)],
}


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.parametrize("name", STRANGE)
def test_a_level_that_is_no_copy_is_not_read(tmp_path, whole, kind, name):
    levels = [whole, reduced(whole, 525, 400), STRANGE[name](whole)]
    path = write(tmp_path / f"a{SUFFIXES[kind]}", levels, kind)
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(1050, 800), (525, 400)]
        for step in (4, 8):
            shown = slide.read_region(0, 0, 784, 784 // step).astype(int)
            expected = reduced(whole[:784, :784], 784 // step, 784 // step).astype(int)
            assert np.abs(shown - expected)[2:-2, 2:-2].mean() < 4.0
        if kind in {
            "generic",
            "aperio",
        }:  # what hangs below a page in another shape is no level at all
            assert "levels-disagree" in dict(slide.notes)


def sparse_slide(seed):
    """Glass with one island of tissue, away from the corners and the middle."""
    rng = np.random.default_rng(seed)
    image = np.full((2400, 3200, 3), 243, np.uint8)
    left, top = int(rng.integers(900, 1100)), int(rng.integers(1500, 1600))
    image[top : top + 500, left : left + 500] = tissue_image(500, 500, seed)
    return image


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["another scan", "shifted", "mirrored", "tissue missing"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_level_that_is_wrong_where_the_little_tissue_is(tmp_path, seed, name, number):
    image = sparse_slide(seed)
    levels = [image, reduced(image, 800, 600), reduced(image, 200, 150)]
    wrong = {
        "another scan": reduced(sparse_slide(seed + 9)[::-1], 800, 600),
        "shifted": np.roll(levels[1], 40, axis=1),
        "mirrored": levels[1][:, ::-1],
        "tissue missing": np.full_like(levels[1], 243),
    }[name]
    levels[number] = wrong if number == 1 else reduced(wrong, 200, 150)
    with open_slide(write(tmp_path / "a.tif", levels, "generic")) as slide:
        kept = {(size.width, size.height) for size in slide.levels}
        assert kept == {(3200, 2400), (800, 600), (200, 150)} - {levels[number].shape[1::-1]}
        assert "levels-disagree" in dict(slide.notes)


@pytest.mark.parametrize("kind", ["generic", "ome"])
@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize(("codec", "way"), [("deflate", "NEAREST"), ("jpeg", "LANCZOS")])
def test_a_copy_is_a_level_however_it_was_made(tmp_path, whole, kind, name, codec, way):
    image, method = Image.fromarray(whole), Image.Resampling[way]
    levels = [whole, *(np.asarray(image.resize(size, method)) for size in ROUNDED[name])]
    path = write(tmp_path / f"a{SUFFIXES[kind]}", levels, kind, codec)
    with open_slide(path) as slide:
        assert "levels-disagree" not in dict(slide.notes)


def test_a_level_that_cannot_be_decoded_is_left_to_whoever_reads_it(tmp_path, whole):
    path = write(tmp_path / "a.tif", [whole, reduced(whole, 525, 400)], "generic", "jpeg")
    with tifffile.TiffFile(path) as file:
        page = file.pages[1]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with path.open("r+b") as stream:
        for offset, count in places:
            stream.seek(offset + 20)
            stream.write(b"\xff\xd9" * ((count - 40) // 2))
    with open_slide(path) as slide:
        assert len(slide.levels) == 2
        assert slide.read_region(0, 0, 256, 256).shape == (256, 256, 3)
