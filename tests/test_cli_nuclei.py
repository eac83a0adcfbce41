"""Nuclei from the command line: agreement, maps, features, and data that are not as they should be."""

import csv
import json
import shutil

import msgspec
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from jecur.cli import OK, USER_ERROR, run
from jecur.demo import study_of_virtual_cohort
from jecur.errors import RunFolderError
from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel
from jecur.runs.folder import RunFolder
from jecur.settings import TrainingSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, render_tile, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.slide.reader import open_slide
from jecur.study.model_name import refuse_other_preparation

FEATURES = TissueFeatures(0.3, 0.5, 0.6, 0.2)


@pytest.fixture
def data(tmp_path):
    """Three drawn fields whose "outlines" are disks."""
    for part in ("images", "labels"):
        (tmp_path / "drawn" / part).mkdir(parents=True)
    rows = ["dataset,image,split"]
    y, x = np.mgrid[:400, :400]
    for k in range(3):
        tile = render_tile(FEATURES, np.random.default_rng(k), size_px=400, um_per_px=0.25)
        labels = ((y - 200) ** 2 + (x - 150 - 40 * k) ** 2 < 40**2).astype(np.uint16)
        Image.fromarray(tile).save(tmp_path / "drawn" / "images" / f"f{k}.png")
        Image.fromarray(labels).save(tmp_path / "drawn" / "labels" / f"f{k}.png")
        rows.append(f"drawn,f{k}.png,val")
    (tmp_path / "split.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _evaluate(data, *more, split="val"):
    return run(["nuclei", "evaluate", "--data", str(data), "--split", split, *more])


def test_evaluate_prints_means_with_intervals_and_writes_a_row_an_image(data, capsys):
    assert _evaluate(data, "--json", "--csv", str(data / "rows.csv")) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 3
    with (data / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["f0", "f1", "f2"]
    columns = {name: name for name in ("dice", "aji", "precision", "recall")}
    for name, column in (columns | {"pq": "panoptic_quality"}).items():
        values = [float(row[column]) for row in rows]
        assert found[name] == pytest.approx(np.mean(values), abs=1e-5)
        lower, upper = found["intervals"][name]
        assert min(values) - 1e-5 <= lower <= found[name] <= upper <= max(values) + 1e-5


def _labels(data, array):
    Image.fromarray(array).save(data / "drawn" / "labels" / "f1.png")


def _mpp(data, text):
    rows = (data / "split.csv").read_text().splitlines()
    cells = [
        ",".join(row.split(",")[:3]) + f",{text if k == 2 else ''}" for k, row in enumerate(rows)
    ]
    (data / "split.csv").write_text("\n".join(["dataset,image,split,mpp", *cells[1:]]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda d: _labels(d, np.ones((300, 400), np.uint16)),
            "f1.png: expected labels of 400 x 400",
        ),
        (lambda d: _labels(d, np.zeros((400, 400), np.uint16)), "f1.png: expected outlined nuclei"),
        (
            lambda d: _labels(d, np.ones((400, 400, 3), np.uint8)),
            "f1.png: expected a label image of",
        ),
        (lambda d: (d / "drawn/labels/f1.png").unlink(), "f1.png: expected drawn/labels/f1.png"),
        (lambda d: _mpp(d, "40x"), "f1.png: expected 0.05 to 2 um/px in column mpp"),
        (lambda d: (d / "split.csv").unlink(), "split.csv"),
    ],
    ids=["size", "empty", "colors", "missing", "mpp", "no-split"],
)
def test_labels_that_are_not_as_they_should_be_are_named(data, capsys, spoil, said):
    spoil(data)
    assert _evaluate(data) == USER_ERROR
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_split_that_is_not_there_is_named(data, capsys):
    assert _evaluate(data, split="test") == USER_ERROR
    assert "'test'" in capsys.readouterr().err


def test_an_image_scale_of_its_own_is_followed(data, capsys):
    dice = []
    for mpp in ("", "0.25", "0.5"):
        _mpp(data, mpp)
        assert _evaluate(data, "--json") == OK
        dice.append(json.loads(capsys.readouterr().out)["dice"])
    assert dice[0] == dice[1] != dice[2]


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    rng = np.random.default_rng(6)
    stain = slide_stain(
        site_stain(rng, angle_deg=4, intensity_sd=0.1), rng, angle_deg=1, intensity_sd=0.05
    )
    image = render_rgb(render_tissue(FEATURES, (1100, 900), 0.5, rng), stain, rng)
    path = tmp_path_factory.mktemp("map") / "drawn.tiff"
    write_slide(path, image, um_per_px=0.5)
    return path


def test_the_map_of_a_slide_is_its_tiles_maps_at_their_places(slide, capsys):
    arguments = [
        "nuclei",
        "map",
        str(slide),
        "--out",
        str(slide.parent),
        "--no-normalize",
        "--json",
    ]
    assert run(arguments) == OK
    told = json.loads(capsys.readouterr().out)
    found = tifffile.imread(slide.parent / "drawn_nuclei.tiff")
    assert found.shape == (told["height"], told["width"])
    assert found.dtype == np.uint8
    assert 0.01 < told["nuclear_fraction"] < 0.6
    with open_slide(slide) as opened:
        tile = opened.read_region(256, 256, 256, 224)
    np.testing.assert_array_equal(found[224:448, 224:448], NucleiModel.load().map(tile[None])[0])
    with Image.open(slide.parent / "drawn_overlay.png") as overlay:
        assert max(overlay.size) <= 2000
    with tifffile.TiffFile(slide.parent / "drawn_nuclei.tiff") as file:
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert 1e4 * denominator / numerator == pytest.approx(128 / 224, rel=1e-6)


def test_an_image_without_a_scale_asks_for_it(slide, capsys):
    picture = slide.parent / "crop.png"
    tile = render_tile(FEATURES, np.random.default_rng(1), size_px=600, um_per_px=0.5)
    Image.fromarray(tile).save(picture)
    arguments = ["nuclei", "map", str(picture), "--out", str(slide.parent)]
    assert run(arguments) == USER_ERROR
    assert "no-mpp" in capsys.readouterr().err
    assert run([*arguments, "--mpp", "0.5"]) == OK


def test_features_of_a_run_lie_beside_its_bags(tmp_path):
    folder = RunFolder.open(tmp_path / "run").slide_folder("a")
    folder.mkdir(parents=True)
    tiles = np.stack(
        [
            render_tile(FEATURES, np.random.default_rng(k), size_px=224, um_per_px=128 / 224)
            for k in range(3)
        ]
    )
    np.save(folder / "bag.npy", add_nuclei_channel(NucleiModel.load(), tiles))
    places = pd.DataFrame({"x": [0, 256, 512], "y": [0, 0, 0], "side_px": 256, "row": 0})
    places.to_parquet(folder / "tiles.parquet")
    assert run(["nuclei", "features", str(tmp_path / "run"), "--workers", "1"]) == OK
    table = pd.read_parquet(folder / "nuclei.parquet")
    assert table["x"].tolist() == [0, 256, 512]
    assert (table["n_nuclei"] > 3).all()
    assert {"neighbor_um", "orientation_entropy", "lymphocyte_like"} <= set(table.columns)
    assert run(["nuclei", "features", str(folder)]) == USER_ERROR


def test_train_takes_its_options_and_states_them_in_the_card(data, capsys):
    pytest.importorskip("torch", reason="training needs jecur[train]")
    table = data / "split.csv"
    table.write_text(table.read_text().replace("f0.png,val", "f0.png,train"))
    out = data / "out"
    options = ["--widths", "4", "4", "--steps", "2", "--crop-px", "16", "--batch-size", "2"]
    options += ["--dice", "literal", "--um-per-px", "0.4", "--seam-weight", "3", "--seed", "7"]
    assert (
        run(["nuclei", "train", str(data), "--out", str(out), *options, "--license", "ours"]) == OK
    )
    card = json.loads((out / "nuclei_unet.json").read_text())
    assert capsys.readouterr().out.strip() == str(out / "nuclei_unet.onnx")
    assert (card["um_per_px"], card["widths"], card["data"]["license"]) == (0.4, [4, 4], "ours")
    stated = {k: card["training"][k] for k in ("dice", "seam_weight", "seed", "steps")}
    assert stated == {"dice": "literal", "seam_weight": 3.0, "seed": 7, "steps": 2}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--um-per-px", "9"], "0.05 to 2"),
        (["--crop-px", "100"], "multiple of 16"),
        (["--widths", "8"], "two to five levels"),
    ],
)
def test_options_that_cannot_train_are_refused(data, capsys, option, said):
    pytest.importorskip("torch", reason="training needs jecur[train]")
    table = data / "split.csv"
    table.write_text(table.read_text().replace("f0.png,val", "f0.png,train"))
    command = ["nuclei", "train", str(data), "--out", str(data / "out"), *option]
    assert run(command) == USER_ERROR
    assert said in " ".join(capsys.readouterr().err.split())


