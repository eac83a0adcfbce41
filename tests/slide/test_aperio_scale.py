"""An Aperio file says the same of its scale whoever decodes it: OpenSlide (JPEG), or tifffile (WebP)."""

import numpy as np
import pytest
import tifffile

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

HEAD = "Aperio Image Library v11\n256x256 (256x256) "
FIELDS = [
    "|AppMag = 40|MPP = 0.25", "|AppMag = 40", "|AppMag = 20|MPP = 0.25", "|AppMag = 40|MPP = 0",
    "|AppMag = 40|MPP = nan", "|AppMag = inf|MPP = 0.25", "|AppMag = 1e400", "|AppMag = 0|MPP = 0.25",
    "|AppMag = -40|MPP = 0.25", "|AppMag = 40X|MPP = 0.25", "|AppMag = 40|MPP = 0,25",
    "|MPP = 0.25|MPP = 0.5", "|AppMag = 40 | MPP = 2.5e-1 ", "|AppMag = 40|MPP = 250",
    "|appmag = 40|mpp = 0.25", "", "|AppMag = 40;|MPP = 0.25;", "MPP = 0.25",
]  # fmt: skip


def write(path, fields, codec, **tags):
    image = np.full((256, 256, 3), 200, np.uint8)
    tifffile.imwrite(
        path, image, photometric="rgb", tile=(256, 256), compression=codec, metadata=None,
        description=HEAD + fields, **tags,
    )  # fmt: skip
    return path


def told(path):
    """Scale, its source and flags, or the code of the refusal."""
    try:
        with open_slide(path) as slide:
            return slide.vendor, slide.mpp, slide.mpp_source, [flag for flag, _ in slide.notes]
    except SlideError as error:
        return error.code


@pytest.mark.parametrize("fields", FIELDS)
def test_fields_of_the_description(tmp_path, fields):
    as_jpeg = told(write(tmp_path / "a.svs", fields, "jpeg"))
    assert told(write(tmp_path / "b.svs", fields, "webp")) == as_jpeg
    assert as_jpeg in ("no-mpp", "implausible-mpp") or as_jpeg[1] in {0.25, 0.5}


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
@pytest.mark.parametrize(
    ("mpp", "expected"),
    [
        (0.25, ("aperio", 0.25, "file", [])),
        (0.2575, ("aperio", 0.25, "file", ["scale-contradiction"])),
        (0.5, "scale-contradiction"),
        (352.8, ("aperio", 0.25, "file", [])),
    ],
)
@pytest.mark.parametrize(("unit", "length"), [("centimeter", 1e4), ("inch", 25_400)])
def test_tags_beside_the_description(tmp_path, codec, mpp, expected, unit, length):
    tags = {"resolution": (length / mpp, length / mpp), "resolutionunit": unit}
    path = write(tmp_path / "a.svs", "|AppMag = 40|MPP = 0.25", codec, **tags)
    assert told(path) == expected
