"""A slide becomes a bag; every tile of it can be made again from what is stored beside it."""

import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from jecur.nuclei.segmentation import NucleiModel
from jecur.preview.slide import default_recipe
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide
from jecur.stain import SlideStain, StainReference, restore_normalizer
from jecur.study.cohort_slides import prepare_slides
from jecur.study.slide_task import SlideTask

CREAM = np.array([0.97, 0.94, 0.86])
"""Light that old glass, or a warm lamp, lets through, R, G, B."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    rng = np.random.default_rng(11)
    site = site_stain(rng, angle_deg=4.0, intensity_sd=0.12)
    stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
    image = render_rgb(
        render_tissue(TissueFeatures(0.4, 0.5, 0.5, 0.3), (1400, 1400), 0.5, rng), stain, rng
    )
    framed = np.full((2000, 2000, 3), stain.white.round().astype(np.uint8))
    framed[300:1700, 300:1700] = image
    path = tmp_path_factory.mktemp("slide") / "cream.tiff"
    write_slide(path, (framed * CREAM).round().astype(np.uint8), um_per_px=0.5, quality=95)
    return path, stain


@pytest.fixture(scope="module", params=["255", "slide"])
def prepared(request, slide, tmp_path_factory):
    base = default_recipe()
    recipe = msgspec.structs.replace(
        base,
        stain=msgspec.structs.replace(base.stain, white=request.param),
        nuclei_sha256=NucleiModel.load(base.nuclei, threads=1).sha256,
    )
    run = RunFolder.open(tmp_path_factory.mktemp("out") / "run")
    order = SlideTask("cream", "P", slide[0], None, recipe, run)
    (done,) = prepare_slides([order], run, workers=1, progress=SilentProgress()).values()
    return order, done, run.slide_folder("cream")


def test_a_tile_is_made_again_bit_for_bit_from_what_is_stored(prepared):
    order, done, folder = prepared
    assert done.status == "ok", done
    stored = json.loads((folder / "stain.json").read_text())["slide"]
    normalizer = restore_normalizer(
        SlideStain.from_dict(stored),
        order.recipe.stain,
        StainReference.from_dict(order.recipe.stain_reference),
    )
    table = pd.read_parquet(folder / "tiles.parquet")
    bag = np.load(folder / "bag.npy")
    assert len(table) == len(bag) == done.n_tiles > 20
    with open_slide(order.path) as opened:
        for row in (0, len(table) // 2, len(table) - 1):
            x, y, side = (int(table[name][row]) for name in ("x", "y", "side_px"))
            tile = opened.read_region(x, y, side, order.recipe.tiling.output_px)
            again = normalizer.apply(tile[None])[0]
            np.testing.assert_array_equal(again, bag[row, ..., :3])


def test_the_slides_own_white_undoes_a_tint(prepared, slide):
    order, _, folder = prepared
    stored = json.loads((folder / "stain.json").read_text())["slide"]
    fit = SlideStain.from_dict(stored)
    planted = slide[1].vectors / np.linalg.norm(slide[1].vectors, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip((fit.stains.vectors * planted).sum(axis=1), -1, 1)))
    if order.recipe.stain.white == "slide":
        np.testing.assert_allclose(fit.white, slide[1].white * CREAM, atol=3.0)
        assert angles.max() < 4.0
    else:
        assert fit.white == (255.0, 255.0, 255.0)
        assert angles.max() > 4.0  # a tint taken for stain turns the vectors