def test_every_nucleus_of_a_run_is_found_once_and_again_only_if_missing(
    tiny_study, tiny_run, tmp_path, capsys
):
    shutil.copytree(tiny_run, tmp_path / "run")
    command = ["nuclei", "each", str(tiny_study), "--run", str(tmp_path / "run"), "-j", "1"]
    assert run(command) == OK
    said = capsys.readouterr().out
    tables = sorted((tmp_path / "run" / "slides").glob("*/each_nucleus.parquet"))
    assert f"{len(tables)} tables" in said
    assert len(tables) > 4
    for path in tables:
        table = pd.read_parquet(path)
        tiles = pd.read_parquet(path.with_name("tiles.parquet"))
        assert len(table) > 20 * len(tiles)  # 1,200 a square millimeter
        corner = tiles[["x", "y"]].to_numpy()[table["tile"]]
        offset = table[["x", "y"]].to_numpy() - corner
        assert (offset >= 0).all()
        assert (offset < tiles["side_px"].iloc[0]).all()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert any(name.endswith("each_nucleus.parquet") for name in manifest["sha256"])
    before = tables[0].read_bytes()
    tables[0].write_bytes(before[:-7])
    assert run(command) == OK
    assert "1 table (each_nucleus.parquet)" in capsys.readouterr().out
    assert tables[0].read_bytes() == before


def test_nuclei_are_not_looked_for_under_other_settings_than_the_tiles_were_made_by(tmp_path):
    before = study_of_virtual_cohort("x", TrainingSettings())
    opened = RunFolder.open(tmp_path / "run")
    refuse_other_preparation(before, opened)  # not finished: no manifest tells
    opened.write_manifest({"study": msgspec.to_builtins(before), "command": "run"})
    refuse_other_preparation(before, opened)
    tiling = msgspec.structs.replace(before.tiling, side_um=64.0)
    with pytest.raises(RunFolderError, match=r"\[tiling\]"):
        refuse_other_preparation(msgspec.structs.replace(before, tiling=tiling), opened)


def test_slides_that_were_not_prepared_have_no_nuclei_to_find(tiny_study, tmp_path, capsys):
    assert run(["nuclei", "each", str(tiny_study), "--run", str(tmp_path / "run")]) == USER_ERROR
    assert "prepared" in capsys.readouterr().err
