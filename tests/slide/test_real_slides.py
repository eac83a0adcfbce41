"""Every real or constructed slide file: opened as what, or refused why."""

import json

import numpy as np
import pytest
from PIL import Image

from jecur.errors import SlideError
from jecur.settings import TilingSettings, TissueSettings
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileLoss, read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

CMU = "svs_cmu1_small_region/CMU-1-Small-Region.svs"
DAPI = "ndpi_fluorescence_nonHE/test3-DAPI-2-(387).ndpi"
FIXED = "constructed/dicom_cmu1_colourfixed"
WRONG = "dicom_cmu1_pyramid_wrong_colour/cmu-1-small-region"

OPENED = [
    # file, reader, vendor, width, height, levels, mpp, source, name
    (CMU, "openslide", "aperio", 2220, 2967, 1, 0.499, "file", "CMU-1-Small-Region"),
    ("constructed/constructed_HE.ndpi", "openslide", "hamamatsu", 2048, 2816, 8, 0.499, "file",
     "constructed_HE"),
    ("constructed/constructed.scn", "openslide", "leica", 2048, 2816, 4, 0.499, "file",
     "constructed"),
    ("constructed/constructed_philips.tiff", "openslide", "philips", 2048, 2816, 4, 0.499, "file",
     "constructed_philips"),
    ("constructed/mirax/constructed_sparse.mrxs", "openslide", "mirax", 2048, 2816, 4, 0.499,
     "file", "constructed_sparse"),
    ("constructed/generic_pyramid.tiff", "openslide", "generic-tiff", 2048, 2816, 4, 0.499,
     "resolution-tag", "generic_pyramid"),
    ("constructed/pyramid.ome.tiff", "tifffile", "ome-tiff", 2048, 2816, 4, 0.499, "file",
     "pyramid.ome"),
    (FIXED, "openslide", "dicom", 2220, 2967, 4, 0.499, "file", "dicom_cmu1_colourfixed"),
    (f"{FIXED}/level-2-frames-0-4.dcm", "openslide", "dicom", 2220, 2967, 4, 0.499, "file",
     "dicom_cmu1_colourfixed"),
    (DAPI, "openslide", "hamamatsu", 3968, 4864, 7, 0.2282, "file", "test3-DAPI-2-(387)"),
    ("ome_tiff_ki67_ihc_nonHE/OS-2-ndpi.ome.tif", "tifffile", "ome-tiff", 2202, 2202, 1, 0.2271,
     "file", "OS-2-ndpi.ome"),
    ("ome_tiff_ki67_ihc_nonHE/OS-2-vsi.ome.tif", "tifffile", "ome-tiff", 1445, 1445, 1, 0.3461,
     "file", "OS-2-vsi.ome"),
    ("bad_and_tiny_files/small.svs", "openslide", "aperio", 16, 16, 1, 0.499, "file", "small"),
    ("bad_and_tiny_files/no_dzi.tif", "openslide", "generic-tiff", 3072, 3456, 1, 0.9724,
     "resolution-tag", "no_dzi"),
]  # fmt: skip

REFUSED = [
    # file, mpp given, code
    ("bad_and_tiny_files/boxes.tiff", None, "implausible-mpp"),
    ("bad_and_tiny_files/broken.svs", None, "not-a-slide"),
    ("bad_and_tiny_files/corrupt.png", 0.5, "not-a-slide"),
    ("bad_and_tiny_files/invalid_resolutions_tiff.tif", None, "no-mpp"),
    ("bad_and_tiny_files/smalltif.tif", 0.5, "not-a-slide"),
    ("bad_and_tiny_files/unopenable.tiff", 0.5, "unreadable"),
    ("constructed/bad/empty.svs", None, "truncated"),
    ("constructed/bad/truncated_half.svs", None, "truncated"),
    ("constructed/bad/truncated_last1k.svs", None, "truncated"),
    ("constructed/generic_pyramid_nompp.tiff", None, "no-mpp"),
    ("dicom_google_nonHE/jpeg/jpeg.dcm", None, "implausible-mpp"),
    ("dicom_google_nonHE/jpeg2000/jpeg2000.dcm", None, "implausible-mpp"),
    ("dicom_google_nonHE/raw", None, "implausible-mpp"),
    ("dicom_pathml_nonconformant/small_dicom.dcm", None, "unreadable"),
    ("mirax_vms_damaged/mrxs_damaged_index/Mirax2-Fluorescence-1.mrxs", None, "unreadable"),
    ("mirax_vms_damaged/mrxs_without_folder/CMU-1-Saved-1_16.mrxs", None, "missing-file"),
    ("mirax_vms_damaged/vms_damaged/CMU-1-40x - 2010-01-12 13.24.05.vms", None, "unreadable"),
    ("tiff_bracs_cropped_bogus_mpp/BRACS_1640_N_3_cropped.tiff", None, "implausible-mpp"),
    ("qc/slide.jpeg", None, "no-mpp"),
    ("qc/histoqc_pen/pen_red_mask.png", 0.5, "not-a-slide"),
    (f"{WRONG}/level-0-frames-0-30.dcm", None, "unreadable"),
    ("annotations", None, "not-a-slide"),
]

