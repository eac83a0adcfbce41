"""Tiles seen as they pass by: nothing of them on disk, and every number as if they had been kept."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from scipy import ndimage
from tests.elsewhere import Elsewhere
from tests.model_files import node, tensor, toy_card, toy_encoder, write_toy
from tests.virtual.tiny_study import quick_study

from jecur.cohort.cohort import SlideEntry
from jecur.errors import SlideError
from jecur.mil import looks
from jecur.mil.looks import read_looks
from jecur.mil.tile_digest import TileDigest, read_digests
from jecur.model.card import TrainedOn
from jecur.model.file import read_bundle
from jecur.pipeline import prepare_alone, run_study, score_slides, train_study
from jecur.runs.folder import RunFolder, sha256_file, write_text
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import working_with
from jecur.settings import (
    RunSettings,
    ScoringSettings,
    SimulationSettings,
    TilingSettings,
    TrainingSettings,
    read_study,
    write_study,
)
from jecur.simulate.cohort import simulate_cohort
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.study.explain import top_tiles
from jecur.study.slide_task import SlideTask

SAME = ("scores.csv", "slides.csv", "tile_scores.parquet")
OF_A_SLIDE = (
    "quality.json", "tiles.parquet", "stain.json", "thumbnail.png", "tissue.geojson", "looks.json",
)  # fmt: skip
PAINTED = ("heatmap.png", "overlay.png", "tiles.geojson")
"""On a scale of colors that all slides of a call share."""


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two slides; of the second a corner is out of focus, so that tiles are left out."""
    rng = np.random.default_rng(3)
    site = site_stain(rng, angle_deg=4.0, intensity_sd=0.12)
    stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
    features = TissueFeatures(0.4, 0.5, 0.5, 0.3)
    image = render_rgb(render_tissue(features, (1300, 1300), 0.5, rng), stain, rng)
    blurred = image.copy()
    blurred[:500, :750] = ndimage.gaussian_filter(image[:500, :750], (9, 9, 0))
    folder = tmp_path_factory.mktemp("slides")
    for name, pixels in (("sharp", image), ("soft", blurred)):
        write_slide(folder / f"{name}.tiff", pixels, um_per_px=0.5, quality=95)
    return {name: folder / f"{name}.tiff" for name in ("sharp", "soft")}


def _card(**changes):
    recipe = msgspec.structs.replace(toy_card().recipe, tiling=TilingSettings())
    return toy_card(recipe=recipe, **changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("model") / "m.jecur", card=_card())


def _score(slides, model, out, *, workers=1, keep_tiles=False):
    entries = [(name, SlideEntry(name, path, None)) for name, path in slides.items()]
    run = RunFolder.open(out)
    return score_slides(
        entries, model, run, workers=workers, progress=SilentProgress(), keep_tiles=keep_tiles
    ), run


@pytest.fixture(scope="module")
def kept(slides, model, tmp_path_factory):
    return _score(slides, model, tmp_path_factory.mktemp("kept") / "run", keep_tiles=True)


@pytest.fixture(scope="module")
def passed(slides, model, tmp_path_factory):
    return _score(slides, model, tmp_path_factory.mktemp("passed") / "run")


def _bytes(run, slide, names):
    return {name: (run.slide_folder(slide) / name).read_bytes() for name in names}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_number_is_that_of_tiles_that_were_kept(slides, model, kept, tmp_path, workers):
    _, run = _score(slides, model, tmp_path / "run", workers=workers)
    for name in SAME:
        assert (run.root / name).read_bytes() == (kept[1].root / name).read_bytes()
    for slide in slides:
        names = (*OF_A_SLIDE, *PAINTED)
        assert _bytes(run, slide, names) == _bytes(kept[1], slide, names)


def test_a_slide_alone_is_shared_by_threads_to_the_same_bytes(
    slides, model, kept, passed, tmp_path
):
    for name, path in slides.items():
        _, alone = _score({name: path}, model, tmp_path / name, workers=3)
        assert _bytes(alone, name, OF_A_SLIDE) == _bytes(kept[1], name, OF_A_SLIDE)
        names = ("tile_outputs.npy", "tiles.json")
        assert _bytes(alone, name, names) == _bytes(passed[1], name, names)


