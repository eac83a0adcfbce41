"""A short campaign over the product of what a TIFF may be: the picture that was written, or why not."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader import open_slide
from jecur.slide.tiff.orientation import read_turned, turned

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "slide_differential.py"
SIZE = (340, 290)


@pytest.fixture(scope="module")
def differential():
    spec = importlib.util.spec_from_file_location("slide_differential", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.filterwarnings("ignore")
def test_every_file_is_equal_or_refused_with_a_cause_that_is_in_it(differential, tmp_path):
    found = differential.campaign(40, 3, tmp_path)
    bad = [(plan, v.outcome, v.note) for plan, v in found if v.outcome.isupper()]
    assert bad == []
    assert sum(verdict.outcome == "equal" for _, verdict in found) >= 10


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tiling", ["tiles", "strips"])
@pytest.mark.parametrize("codec", ["jpeg", "deflate"])
def test_every_turn_and_its_corners(differential, tmp_path, orientation, tiling, codec):
    first = {name: options[0] for name, options in differential.FACTORS.items()}
    plan = differential.Plan(
        **first | {"orientation": orientation, "tiling": tiling, "codec": codec}
    )
    path = tmp_path / "turned.tif"
    expected = differential.write(plan, path)[0]
    height, width = expected.shape[:2]
    with open_slide(path) as slide:
        assert (slide.size.width, slide.size.height) == (width, height)
        for x, y, w, h in ((0, 0, 9, 7), (width - 11, 0, 11, 5), (0, height - 3, 200, 3),
                           (width - 1, height - 1, 1, 1), (120, 100, 140, 150)):  # fmt: skip
            region = slide._source.read(0, x, y, w, h)
            np.testing.assert_array_equal(region, expected[y : y + h, x : x + w])


def ome_text(pixels, *, image="", before="", after=""):
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    kind = f'SizeX="{SIZE[0]}" SizeY="{SIZE[1]}" Type="uint8"'
    return (
        f'<?xml version="1.0"?>{before}<OME xmlns="{space}">{image}<Image ID="Image:0">'
        f'<Pixels DimensionOrder="XYCZT" {kind} {pixels}</Pixels></Image>{after}</OME>'
    )


RGB = '><Channel ID="Channel:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'


def write_ome(path, text, shape=None, **options):
    image = np.full(shape or (SIZE[1], SIZE[0], 3), 200, np.uint8)
    image[..., :100, :, :] = 120
    tifffile.imwrite(
        path, image, description=text.encode(), metadata=None, tile=(128, 128), ome=False,
        photometric=options.pop("photometric", "rgb"), **options,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("unit", "value"),
    [("nm", "250"), ("mm", "0.00025"), ("um", "0.25"), ("µm", "0.25"), ("&#181;m", "0.25"),
     ("&#956;m", "0.25"), ("µm", "&#48;.25"), ("cm", "0.000025"), ("micron", "2.5e-1")],
)  # fmt: skip
@pytest.mark.parametrize("quote", ['"', "'"])
def test_units_quotes_and_entities_of_ome(tmp_path, unit, value, quote):
    sizes = " ".join(
        f"PhysicalSize{axis}={quote}{value}{quote} PhysicalSize{axis}Unit = {quote}{unit}{quote}"
        for axis in "XY"
    )
    text = ome_text(f'SizeC="3" SizeZ="1" SizeT="1" {sizes}{RGB}')
    with open_slide(write_ome(tmp_path / "a.ome.tif", text)) as slide:
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(0.25), "file")


def test_an_entity_bomb_is_refused(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    text = ome_text(f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="&b;"{RGB}', before=bomb)
    with pytest.raises(SlideError, match="entity of its own"):
        open_slide(write_ome(tmp_path / "a.ome.tif", text), mpp=0.25)


@pytest.mark.parametrize("name", ["DimensionOrder", "SizeC", "SizeZ", "SizeT", "SizeX"])
def test_a_required_attribute_that_is_missing_is_named(tmp_path, name):
    text = ome_text(f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.25"{RGB}')
    path = write_ome(tmp_path / "a.ome.tif", text.replace(f" {name}=", " Other="))
    with pytest.raises(SlideError, match=name) as caught:
        open_slide(path, mpp=0.25)
    assert "damage" not in caught.value.message


def test_broken_ome_does_not_leave_the_scale_to_the_tags(tmp_path):
    text = ome_text(f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.25" <{RGB}')
    tags = {"resolution": (20_000, 20_000), "resolutionunit": "centimeter"}
    with pytest.raises(SlideError) as caught:
        open_slide(write_ome(tmp_path / "a.ome.tif", text, **tags))
    assert caught.value.code == "no-mpp"


@pytest.mark.parametrize(("tag", "outcome"), [(0.25, []), (0.2575, ["scale-contradiction"]),
                                              (0.27, "refused"), (352.8, [])])  # fmt: skip
def test_tags_beside_ome(tmp_path, tag, outcome):
    scale = 'PhysicalSizeX="0.25" PhysicalSizeY="0.25"'
    text = ome_text(f'SizeC="3" SizeZ="1" SizeT="1" {scale}{RGB}')
    tags = {"resolution": (1e4 / tag, 1e4 / tag), "resolutionunit": "centimeter"}
    path = write_ome(tmp_path / "a.ome.tif", text, **tags)
    if outcome == "refused":
        with pytest.raises(SlideError) as caught:
            open_slide(path)
        assert caught.value.code == "scale-contradiction"
    else:
        with open_slide(path) as slide:
            assert slide.mpp == pytest.approx(0.25)
            assert [flag for flag, _ in slide.notes] == outcome


def test_two_scenes_are_refused_by_name_and_overviews_are_passed_over(tmp_path):
    scale = 'PhysicalSizeX="0.25" PhysicalSizeY="0.25"'
    pixels = f'SizeC="3" SizeZ="1" SizeT="1" {scale}{RGB}'
    second = (
        '<Image ID="Image:1" Name="{}"><Pixels DimensionOrder="XYCZT" '
        'SizeX="200" SizeY="200" SizeC="3" SizeZ="1" '
        f'SizeT="1" Type="uint8" {scale}><TiffData IFD="1"/></Pixels></Image>'
    )
    for name, refused in (("patient B", True), ("label image", False), ("macro", False)):
        path = write_ome(tmp_path / "a.ome.tif", ome_text(pixels, after=second.format(name)))
        with tifffile.TiffWriter(path, append="force") as writer:
            writer.write(np.zeros((200, 200, 3), np.uint8), photometric="rgb", metadata=None)
        if refused:
            with pytest.raises(SlideError, match="patient B") as caught:
                open_slide(path)
            assert caught.value.code == "several-scans"
        else:
            with open_slide(path) as slide:
                assert slide.size.width == SIZE[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_exif_turns_plain_images(differential, tmp_path, orientation, kind):
    image = Image.fromarray(differential.picture())
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{kind}"
    image.save(path, exif=exif, quality=95) if kind == "jpeg" else image.save(path, exif=exif)
    expected = differential.turn(np.asarray(Image.open(path).convert("RGB")), orientation)
    with open_slide(path, mpp=0.5) as slide:
        pixels = slide._source.read(0, 0, 0, slide.size.width, slide.size.height)
        np.testing.assert_array_equal(pixels, expected)


def test_a_window_of_the_turned_picture_is_read_from_what_is_stored(differential):
    picture = differential.picture()
    for orientation in range(1, 9):
        expected = differential.turn(picture, orientation)
        size = turned(differential_size(picture), orientation)
        assert expected.shape[:2] == (size.height, size.width)
        region = read_turned(
            lambda x, y, w, h: picture[y : y + h, x : x + w],
            differential_size(picture), orientation, (3, 5, 30, 40),
        )  # fmt: skip
        np.testing.assert_array_equal(region, expected[5:45, 3:33])


def differential_size(image):
    return Size(image.shape[1], image.shape[0])
