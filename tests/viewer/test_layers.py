"""What lies over a slide: cores, drawn regions, tiles left out, the scales of a cross-validation."""

import json
from dataclasses import fields

import msgspec
import numpy as np
import pandas as pd
import pytest
import simplejpeg
import tifffile
from scipy import ndimage
from tests.viewer.hand_made_run import write_run

pytest.importorskip("starlette", reason='pip install "jecur[view]"')
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.testclient import TestClient

from jecur.errors import BundleError
from jecur.explain.heatmap import TURN, ScoreScale
from jecur.mil.passport import admit_model
from jecur.preview.view import default_recipe
from jecur.settings import AnnotationSettings
from jecur.slide.reader import open_slide
from jecur.study.survey import survey_slide
from jecur.viewer.curves import risk_curves
from jecur.viewer.guard import Guard, GuardSettings
from jecur.viewer.layers import drawing_of
from jecur.viewer.run_model import RunModel
from jecur.viewer.run_slides import RunSlides
from jecur.viewer.run_tables import ViewedPatient, read_run_tables
from jecur.viewer.server import viewer_app


def client_of(run, **options):
    return TestClient(viewer_app(run, **options), base_url="http://127.0.0.1")


def write_slide(path, image):
    tifffile.imwrite(path, image, tile=(256, 256), photometric="rgb", resolution=(2e4, 2e4),
                     resolutionunit="CENTIMETER")  # fmt: skip
    return path


@pytest.fixture
def slide(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    return write_slide(tmp_path / "a.tiff", np.repeat(np.repeat(image[::4, ::4], 4, 0), 4, 1))


def test_of_a_core_its_window_is_shown_and_its_tiles_lie_in_it(slide, tmp_path):
    core = {"core": "A-1", "origin": "128 64", "width": 512, "height": 512, "n_tiles": 1}
    tiles = pd.DataFrame({"x": [128, 384], "y": [64, 320], "score": [1.0, -1.0]})
    outline = [[[200, 100], [300, 100], [300, 200], [200, 100]]]
    run = write_run(tmp_path / "run", {"a__A-1": "a.tiff"}, tiles={"a__A-1": tiles},
                    outlines={"a__A-1": outline}, rows={"a__A-1": core})  # fmt: skip
    client = client_of(run, slides=tmp_path)
    about = client.get("/api/slides/0").json()
    assert (about["width"], about["height"]) == (512, 512)
    seen = simplejpeg.decode_jpeg(
        client.get(f"/api/slides/0/tiles/scanned/{about['last']}/1/0").content
    )
    with open_slide(slide) as whole:
        own = whole.read_region(128 + 256, 64, 256, 256)
    assert np.abs(seen.astype(int) - own).mean() < 6  # JPEG of noise
    shown = client.get("/api/slides/0/scores").json()
    assert (shown["x"], shown["y"]) == ([0, 256], [0, 256])
    assert client.get("/api/slides/0/tissue").json()[0][0][0] == [72, 36]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, False),
        ({"virtual_model": True}, True),
        ({"virtual_model": False}, False),
        ({"virtual_model": True, "study": {"virtual": False}}, True),
        ({"virtual_model": True, "study": {"virtual": True}}, False),  # so are the patients
    ],
)
def test_a_model_trained_on_virtual_patients_is_told(tmp_path, facts, told):
    run = write_run(tmp_path / "run", {"s": "s.tiff"})
    (run / "manifest.json").write_text(json.dumps(facts))
    assert client_of(run).get("/api/run").json()["virtual_model"] is told


