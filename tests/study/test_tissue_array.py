"""Cores of an array go through preparation as slides do; the command line maps an array."""

import json
from contextlib import nullcontext
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.model_files import write_toy
from tests.virtual.tissue_array import ArraySimulationSettings, draw_array

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.cohort.cohort import SlideEntry
from jecur.cohort.core_map import read_core_map
from jecur.geometry import CorePlace
from jecur.nuclei.segmentation import NucleiModel
from jecur.pipeline import score_slides
from jecur.preview.slide import default_recipe
from jecur.runs.folder import RunFolder
from jecur.settings import AnnotationSettings
from jecur.simulate.slide import write_slide
from jecur.study.cohort_slides import prepare_slides
from jecur.study.slide_task import SlideTask


class Quiet:
    def task(self, title, total):
        return nullcontext(lambda: None)

    def note(self, text):
        pass

    def say(self, line):
        pass


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    folder = tmp_path_factory.mktemp("array")
    settings = ArraySimulationSettings(
        rows=3, columns=3, diameter_um=500, missing_fraction=0.25, um_per_px=0.5
    )
    drawn = draw_array(settings, np.random.default_rng(4))
    write_slide(folder / "one.tiff", drawn.image, um_per_px=0.5)
    return folder, drawn


@pytest.fixture(scope="module")
def mapped(array):
    folder, _ = array
    names = [str(folder / n) for n in ("one.tiff", "one.csv", "one.geojson", "one.png")]
    arguments = ["--out", names[1], "--geojson", names[2], "--preview", names[3]]
    return run(["tma", "map", names[0], *arguments]), folder


def test_the_command_writes_a_map_that_reads_again(mapped, array):
    code, folder = mapped
    assert code == OK
    cores = read_core_map(folder / "one.csv")
    planted = {(c.row, c.column): c.state != "missing" for c in array[1].cores}
    assert {(c.row, c.column): c.present for c in cores.cores} == planted
    again = read_core_map(folder / "one.geojson")
    assert [c.id for c in again.cores] == [c.id for c in cores.cores]
    assert (folder / "one.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object_and_exit_codes_tell(mapped, capsys, tmp_path):
    _, folder = mapped
    out = str(tmp_path / "map.csv")
    assert run(["tma", "map", str(folder / "one.tiff"), "--out", out, "--json"]) == OK
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["columns"], facts["status"]) == (3, 3, "ok")
    assert run(["tma", "map", str(tmp_path / "gone.svs"), "--out", out, "--json"]) == SOME_FAILED
    assert json.loads(capsys.readouterr().out)["code"] == "missing-file"
    bad = ["tma", "map", str(folder / "one.tiff"), "--out", out, "--rows", "-1"]
    assert run(bad) == USER_ERROR


@pytest.fixture(scope="module")
def prepared(mapped, tmp_path_factory):
    _, folder = mapped
    out = RunFolder.open(tmp_path_factory.mktemp("out") / "run")
    cores = read_core_map(folder / "one.csv")
    base = default_recipe()
    recipe = msgspec.structs.replace(
        base, nuclei_sha256=NucleiModel.load(base.nuclei, threads=1).sha256
    )
    orders = [
        SlideTask(
            f"one__{core.id}", "P", folder / "one.tiff", None, recipe, out,
            core=CorePlace(core.id, cores),
        )
        for core in cores.cores
    ]  # fmt: skip
    return orders, prepare_slides(orders, out, workers=1, progress=Quiet()), out, cores


def test_cores_in_are_cores_scored_and_cores_excluded_with_a_reason(prepared):
    _, result, out, cores = prepared
    codes = {name.removeprefix("one__"): slide.code for name, slide in result.items()}
    for core in cores.cores:
        assert (codes[core.id] == "core-missing") == (not core.present)
        assert result[f"one__{core.id}"].usable == core.present
    table = pd.read_csv(out.root / "slides.csv")
    assert len(table) == len(cores.cores)


