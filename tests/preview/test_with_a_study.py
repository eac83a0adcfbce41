"""What a preview shows under ``--study`` is what the run of that study writes, pixel by pixel."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image, ImageFilter
from tests.virtual.tissue_array import ArraySimulationSettings, draw_array

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.cohort.cohort import read_cohort
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import read_study
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.study.cohort_slides import prepare_slides
from jecur.study.recipe import recipe_of_study
from jecur.study.slide_task import SlideTask

STUDY = """
name = "Other than the defaults"
[cohort]
slide_folder = "slides"
annotation_folder = "regions"
[[cohort.tissue_arrays]]
slide = "array.tiff"
map = "array.csv"
[cohort.endpoint]
kind = "time to recurrence"
unit = "months"
event_values = ["1"]
censored_values = ["0"]
[cohort.columns]
mpp = "mpp"
[annotations]
exclude = ["Necrosis"]
[tissue]
closing_um = 20.0
[tiling]
side_um = 100.0
output_px = 200
min_tissue_fraction = 0.2
[quality]
min_focus = 100.0
[stain]
method = "macenko"
n_pixels = 20000
white = "slide"
"""
GAP, FIELD = 8, 224


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A slide partly out of focus whose scale is the table's and whose corner is excluded; an array."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("slides", "regions"):
        (folder / name).mkdir()
    rng = np.random.default_rng(6)
    site = site_stain(rng, angle_deg=6, intensity_sd=0.2)
    stain = slide_stain(site, rng, angle_deg=1, intensity_sd=0.05)
    tissue = render_tissue(TissueFeatures(0.4, 0.5, 0.5, 0.4), (1100, 900), 0.5, rng)
    image = render_rgb(tissue, stain, rng)
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(15)))
    image[700:] = blurred[700:]
    write_slide(folder / "slides" / "a.tiff", image, um_per_px=0.5)
    corner = [[0, 0], [500, 0], [500, 450], [0, 450], [0, 0]]
    region = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corner]},
        "properties": {"classification": {"name": "Necrosis"}},
    }
    (folder / "regions" / "a.geojson").write_text(json.dumps(region))
    settings = ArraySimulationSettings(
        rows=2, columns=2, diameter_um=400, missing_fraction=0.25, um_per_px=0.5
    )
    array = draw_array(settings, np.random.default_rng(4))
    write_slide(folder / "slides" / "array.tiff", array.image, um_per_px=0.5)
    core_map = folder / "array.csv"
    where = str(folder / "slides" / "array.tiff")
    assert run(["tma", "map", where, "--out", str(core_map)]) == OK
    cores = pd.read_csv(core_map, dtype={"patient_id": str})
    cores.loc[0, "present"] = "no"
    cores.assign(patient_id="B").to_csv(core_map, index=False)
    table = "patient_id,time,event,role,slide,mpp\nA,12,1,training,a.tiff,0.45\nB,30,0,tuning,,\n"
    (folder / "clinical.csv").write_text(table)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def done(study):
    """What the study's run makes of its slides: {id: PreparedSlide}, and where."""
    settings = read_study(study / "study.toml")
    out = RunFolder.open(study / "run")
    recipe = recipe_of_study(settings)
    orders = [
        SlideTask(
            entry.id, patient.id, entry.path, entry.mpp, recipe, out,
            core=entry.core, annotation=entry.annotation,
        )
        for patient in read_cohort(settings.cohort, study).patients
        for entry in patient.slides
    ]  # fmt: skip
    return prepare_slides(orders, out, workers=1, progress=SilentProgress()), out


def tiles_of(out, slide):
    folder = out.slide_folder(slide)
    return np.load(folder / "bag.npy"), pd.read_parquet(folder / "tiles.parquet")


def with_study(study, *arguments):
    return run([*map(str, arguments), "--study", str(study / "study.toml")])


def test_the_study_leaves_tiles_out_and_cuts_the_drawing(done):
    prepared, out = done
    assert prepared["a"].mpp == 0.45
    assert prepared["a"].n_tiles > 3
    assert prepared["a"].n_tiles_left_out > 0
    _, tiles = tiles_of(out, "a")
    assert not ((tiles["x"] < 200) & (tiles["y"] < 200)).any()
    states = sorted((p.status == "failed", p.code) for p in prepared.values() if p.core)
    assert states[-1] == (True, "core-missing")
    assert not states[0][0]


def test_inspect_says_what_the_run_says_core_by_core(study, done, capsys):
    prepared, _ = done
    paths = [study / "slides" / name for name in ("a.tiff", "array.tiff")]
    assert with_study(study, "inspect", *paths, "--json") == SOME_FAILED
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(prepared) > 3
    names = ("core", "status", "code", "reason", "n_tiles", "n_tiles_left_out", "mpp", "tissue_mm2")
    rows = {(row["file"], row["core"]): row for row in found}
    for slide in prepared.values():
        row = rows["array.tiff" if slide.core else "a.tiff", slide.core]
        assert {n: row[n] for n in names} == {n: getattr(slide, n) for n in names}
        assert tuple(row["flags"]) == slide.flags


