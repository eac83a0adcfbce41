"""Corners in files for other programs count from the scanner's canvas, as OpenSlide's do."""

from types import SimpleNamespace

import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image

from jecur.errors import RunFolderError
from jecur.mil.feature_file import write_feature_bag
from jecur.mil.feature_output import TilePlaces, write_corners, write_for_stamp, write_for_trident
from jecur.preview.slide import default_recipe
from jecur.runs.folder import RunFolder
from jecur.study import anndata_file
from jecur.study.anndata_file import write_h5ad
from jecur.study.cut import CutTask, cut_slide
from jecur.study.slide_task import SlideTask

h5py = pytest.importorskip("h5py")

CORNERS = np.array([[0, 0], [256, 0], [0, 512]])
FEATURES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def places(bounds):
    return TilePlaces("s", CORNERS, 256, 224, 0.25, 0.5, 4000, 3000, bounds=bounds)


def written(folder, bounds):
    folder.mkdir(exist_ok=True)
    write_for_trident(folder / "s.h5", [FEATURES], places(bounds), {"encoder": "e"})
    return folder / "s.h5"


@pytest.mark.parametrize("bounds", [(0, 0), (70_000, 123_457), (3, 0)])
def test_every_layout_counts_from_the_canvas_and_our_reader_from_the_bounds(tmp_path, bounds):
    path = written(tmp_path, bounds)
    write_corners(tmp_path / "patches.h5", places(bounds))
    write_for_stamp(tmp_path / "stamp.h5", path, places(bounds), {})
    on_canvas = CORNERS + np.array(bounds)
    for name, scale in (("s.h5", 1.0), ("patches.h5", 1.0), ("stamp.h5", 0.25)):
        with h5py.File(tmp_path / name) as stored:
            assert stored["coords"][:] == pytest.approx(on_canvas * scale, rel=1e-6)
    facts = write_feature_bag(path, tmp_path / "bag.npy")
    assert np.array_equal(facts.positions, CORNERS)


def test_a_file_that_tells_no_bounds_is_taken_as_it_is(tmp_path):
    path = written(tmp_path, (500, 700))
    with h5py.File(path, "r+") as stored:
        del stored["coords"].attrs["bounds_x"], stored["coords"].attrs["bounds_y"]
    facts = write_feature_bag(path, tmp_path / "bag.npy")
    assert np.array_equal(facts.positions, CORNERS + np.array([500, 700]))


def slides():
    return [SimpleNamespace(slide="s", patient_id="p", usable=True)]


def scored(folder, times=1, side_um=np.nan):
    folder.mkdir()
    table = pd.DataFrame(CORNERS, columns=["x", "y"]).assign(slide="s", contribution=0.0)
    table["side_um"] = side_um
    table["score"] = [1.0, 2.0, 3.0]
    pd.concat([table] * times).to_parquet(folder / "tile_scores.parquet")
    return folder


class Held:
    """What stands in for anndata, which need not be here: it keeps what it is given."""

    last: "Held"

    def __init__(self, **given):
        self.__dict__.update(given)
        Held.last = self

    def write_h5ad(self, path):
        path.write_bytes(b"")


@pytest.fixture
def no_anndata(monkeypatch):
    monkeypatch.setattr(anndata_file, "require_anndata", lambda: SimpleNamespace(AnnData=Held))


@pytest.mark.usefixtures("no_anndata")
def test_scores_of_a_run_on_the_slide_find_their_tiles(tmp_path):
    folder = written(tmp_path, (70_000, 123_457)).parent
    run = scored(tmp_path / "run")
    write_h5ad(tmp_path / "t.h5ad", folder, slides(), scores=run)
    found = Held.last
    assert list(found.obs["score"]) == [1.0, 2.0, 3.0]
    assert found.obsm["spatial"] == pytest.approx(CORNERS * 0.25)


@pytest.mark.usefixtures("no_anndata")
@pytest.mark.parametrize(("side_um", "same"), [(64.0, True), (64.1, True), (128.0, False)])
def test_a_score_is_of_a_tile_of_the_same_size(tmp_path, side_um, same):
    folder = written(tmp_path, (0, 0)).parent
    run = scored(tmp_path / "run", side_um=side_um)
    if same:
        write_h5ad(tmp_path / "t.h5ad", folder, slides(), scores=run)
        assert list(Held.last.obs["score"]) == [1.0, 2.0, 3.0]
        return
    with pytest.raises(RunFolderError, match="128 um a side"):
        write_h5ad(tmp_path / "t.h5ad", folder, slides(), scores=run)


@pytest.mark.usefixtures("no_anndata")
def test_no_tiles_or_several_scores_of_one_are_refused(tmp_path):
    with pytest.raises(RunFolderError, match="found none"):
        write_h5ad(tmp_path / "t.h5ad", tmp_path, [])
    folder = written(tmp_path, (0, 0)).parent
    run = scored(tmp_path / "run", times=2)
    with pytest.raises(RunFolderError, match="found several"):
        write_h5ad(tmp_path / "t.h5ad", folder, slides(), scores=run)
    assert not (tmp_path / "t.h5ad").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mirax/constructed_sparse.mrxs", "constructed.scn"])
def test_openslide_finds_the_tiles_where_the_file_says(test_data, tmp_path, name):
    path = test_data / "slides" / "constructed" / name
    order = SlideTask("s", "P", path, None, default_recipe(), RunFolder(tmp_path / "run"))
    task = CutTask(order, "raw", tmp_path)
    cut = cut_slide(task)
    assert cut.prepared.usable
    assert sum(cut.bounds) > 0
    px = order.recipe.tiling.output_px
    tiles = np.fromfile(task.tiles, np.uint8).reshape(-1, px, px, 3)
    corners = TilePlaces(
        "s", cut.positions, cut.side_level0, px, 1, 1, 1, 1, bounds=cut.bounds
    ).on_canvas
    with openslide.OpenSlide(str(path)) as handle:
        for tile, corner in zip(tiles[:8], corners[:8].tolist(), strict=False):
            side = (cut.side_level0, cut.side_level0)
            there = (
                handle.read_region(tuple(corner), 0, side)
                .convert("RGB")
                .resize((px, px), Image.BOX)
            )
            assert np.abs(np.asarray(there, float) - tile).mean() < 6.0