NO_TISSUE = [
    # file, mpp given, code once tissue is looked for
    (DAPI, None, "not-he"),
    ("ome_tiff_ki67_ihc_nonHE/OS-2-ndpi.ome.tif", None, "not-he"),
    ("ome_tiff_ki67_ihc_nonHE/OS-2-vsi.ome.tif", None, "not-he"),
    ("dicom_google_nonHE/jpeg/jpeg.dcm", 0.5, "not-he"),
    ("bad_and_tiny_files/no_dzi.tif", None, "no-tissue"),
    ("bad_and_tiny_files/small.svs", None, "too-small"),
    ("bad_and_tiny_files/unreadable.svs", None, "too-small"),
    ("bad_and_tiny_files/invalid_resolutions_tiff.tif", 0.5, "no-tissue"),
    ("qc/ndpi_macro.jpg", 2.0, "no-tissue"),
]


@pytest.mark.parametrize("row", OPENED, ids=lambda row: row[0])
def test_opened_as(test_data, row):
    file, reader, vendor, width, height, n_levels, mpp, source, name = row
    with open_slide(test_data / "slides" / file) as slide:
        assert (slide.reader, slide.vendor, slide.name) == (reader, vendor, name)
        assert (slide.size.width, slide.size.height) == (width, height)
        assert len(slide.levels) == len(slide.downsamples) == n_levels
        assert slide.mpp == pytest.approx(mpp, abs=1e-3)
        assert slide.mpp_source == source
        assert (slide.levels[0].width, slide.downsamples[0]) == (width, 1.0)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row[0])
def test_refused_because(test_data, row):
    file, mpp, code = row
    path = test_data / "slides" / file
    with pytest.raises(SlideError) as refusal:
        open_slide(path, mpp=mpp)
    assert refusal.value.code == code
    assert str(path.parent) not in refusal.value.message
    assert path.name in refusal.value.message


@pytest.mark.parametrize("row", NO_TISSUE, ids=lambda row: row[0])
def test_no_he_tissue_because(test_data, row):
    file, mpp, code = row
    with (
        open_slide(test_data / "slides" / file, mpp=mpp) as slide,
        pytest.raises(SlideError) as refusal,
    ):
        find_tissue(slide, TissueSettings())
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "file",
    [
        "constructed/constructed_HE.ndpi",
        "constructed/constructed.scn",
        "constructed/constructed_philips.tiff",
        "constructed/mirax/constructed_sparse.mrxs",
        "constructed/generic_pyramid.tiff",
        "constructed/pyramid.ome.tiff",
        FIXED,
    ],
)
def test_the_same_field_from_every_format(test_data, file):
    """All hold the pixels of CMU-1-Small-Region: shifted by two pixels it fits worse."""
    with (
        open_slide(test_data / "slides" / CMU) as original,
        open_slide(test_data / "slides" / file) as slide,
    ):
        for side, pixels in ((512, 512), (512, 224), (1024, 128)):
            found = slide.read_region(700, 900, side, pixels).astype(float)
            misfit = {
                (dx, dy): np.abs(found - original.read_region(700 + dx, 900 + dy, side, pixels))
                .mean()
                for dx in (-2, 0, 2)
                for dy in (-2, 0, 2)
            }  # fmt: skip
            assert min(misfit, key=misfit.__getitem__) == (0, 0)
            # Coarse levels were averaged (or merely thinned) by whoever wrote the file.
            assert misfit[0, 0] < (6.0 if pixels == 512 else 20.0)


def test_cmu1_from_file_to_tiles(test_data):
    with open_slide(test_data / "slides" / CMU) as slide:
        assert slide.objective == 20.0
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        tiles = np.concatenate([batch.rgb for batch in read_tiles(slide, grid, 16)])
    assert grid.side_px == 257
    assert 0.5 < tissue.area_mm2 < 0.8  # of 1.64 mm2 scanned; by eye two fifths
    assert 30 <= len(grid) <= 42
    assert tiles.shape == (len(grid), 224, 224, 3)
    assert json.dumps(tissue.to_geojson())


def test_one_corrupt_tile_is_dropped_and_the_rest_survive(test_data):
    loss = TileLoss()
    with open_slide(test_data / "slides/constructed/bad/one_corrupt_tile.svs") as slide:
        tissue = find_tissue(slide, TissueSettings())
        grid = tile_tissue(slide, tissue, TilingSettings())
        damaged = {int(i): b.rgb[k] for b in read_tiles(slide, grid, 16, loss=loss)
                   for k, i in enumerate(b.indices)}  # fmt: skip
    assert 1 <= len(loss) <= 4
    assert sorted([*damaged, *loss.indices]) == list(range(len(grid)))
    with open_slide(test_data / "slides" / CMU) as slide:
        for index, rgb in damaged.items():
            x, y = grid.positions[index]
            np.testing.assert_array_equal(rgb, slide.read_region(x, y, grid.side_px, 224))


@pytest.mark.parametrize(
    ("image", "mask", "least"),
    [("histoqc_pen/pen_red", "histoqc_pen/pen_red_mask", 0.55)],
)
def test_pen_drawn_by_hand_is_mostly_left_out(test_data, tmp_path, image, mask, least):
    folder = test_data / "slides/qc"
    drawn = np.asarray(Image.open(folder / f"{mask}.png").convert("L")) > 127
    rgb = Image.open(folder / f"{image}.png").convert("RGB")
    # At 2 um/px, the largest allowed, four pixels of the picture make one of the overview.
    rgb.resize((rgb.width * 4, rgb.height * 4), Image.Resampling.NEAREST).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", mpp=2.0) as slide:
        tissue = find_tissue(slide, TissueSettings())
    height, width = tissue.mask.shape
    drawn = drawn[:height, :width]
    assert (~tissue.mask & drawn).sum() / drawn.sum() > least