def test_inspect_takes_the_map_of_an_array_without_a_study(study, capsys, tmp_path):
    array, cores = study / "slides" / "array.tiff", study / "array.csv"
    arguments = ["--cores", str(cores), "--json", "--preview", str(tmp_path / "cores")]
    assert run(["inspect", str(array), *arguments]) == SOME_FAILED
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    listed = pd.read_csv(cores)
    assert [row["core"] for row in found] == listed["core_id"].tolist()
    there = {row["core"] for row in found if row["status"] != "failed"}
    assert there == set(listed["core_id"][listed["present"] == "yes"])
    assert {p.stem for p in (tmp_path / "cores").iterdir()} == {
        f"array__{name}" for name in listed["core_id"]
    }


def test_a_stain_preview_shows_tiles_of_the_bag(study, done, tmp_path):
    prepared, out = done
    sheet = tmp_path / "sheet.png"
    code = with_study(
        study, "stain", "preview", *sorted((study / "slides").iterdir()), "--out", sheet
    )
    assert code == SOME_FAILED  # of the missing core
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture)
    step = FIELD + GAP
    for i, (name, slide) in enumerate(prepared.items()):
        if slide.status == "failed":
            continue
        bag, tiles = tiles_of(out, name)
        side = bag.shape[1]
        top = GAP + i * step
        shown = pixels[top : top + side, GAP + step : GAP + step + side]
        written = bag[int(tiles["tissue_fraction"].to_numpy().argmax()), ..., :3]
        np.testing.assert_array_equal(shown, written, err_msg=name)


def test_a_nuclei_map_holds_the_bag_and_nothing_else(study, done, tmp_path):
    prepared, out = done
    for name, of in (("a.tiff", ["a"]), ("array.tiff", [n for n in prepared if n != "a"])):
        code = with_study(study, "nuclei", "map", study / "slides" / name, "--out", tmp_path)
        assert code == (OK if name == "a.tiff" else SOME_FAILED)
        for slide in of:
            path = tmp_path / f"{slide}_nuclei.tiff"
            assert path.is_file() == (prepared[slide].status != "failed")
            if not path.is_file():
                continue
            found, (bag, tiles) = tifffile.imread(path), tiles_of(out, slide)
            px = bag.shape[1]
            expected = np.zeros_like(found)
            for k, (row, column) in enumerate(zip(tiles["row"], tiles["col"], strict=True)):
                expected[row * px : (row + 1) * px, column * px : (column + 1) * px] = bag[
                    k, ..., 3
                ]
            np.testing.assert_array_equal(found, expected, err_msg=slide)
            assert found.any()


def test_an_estimate_is_the_fit_of_the_run(study, done, capsys):
    _, out = done
    fit = json.loads((out.slide_folder("a") / "stain.json").read_text())["slide"]
    assert with_study(study, "stain", "estimate", study / "slides" / "a.tiff", "--json") == OK
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "macenko"
    assert found["stain_matrix"] == fit["stains"]
    assert list(found["concentrations"].values()) == fit["concentrations"]


def test_images_are_normalized_by_the_method_of_the_study(study, tmp_path):
    rng = np.random.default_rng(1)
    tissue = render_tissue(TissueFeatures(0.5, 0.4, 0.5, 0.5), (300, 300), 0.5, rng)
    site = site_stain(rng, angle_deg=8, intensity_sd=0.3)
    image = render_rgb(tissue, slide_stain(site, rng, angle_deg=1, intensity_sd=0.05), rng)
    plain = tmp_path / "i.png"
    Image.fromarray(image).save(plain)
    reinhard = tmp_path / "study.toml"
    reinhard.write_text(STUDY.replace("macenko", "reinhard").replace("n_pixels = 20000", ""))
    made = {}
    for name, how in (
        ("study", ["--study", str(reinhard)]),
        ("method", ["--method", "reinhard"]),
        ("other", []),
    ):
        out = tmp_path / f"{name}.png"
        assert run(["stain", "normalize", str(plain), "--out", str(out), *how]) == OK
        made[name] = np.asarray(Image.open(out))
    np.testing.assert_array_equal(made["study"], made["method"])
    assert (made["study"] != made["other"]).any()


@pytest.mark.parametrize(
    "command",
    [
        ["stain", "preview", "a", "--out", "b", "--method", "iche"],
        ["stain", "normalize", "a", "--out", "b", "--target", "builtin"],
        ["stain", "estimate", "a", "--method", "macenko"],
        ["nuclei", "map", "a", "--out", "b", "--model", "builtin"],
        ["nuclei", "map", "a", "--out", "b", "--no-normalize"],
    ],
)
def test_a_study_and_another_method_are_refused_together(study, command, capsys):
    assert with_study(study, *command) == USER_ERROR
    assert "study-and-method" in capsys.readouterr().err
