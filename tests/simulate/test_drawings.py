"""Drawings on virtual slides: where the bands are, on the slides asked for, and no byte else."""

import hashlib
import json

import numpy as np
import pytest

from jecur.settings import SimulationSettings
from jecur.simulate.cohort import simulate_cohort
from jecur.simulate.drawings import drawn_regions
from jecur.simulate.regions import TissueFeatures, plan_tissue
from jecur.slide.annotation.reading import read_regions
from jecur.slide.annotation.regions import region_mask

SMALL = {"n_training": 2, "n_validation": 1, "size_px": 512, "seed": 4}


def digests(folder):
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "drawings")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_what_is_drawn_is_what_was_planned(tmp_path):
    plan = plan_tissue(
        TissueFeatures(0.8, 0.5, 0.5, 0.5), (1024, 768), 0.5, np.random.default_rng(1), (0.7, 0.3)
    )
    path = tmp_path / "x.geojson"
    path.write_text(json.dumps(drawn_regions(plan)))
    found = read_regions(path)
    assert {r.name for r in found} == {"Tumor", "Stroma"}
    masks = {
        name: region_mask([r for r in found if r.name == name], (1024, 768), 1.0)
        for name in ("Tumor", "Stroma")
    }
    assert not (masks["Tumor"] & masks["Stroma"]).any()
    rows, columns = np.mgrid[0:1024:8, 0:768:8]
    row, column = plan.nodes(columns.ravel(), rows.ravel())
    tissue = plan.tissue_margin[row, column] > 0
    stroma = tissue & (plan.stroma_margin[row, column] > 0)
    at = rows.ravel(), columns.ravel()
    np.testing.assert_array_equal(masks["Stroma"][at], stroma)
    np.testing.assert_array_equal(masks["Tumor"][at], tissue & ~stroma)
    share = masks["Stroma"].sum() / (masks["Stroma"] | masks["Tumor"]).sum()
    assert abs(share - 0.364) < 0.03  # 2 % and 43 % of the feature


@pytest.mark.slow
def test_drawings_are_added_and_nothing_else_changes(tmp_path):
    plain = simulate_cohort(SimulationSettings(**SMALL), tmp_path / "plain")
    before = digests(plain.folder)
    drawn = simulate_cohort(SimulationSettings(**SMALL, drawings=5), plain.folder)
    assert drawn.n_rendered == 2
    assert digests(plain.folder) == before
    names = sorted(p.name for p in (plain.folder / "drawings").iterdir())
    assert names == ["V-0001.geojson", "V-0002.geojson"]  # no validation patient is drawn on
