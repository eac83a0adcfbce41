"""Every file at hand is opened or refused as its own description says; a look tells the truth.

``golden/every_slide.csv`` was held against each folder's SOURCE.md line by line.
"""

import csv
import io
import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.preview.slide import default_recipe, preview_slide
from jecur.settings import Recipe
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide

GOLDEN = Path(__file__).parent.parent / "golden" / "every_slide.csv"
CMU = "svs_cmu1_small_region/CMU-1-Small-Region.svs"
FIELDS = {
    "status", "code", "reader", "vendor", "width", "height", "levels", "mpp", "mpp_source",
    "tissue_mm2", "flags",
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return default_recipe()


def test_every_file_is_opened_or_refused_as_described(test_data, recipe):
    root = test_data / "slides"
    with GOLDEN.open(newline="") as file:
        rows = list(csv.DictReader(file))
    on_disk = {
        str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.name != "SOURCE.md"
    }
    assert on_disk <= {row["file"] for row in rows}
    differing = {}
    for row in rows:
        found = preview_slide(root / row["file"], recipe)
        mpp = "" if found.mpp is None else str(round(found.mpp, 4))
        seen = (
            found.reader, found.vendor, str(found.width), str(found.height), str(found.levels), mpp,
            found.status, found.code,
        )  # fmt: skip
        expected = tuple(row[k] for k in list(row)[1:])
        if seen != expected:
            differing[row["file"]] = (seen, expected)
    assert differing == {}


def jpegs_of(path):
    """All JPEG streams of a file, decoded one by one, in the order they lie in it."""
    data, start, found = path.read_bytes(), 0, []
    while (start := data.find(b"\xff\xd8\xff", start)) >= 0:
        end = data.find(b"\xff\xd9", start) + 2
        found.append(np.asarray(Image.open(io.BytesIO(data[start:end])).convert("RGB")))
        start = end
    return found


def mosaic(tiles, columns, rows):
    side = tiles[0].shape[0]
    image = np.zeros((rows * side, columns * side, 3), np.uint8)
    for k, tile in enumerate(tiles[: rows * columns]):
        y, x = divmod(k, columns)
        image[y * side : (y + 1) * side, x * side : (x + 1) * side] = tile
    return image


def page(number):
    def read(path):
        with tifffile.TiffFile(path) as file:
            return file.pages[number].asarray()

    return read


GOOD = [
    # file, an independent way to its level 0
    (CMU, page(0)),
    ("constructed/generic_pyramid.tiff", page(0)),
    ("constructed/constructed_philips.tiff", page(0)),
    ("constructed/constructed_HE.ndpi", page(0)),
    ("constructed/constructed.scn", page(1)),
    ("constructed/pyramid.ome.tiff", lambda p: np.asarray(Image.open(p).convert("RGB"))),
    ("constructed/dicom_cmu1_colourfixed",
     lambda p: mosaic(jpegs_of(p / "level-0-frames-0-30.dcm"), 5, 6)),
    ("constructed/mirax/constructed_sparse.mrxs",
     lambda p: mosaic(jpegs_of(p.with_suffix("") / "Data0000.dat"), 8, 11)),
]  # fmt: skip


@pytest.mark.parametrize(("file", "read"), GOOD, ids=[file for file, _ in GOOD])
def test_pixels_are_those_of_an_independent_reader_to_the_edges(test_data, file, read):
    whole = read(test_data / "slides" / file)
    with open_slide(test_data / "slides" / file) as slide:
        width, height = slide.size.width, slide.size.height
        for x in (0, 237, width // 2, width - 96):
            for y in (0, 251, height // 2, height - 96):
                region = slide.read_region(x, y, 96, 96)
                np.testing.assert_array_equal(region, whole[y : y + 96, x : x + 96])
        corner = slide.read_region(width - 48, height - 48, 96, 96)
        np.testing.assert_array_equal(
            corner[:48, :48], whole[height - 48 : height, width - 48 : width]
        )
        assert (corner[48:] == 255).all()
        assert (corner[:, 48:] == 255).all()


def test_one_object_is_printed_and_the_exit_code_follows(test_data, tmp_path, capsys):
    slides = test_data / "slides"
    assert run(["inspect", str(slides / CMU), "--json", "--preview", str(tmp_path / "p.png")]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= FIELDS
    assert found["status"] == "ok"
    assert found["flags"] == []
    with Image.open(tmp_path / "p.png") as preview:
        assert 800 < max(preview.size) <= 1300
        colors = {c for _, c in preview.getcolors(2**24)}
    assert (0, 130, 90) in colors
    assert (20, 110, 180) in colors
    refused = slides / "bad_and_tiny_files/broken.svs"
    assert run(["inspect", str(refused), "--json"]) == SOME_FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["code"], found["mpp"]) == ("failed", "not-a-slide", None)
    assert found.keys() >= FIELDS


def test_labels_barcodes_and_dates_stay_in_the_file(test_data, tmp_path, capsys):
    """CMU-1 holds a label and a macro image, the date 12/29/09 and a scan number."""
    path = test_data / "slides" / CMU
    run(["inspect", str(path), "--json", "--preview", str(tmp_path / "p.png")])
    printed = capsys.readouterr()
    for secret in ("12/29/09", "1004486", "09:59:15", "ScanScope ID", "CPAPERIOCS"):
        assert secret not in printed.out + printed.err
        assert secret.encode() not in (tmp_path / "p.png").read_bytes()
    with open_slide(path) as slide:  # the preview has the shape of the scanned field alone
        ratio = slide.size.width / slide.size.height
    with Image.open(tmp_path / "p.png") as preview:
        assert preview.width / preview.height == pytest.approx(ratio, rel=0.01)
        assert preview.info == {}


def hostile(tmp_path, kind):
    path = tmp_path / f"{kind}.tiff"
    if kind == "zero-bytes":
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link-loop":
        path.symlink_to(path)
    elif kind == "dangling-link":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "png-bomb":
        path = tmp_path / "bomb.png"
        Image.new("L", (14_000, 14_000)).convert("P").save(path)
    elif kind == "jpeg-bomb":
        path = tmp_path / "bomb.jpg"
        Image.new("RGB", (64, 64), "pink").save(path)
        content = bytearray(path.read_bytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = b"\xff\xdc\xff\xdc"
        path.write_bytes(content)
    elif kind == "directory-loop":
        entry = struct.pack("<HHII", 256, 4, 1, 4096)
        path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + struct.pack("<I", 8))
    elif kind == "tile-bomb":
        pixels = np.full((512, 512, 3), 200, np.uint8)
        tifffile.imwrite(path, pixels, tile=(256, 256), compression="jpeg", photometric="ycbcr")
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            places = [tags[name].valueoffset for name in ("TileWidth", "TileLength")]
        content = bytearray(path.read_bytes())
        for at in places:
            content[at : at + 2] = (65_520).to_bytes(2, "little")
        path.write_bytes(content)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "zero-bytes",
        "fifo",
        "link-loop",
        "dangling-link",
        "png-bomb",
        "jpeg-bomb",
        "tile-bomb",
        "directory-loop",
        "folder",
    ],
)
def test_hostile_paths_are_refused_at_once(tmp_path, recipe, kind):
    path = hostile(tmp_path, kind)
    start = time.monotonic()
    found = preview_slide(path, recipe, mpp=0.5)
    assert time.monotonic() - start < 2.0
    assert found.status == "failed"
    assert found.code in {
        "truncated",
        "not-a-slide",
        "missing-file",
        "too-large",
        "unreadable",
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "slides" / "b").mkdir(parents=True)
    rng = np.random.default_rng(2)
    stain = slide_stain(
        site_stain(rng, angle_deg=4, intensity_sd=0.1), rng, angle_deg=1, intensity_sd=0.05
    )
    for name, um in (("one", 0.5), ("two", 0.5), ("three", 0.5), ("b/one", 1.2)):
        tissue = render_tissue(TissueFeatures(0.5, 0.5, 0.5, 0.5), (640, 640), 0.5, rng)
        image = render_rgb(tissue, stain, rng)
        write_slide(folder / "slides" / f"{name}.tiff", image, um_per_px=um)
    copy = (folder / "slides" / "two.tiff").read_bytes()
    (folder / "slides" / "copy.tiff").write_bytes(copy)
    (folder / "slides" / "spare.tiff").write_bytes(copy + b"spare")
    (folder / "slides" / "broken.svs").write_bytes(b"no slide at all")
    (folder / "slides" / "stray.tiff").write_bytes(copy[:-1] + b"\0")
    (folder / "clinical.csv").write_text(
        "patient_id,time,event,role,slide\n"
        "001,10,1,training,one.tiff\n002,20,0,training,two.tiff\n003,30,1,validation,three.tiff\n"
        "004,12,1,validation,b/one.tiff\n005,12,0,validation,copy.tiff\n"
        "006,9,0,validation,broken.svs\n007,9,,validation,spare.tiff\n"
    )
    return folder


def test_a_cohort_is_looked_over_before_a_run(cohort, capsys):
    arguments = [
        "doctor",
        str(cohort / "slides"),
        "--table",
        str(cohort / "clinical.csv"),
        "--json",
    ]
    assert run(arguments) == SOME_FAILED
    found = json.loads(capsys.readouterr().out)
    told = {(f["severity"], f["code"], f["subject"]) for f in found["findings"]}
    assert ("error", "not-a-slide", "broken") in told
    assert ("error", "same-file", "two, copy") in told
    assert ("warning", "duplicate-stem", "one") in told
    assert ("warning", "mpp-outlier", "b__one") in told
    assert ("warning", "unmatched-slide", "stray.tiff") in told
    assert ("warning", "excluded-patient", "007") in told
    assert (found["n_patients"], found["n_excluded"], found["n_unreadable"]) == (6, 1, 1)
    assert found["events"]["training"] == [1, 2]
    assert found["events"]["validation"] == [2, 4]


def test_a_doctor_without_a_folder_says_so(tmp_path):
    assert run(["doctor", str(tmp_path / "none"), "--table", "t.csv"]) == USER_ERROR