def test_tiles_lie_in_the_file_inside_their_own_core(prepared):
    _, result, out, cores = prepared
    core = cores.present[0]
    slide = result[f"one__{core.id}"]
    tiles = pd.read_parquet(out.slide_folder(slide.slide) / "tiles.parquet")
    assert slide.core == core.id
    assert len(tiles) == slide.n_tiles
    away = np.hypot(tiles["x"] + 128 - core.x, tiles["y"] + 128 - core.y)
    assert away.max() < core.diameter / 2
    outline = json.loads((out.slide_folder(slide.slide) / "tissue.geojson").read_text())
    ring = np.array(outline["features"][0]["geometry"]["coordinates"][0])
    assert np.hypot(*(ring - (core.x, core.y)).T).max() < core.diameter / 2 + 16


def test_the_array_has_one_stain_fit(prepared):
    _, result, out, _ = prepared
    fits = {
        (out.slide_folder(name) / "stain.json").read_text()
        for name, slide in result.items()
        if slide.usable
    }
    assert len(fits) == 1


def test_prepared_cores_are_kept_until_the_map_or_the_drawings_change(prepared, tmp_path):
    orders, _, out, cores = prepared
    order = next(o for o in orders if o.core.core == cores.present[0].id)
    assert out.is_complete(order.slide, order.mark)
    moved = replace(cores, cores=(replace(cores.cores[0], x=1.0), *cores.cores[1:]))
    other = replace(order, core=CorePlace(order.core.core, moved))
    assert not out.is_complete(other.slide, other.mark)
    drawn = tmp_path / "regions.geojson"
    drawn.write_text("[]")
    first = replace(order, annotation=drawn).mark
    drawn.write_text("[ ]")
    assert len({order.mark, first, replace(order, annotation=drawn).mark}) == 3


def test_drawings_cut_a_core_and_are_asked_for(prepared, tmp_path):
    orders, _, _, cores = prepared
    core = cores.present[0]
    order = next(o for o in orders if o.core.core == core.id)
    box = [[core.x - 300, core.y - 300], [core.x, core.y - 300], [core.x, core.y + 300],
           [core.x - 300, core.y + 300]]  # fmt: skip
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [box]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    path = tmp_path / "regions.geojson"
    path.write_text(json.dumps(feature))
    settings = AnnotationSettings(include=("Tumor",))
    recipe = msgspec.structs.replace(order.recipe, annotations=settings)
    out = RunFolder.open(tmp_path / "run")
    cut = replace(order, recipe=recipe, run=out, annotation=path)
    without = replace(cut, slide="without", annotation=None)
    result = prepare_slides([cut, without], out, workers=1, progress=Quiet())
    tiles = pd.read_parquet(out.slide_folder(cut.slide) / "tiles.parquet")
    assert tiles["x"].max() + 128 <= core.x + 16
    assert 0 < result[cut.slide].n_tiles < result["without"].n_tiles
    assert "no-annotation" in result["without"].flags


def test_a_finished_model_scores_a_core_and_not_the_slide_around_it(mapped, tmp_path):
    """Two cores of one file have tiles of their own, each inside its core."""
    folder = mapped[1]
    cores = read_core_map(folder / "one.csv")
    chosen = cores.present[:2]
    slides = [
        ("P", SlideEntry(f"one__{c.id}", folder / "one.tiff", None, core=CorePlace(c.id, cores)))
        for c in chosen
    ]
    out = RunFolder.open(tmp_path / "scored")
    model = write_toy(tmp_path / "toy.jecur")
    scored = score_slides(slides, model, out, workers=1, progress=Quiet())
    assert scored.n_failed == 0
    for core in chosen:
        tiles = pd.read_parquet(out.slide_folder(f"one__{core.id}") / "tiles.parquet")
        middle = tiles[["x", "y"]].to_numpy() + tiles["side_px"].to_numpy()[:, None] / 2
        away = np.hypot(*(middle - [core.x, core.y]).T)
        assert len(tiles) > 0
        assert away.max() < core.diameter / 2