def test_a_network_of_convolutions_scores_the_same_either_way(slides, tiny_model, tmp_path):
    _, kept = _score(slides, tiny_model, tmp_path / "kept", keep_tiles=True)
    _, passed = _score(slides, tiny_model, tmp_path / "passed", workers=2)
    for name in SAME:
        assert (kept.root / name).read_bytes() == (passed.root / name).read_bytes()


def test_no_pixel_is_written(slides, passed):
    scored, run = passed
    assert not list(run.root.rglob("bag.npy"))
    for slide in scored.slides:
        left = [f for f in run.slide_folder(slide.slide).iterdir() if f.suffix != ".png"]
        assert sum(f.stat().st_size for f in left) < 1000 * slide.n_tiles
        # a tile is 200,704 bytes: not one of them is there
        assert max(f.stat().st_size for f in left) < 200_704


def test_tiles_are_digested_as_their_bag_would_have_been(passed, kept):
    n_left_out = {slide.slide: slide.n_tiles_left_out for slide in passed[0].slides}
    assert n_left_out["sharp"] == 0 < n_left_out["soft"]
    for slide in n_left_out:
        bag = kept[1].slide_folder(slide) / "bag.npy"
        ours, theirs = (read_digests(run.slide_folder(slide)) for _, run in (passed, kept))
        assert theirs.bag_sha256 == sha256_file(bag)
        assert ours.bag_sha256 == theirs.bag_sha256  # of a model that knows bags alone
        assert ours.tiles_sha256 == theirs.tiles_sha256
        (kept[1].slide_folder(slide) / "tiles.json").rename(bag.parent / "away")
        try:  # prepared before digests were kept: measured from the bag
            assert read_digests(bag.parent).tiles_sha256 == ours.tiles_sha256
        finally:
            (bag.parent / "away").rename(bag.parent / "tiles.json")


@pytest.mark.parametrize("knows", ["bags", "tiles", "neither"])
@pytest.mark.parametrize("slide", ["sharp", "soft"])
def test_tiles_a_model_was_trained_on_are_recognized(slides, kept, tmp_path, knows, slide):
    seen = read_digests(kept[1].slide_folder(slide))
    memory = {
        "bags": TrainedOn(bags=(seen.bag_sha256,)),
        "tiles": TrainedOn(bags=("ab" * 32,), tiles=(seen.tiles_sha256,)),
        "neither": TrainedOn(bags=("ab" * 32,), tiles=("cd" * 32,)),
    }[knows]
    model = write_toy(tmp_path / "m.jecur", card=_card(trained_on=memory))
    scored, _ = _score(slides, model, tmp_path / "run")
    found = {patient.patient: patient.seen_in_training for patient in scored.patients}
    other = "soft" if slide == "sharp" else "sharp"
    assert found == {slide: knows != "neither", other: False}


def _done(run):
    lines = [json.loads(line) for line in (run.root / "log.jsonl").read_text().splitlines()]
    return [line["slide"] for line in lines if line["event"] == "slide"]


def test_a_slide_that_was_scored_is_not_scored_again(slides, model, tmp_path):
    _, run = _score({"sharp": slides["sharp"]}, model, tmp_path / "run")
    before = (run.root / "tile_scores.parquet").read_bytes()
    _score({"sharp": slides["sharp"]}, model, tmp_path / "run")
    assert _done(run) == ["sharp"]
    assert (run.root / "tile_scores.parquet").read_bytes() == before
    outputs = run.slide_folder("sharp") / "tile_outputs.npy"
    outputs.write_bytes(outputs.read_bytes()[:-4] + b"\0\0\0\0")
    _score({"sharp": slides["sharp"]}, model, tmp_path / "run")
    assert _done(run) == ["sharp", "sharp"]
    assert (run.root / "tile_scores.parquet").read_bytes() == before


