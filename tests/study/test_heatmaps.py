"""Heat maps are drawn by whoever prepares slides: the same bytes, and a bad one never stops the rest."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.elsewhere import Elsewhere
from tests.said import Said

from jecur.mil.scoring import RiskScore
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import working_with
from jecur.study.explain import HEATMAP_FILES, write_heatmaps
from jecur.study.score import ScoredPatient
from jecur.study.slide_task import PreparedSlide

SLIDES = ("a", "b", "c")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A patient of two slides and one of one, thumbnails and tiles of each."""
    rng = np.random.default_rng(8)
    run = RunFolder.open(tmp_path_factory.mktemp("heat") / "run")
    prepared = {}
    for n, slide in enumerate(SLIDES, start=4):
        folder = run.slide_folder(slide)
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / "thumbnail.png")
        frame = {"x": np.arange(n) * 80, "y": np.full(n, 80), "side_px": 80, "side_um": 40.0}
        pd.DataFrame(frame).to_parquet(folder / "tiles.parquet", index=False)
        prepared[slide] = PreparedSlide(
            slide=slide, patient_id=slide, status="ok", n_tiles=n, mpp=0.5,
            mpp_source="given", reader="test", thumbnail_um_per_px=5.0,
        )  # fmt: skip
    patients = []
    for name, slides, n in (("P0", ("a", "b"), 9), ("P1", ("c",), 6)):
        scores = rng.normal(size=n).astype(np.float32)
        risk = RiskScore(0.5, 0.5, scores, np.full(n, 1 / n, np.float32), None)
        patients.append(ScoredPatient(name, slides, risk, seen_in_training=False))
    return patients, prepared, run.root


def _draw(scored, root, workers, progress):
    patients, prepared, made = scored
    run = RunFolder(shutil.copytree(made, root))
    write_heatmaps(patients, prepared, run, cutoff=0.5, workers=workers, progress=progress)
    return run


def _files(run, slides=SLIDES):
    return {(s, n): (run.slide_folder(s) / n).read_bytes() for s in slides for n in HEATMAP_FILES}


def test_one_worker_two_and_an_engine_draw_the_same_bytes(scored, tmp_path):
    one = _files(_draw(scored, tmp_path / "one", 1, SilentProgress()))
    assert len(set(one.values())) == len(one)
    assert _files(_draw(scored, tmp_path / "two", 2, SilentProgress())) == one
    engine = Elsewhere()
    with working_with(engine):
        assert _files(_draw(scored, tmp_path / "engine", 2, SilentProgress())) == one
    assert engine.given == len(SLIDES)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slide_that_cannot_be_drawn_is_said_and_the_rest_is_drawn(scored, tmp_path, workers):
    patients, prepared, made = scored
    whole = _files(_draw(scored, tmp_path / "whole", 1, SilentProgress()))
    run, said = RunFolder(shutil.copytree(made, tmp_path / "run")), Said()
    (run.slide_folder("a") / "thumbnail.png").write_bytes(b"no picture")
    (run.slide_folder("a") / "overlay.png").write_bytes(b"of other scores")
    write_heatmaps(patients, prepared, run, cutoff=0.5, workers=workers, progress=said)
    assert _files(run, ("b", "c")) == {k: v for k, v in whole.items() if k[0] != "a"}
    assert not any((run.slide_folder("a") / name).exists() for name in HEATMAP_FILES)
    assert "a: no heat map" in " ".join(said.lines)
    events = [json.loads(line) for line in (run.root / "log.jsonl").read_text().splitlines()]
    assert [e["slide"] for e in events if e["event"] == "heatmap-failed"] == ["a"]