def test_drawn_regions_of_the_study_are_found_again(slide, tmp_path):
    study = tmp_path / "study"
    (study / "slides").mkdir(parents=True)
    (study / "drawn").mkdir()
    slide.rename(study / "slides" / "a.tiff")
    ring = [[10, 20], [110, 20], [110, 220], [10, 220], [10, 20]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    (study / "drawn" / "a.geojson").write_text(json.dumps(feature))
    run = write_run(tmp_path / "run", {"a": "a.tiff"})
    facts = {"slides": "slides", "study": {"cohort": {"annotation_folder": "drawn"}}}
    (run / "manifest.json").write_text(json.dumps(facts))
    client = client_of(run, slides=study / "slides")
    (region,) = client.get("/api/slides/0/regions").json()
    assert region["name"] == "Tumor"
    assert sorted(map(tuple, region["rings"][0][:4])) == sorted(map(tuple, ring[:4]))
    moved = tmp_path / "elsewhere"  # nobody knows then where the drawings are
    (study / "slides").rename(moved)
    assert client_of(run, slides=moved).get("/api/slides/0/regions").json() == []


def test_a_competing_event_ends_being_free_of_both():
    blank = dict.fromkeys((f.name for f in fields(ViewedPatient)), None)
    patients = [
        ViewedPatient(
            **{**blank, "number": k, "group": "high", "months": float(k + 1), "event": event}
        )
        for k, event in enumerate((1, 2, 0, 1))
    ]
    (curve,) = risk_curves(patients)
    assert curve["events"] == 3
    assert curve["survival"][-1] == 0.0
    assert [p["height"] for p in curve["patients"]] == pytest.approx([0.75, 0.5, 0.5, 0.0])


def test_each_fold_of_a_cross_validation_has_the_scale_of_its_own_model(slide, tmp_path):
    run = write_run(tmp_path / "run", {"a": "a.tiff", "b": "a.tiff"})
    rows = []
    for fold, (name, spread) in enumerate([("a", 1.0), ("b", 5.0)], start=1):
        part = run / "parts" / f"repeat-1-fold-{fold}"
        part.mkdir(parents=True)
        scores = {
            "x": [0, 256],
            "y": [0, 0],
            "score": [-spread, spread],
            "contribution": [0.1, 0.2],
        }
        frame = pd.DataFrame(scores).assign(slide=name, patient_id=f"P{fold - 1}")
        frame.to_parquet(part / "tile_scores.parquet")
        known = {"patient_id": f"P{fold - 1}", "fold": fold, "risk": 0.3 * fold, "group": "low"}
        known |= {"cutoff": 0.5, "months": 12.0, "event": 1}
        rows += [known | {"repeat": repeat} for repeat in (1, 2)]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    client = client_of(run, slides=tmp_path)
    patients = client.get("/api/patients").json()
    assert [p["months"] for p in patients] == [12.0, 12.0]
    highs = [client.get(f"/api/slides/{k}/scores").json()["scale"]["high"] for k in (0, 1)]
    assert highs == pytest.approx([0.98, 4.9])
    assert {t["slide"] for t in client.get("/api/top").json()} == {0, 1}


def test_tiles_left_out_are_those_that_a_run_leaves_out_with_its_reasons(
    tiny_run, tiny_study, tmp_path
):
    model = next((tiny_run / "models").glob("*.jecur"))
    recipe = admit_model(model).card.recipe
    with open_slide(tiny_study.parent / "slides" / "V-0009.tiff") as source:
        image = source.read_region(0, 0, 768, 768)
    image = image.copy()
    image[:400] = ndimage.gaussian_filter(image[:400], (6, 6, 0))
    path = write_slide(tmp_path / "a.tiff", image)
    with open_slide(path) as source:
        survey = survey_slide(source, recipe)
    grid = survey.grid
    kept = grid.positions[survey.clean]
    out = grid.positions[~survey.clean]
    tiles = pd.DataFrame({"x": kept[:, 0], "y": kept[:, 1], "score": 0.0})
    run = write_run(tmp_path / "run", {"a": "a.tiff"}, tiles={"a": tiles})
    shown = client_of(run, slides=tmp_path, model=model).get("/api/slides/0/left-out").json()
    assert len(out) > 0
    assert list(zip(shown["x"], shown["y"], strict=True)) == list(map(tuple, out.tolist()))
    assert set(shown["reason"]) == {"out of focus"}
    with pytest.raises(BundleError, match="--model"):
        client_of(run, slides=tmp_path).get("/api/slides/0/left-out")


def test_tiles_left_out_are_not_told_without_the_drawing_that_the_run_had(
    slide, tmp_path, monkeypatch
):
    drawn = AnnotationSettings(exclude=("Fold",))
    recipe = msgspec.structs.replace(default_recipe(), annotations=drawn)
    monkeypatch.setattr(RunModel, "recipe", recipe)
    said = {}
    for flags in ("", "no-annotation"):
        run = write_run(tmp_path / f"run-{flags}", {"a": "a.tiff"}, rows={"a": {"flags": flags}})
        app = Guard(viewer_app(run, slides=tmp_path), GuardSettings("t"))
        client = TestClient(app, base_url="http://127.0.0.1", headers={"X-Jecur-Token": "t"})
        said[flags] = client.get("/api/slides/0/left-out").json().get("error", "")
    assert "drawn regions that the run used" in said[""]
    assert "drawn" not in said["no-annotation"]


def test_a_drawing_that_the_table_names_is_not_looked_for_by_name(slide, tmp_path):
    study = tmp_path / "study"
    (study / "slides").mkdir(parents=True)
    (study / "drawn").mkdir()
    slide.rename(study / "slides" / "a.tiff")
    (study / "drawn" / "a.geojson").write_text("[]")
    for column, found in (("", True), ("regions", False)):
        run = write_run(tmp_path / f"run-{column}", {"a": "a.tiff"})
        cohort = {"annotation_folder": "drawn", "columns": {"annotation": column}}
        (run / "manifest.json").write_text(
            json.dumps({"slides": "slides", "study": {"cohort": cohort}})
        )
        tables = read_run_tables(run)
        drawing = drawing_of(RunSlides(tables, study / "slides"), tables.slides[0])
        assert (drawing is not None) == found


def test_colors_turn_where_the_heat_maps_of_the_run_do(tmp_path):
    tiles = pd.DataFrame({"x": [0, 256], "y": [0, 0], "score": [-1.0, 1.0]})
    run = write_run(tmp_path / "run", {"s": "s.tiff"}, tiles={"s": tiles})
    assert read_run_tables(run).scale("").center == 0.0
    scored = pd.read_parquet(run / "tile_scores.parquet")
    scored.attrs[TURN] = -0.4
    scored.to_parquet(run / "tile_scores.parquet")
    assert read_run_tables(run).scale("").center == -0.4


def test_scores_that_were_added_to_have_the_colors_of_their_pictures(tmp_path):
    """A second command into the folder widens the scores; the pictures keep the first one's colors."""
    tiles = pd.DataFrame({"x": [0, 256], "y": [0, 0], "score": [-9.0, 9.0]})
    run = write_run(tmp_path / "run", {"s": "s.tiff"}, tiles={"s": tiles})
    (run / "manifest.json").write_text(json.dumps({"color_scale": [-2.0, -0.2, 1.5]}))
    assert read_run_tables(run).scale("") == ScoreScale(-2.0, -0.2, 1.5)