def test_no_score_of_another_model_or_way_is_taken_up(slides, model, kept, tmp_path):
    one = {"sharp": slides["sharp"]}
    other = write_toy(
        tmp_path / "other.jecur",
        card=_card(),
        encoder_onnx=toy_encoder(
            [node("Mul", ["mean", "twice"], ["more"])],
            tensors=(tensor("twice", [2.0]),),
            last="more",
        ),
    )
    first, run = _score(one, model, tmp_path / "run")
    second, _ = _score(one, other, tmp_path / "run")
    ours, theirs = first.patients[0].score.tile_scores, second.patients[0].score.tile_scores
    np.testing.assert_allclose(theirs, 2.0 * ours, rtol=1e-5)
    third, _ = _score(one, model, tmp_path / "run", keep_tiles=True)
    np.testing.assert_array_equal(third.patients[0].score.tile_scores, ours)
    assert (run.slide_folder("sharp") / "bag.npy").is_file()
    fourth, _ = _score(one, other, tmp_path / "run")  # from the tiles that lie there
    np.testing.assert_array_equal(fourth.patients[0].score.tile_scores, theirs)
    assert _done(run) == ["sharp"] * 3


def test_looks_are_measured_on_the_same_tiles_when_not_all_were_kept(
    slides, model, kept, tmp_path, monkeypatch
):
    for keeps in (0, 10_000):
        monkeypatch.setattr(looks, "_KEPT_ALL", keeps)
        for n, left_out in ((500, 0), (500, 37), (60, 1), (1, 0)):
            tiles = np.arange(n - left_out, dtype=np.uint8)[:, None, None, None] + np.zeros(
                (1, 2, 2, 4), np.uint8
            )
            sample, again = looks.LooksSample(n), []

            def read(k, tiles=tiles, again=again):
                again.append(k)
                return tiles[k]

            for start in range(0, len(tiles), 7):
                sample.append(tiles[start : start + 7])
            chosen = looks.measured_tiles(len(tiles))
            np.testing.assert_array_equal(sample.tiles(read), tiles[chosen])
            assert keeps or left_out or not again
    assert read_looks(kept[1].slide_folder("soft"))


def test_the_digest_of_a_bag_needs_the_number_of_its_tiles():
    tiles = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 4), dtype=np.uint8)
    right, wrong = TileDigest(4, 5), TileDigest(4, 6)
    for part in (tiles[:2], tiles[2:]):
        right.append(part)
        wrong.append(part)
    assert right.digests().tiles_sha256 == wrong.digests().tiles_sha256
    assert right.digests().bag_sha256
    assert wrong.digests().bag_sha256 == ""


@pytest.mark.parametrize("stains", ["fitted", "refused"])
def test_top_tiles_are_read_again_as_the_network_saw_them(slides, tmp_path, stains):
    card = _card()
    strict = {"max_hematoxylin_degrees": 0.01} if stains == "refused" else {}
    stain = msgspec.structs.replace(card.recipe.stain, on_refusal="reference", **strict)
    recipe = msgspec.structs.replace(card.recipe, stain=stain)
    model = write_toy(tmp_path / "m.jecur", card=msgspec.structs.replace(card, recipe=recipe))
    settings = ScoringSettings(n_top_tiles=5, max_tiles_per_patient=4)
    found = []
    for keep_tiles in (False, True):
        scored, run = _score(slides, model, tmp_path / str(keep_tiles), keep_tiles=keep_tiles)
        fitted = json.loads((run.slide_folder("sharp") / "stain.json").read_text())["slide"]
        assert (fitted is None) == (stains == "refused")
        orders = [SlideTask(name, name, path, None, recipe, run) for name, path in slides.items()]
        engine = Elsewhere()
        for workers in (1, 2):
            found.append(_top(scored, run, settings, orders, workers))
        with working_with(engine):
            found.append(_top(scored, run, settings, orders, 2))
        assert engine.given == len(slides)
    assert len(found[0]) == 10
    assert all(tiles == found[0] for tiles in found[1:])


def _top(scored, run, settings, orders, workers):
    return top_tiles(
        scored.patients, run, settings, orders, workers=workers, progress=SilentProgress()
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_top_tiles_of_a_slide_that_is_gone_are_refused(slides, model, tmp_path, workers):
    copies = {name: shutil.copy(path, tmp_path / path.name) for name, path in slides.items()}
    scored, run = _score(copies, model, tmp_path / "run")
    orders = [
        SlideTask(name, name, path, None, _card().recipe, run) for name, path in copies.items()
    ]
    copies["soft"].unlink()
    with pytest.raises(SlideError, match="soft"):
        _top(scored, run, ScoringSettings(), orders, workers)


def test_a_run_that_keeps_tiles_finds_the_same(tiny_study, tiny_run, tmp_path):
    out = shutil.copytree(tiny_run, tmp_path / "run")
    kept = sorted(path.parent.name for path in tiny_run.rglob("bag.npy"))
    assert len(kept) == 6  # of whom the model was trained on
    study = read_study(tiny_study)
    study = msgspec.structs.replace(study, run=RunSettings(keep_tiles=True))
    run_study(study, tiny_study.parent, RunFolder.open(out), workers=1, progress=SilentProgress())
    assert len(list(out.rglob("bag.npy"))) > len(kept)
    for name in ("scores.csv", "slides.csv", "tile_scores.parquet", "statistics.json"):
        assert (out / name).read_bytes() == (tiny_run / name).read_bytes(), name


@pytest.fixture(scope="module")
def frozen_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    settings = SimulationSettings(
        n_training=6, n_validation=4, seed=5, size_px=640, tissue_fraction=0.7
    )
    simulate_cohort(settings, folder)
    flat = TrainingSettings.from_flat(epochs=3, l2=0.0, good_months=30.0, poor_months=25.0)
    encoder = msgspec.structs.replace(flat.encoder, trained=False)
    training = msgspec.structs.replace(flat, encoder=encoder)
    write_text(folder / "study.toml", write_study(quick_study("Frozen", training)))
    return folder / "study.toml"


def test_an_encoder_that_is_not_trained_leaves_features_in_place_of_tiles(frozen_study, tmp_path):
    study, folder = read_study(frozen_study), frozen_study.parent
    for keep_tiles in (False, True):
        own = msgspec.structs.replace(study, run=RunSettings(keep_tiles=keep_tiles))
        run = RunFolder.open(tmp_path / str(keep_tiles))
        run_study(own, folder, run, workers=1, progress=SilentProgress())
    described, kept = tmp_path / "False", tmp_path / "True"
    assert not list(described.rglob("bag.npy"))
    bags = sorted(kept.rglob("bag.npy"))
    assert len(bags) == 10
    files = sorted(described.rglob("features.npy"))
    assert len(files) == 6
    for path in files:
        features = np.load(path)
        bag = np.load(kept / path.relative_to(described).with_name("bag.npy"), mmap_mode="r")
        assert features.shape == (len(bag), 1280)
        assert features.dtype == np.float32
        assert path.stat().st_size < 8_000 * len(bag)
        assert read_looks(path.parent) == read_looks(kept / path.relative_to(described).parent)
    for name in ("scores.csv", "tile_scores.parquet", "statistics.json"):
        assert (described / name).read_bytes() == (kept / name).read_bytes(), name
    ours, theirs = (read_bundle(next((f / "models").iterdir())) for f in (described, kept))
    assert ours.encoder_onnx == theirs.encoder_onnx
    assert ours.card.input == theirs.card.input
    assert ours.card.trained_on.tiles == theirs.card.trained_on.tiles


def test_what_was_described_is_not_described_again_and_not_mixed_with_tiles(frozen_study, tmp_path):
    study, folder = read_study(frozen_study), frozen_study.parent
    run = RunFolder.open(tmp_path / "run")
    train_study(study, folder, run, workers=1, progress=SilentProgress())
    first = _done(run)
    assert len(first) == 6
    train_study(study, folder, run, workers=1, progress=SilentProgress())
    assert _done(run) == first
    other = RunFolder.open(tmp_path / "other")
    prepare_alone(study, folder, other, workers=1, progress=SilentProgress())
    bags = sorted(other.root.rglob("bag.npy"))
    train_study(study, folder, other, workers=1, progress=SilentProgress())
    assert sorted(other.root.rglob("bag.npy")) == bags
    assert not list(other.root.rglob("features.npy"))
    models = [next((r.root / "models").iterdir()) for r in (run, other)]
    assert read_bundle(models[0]).encoder_onnx == read_bundle(models[1]).encoder_onnx
