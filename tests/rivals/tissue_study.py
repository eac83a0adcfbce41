"""A study whose slides come as features of tiles of two classes, with drawings; stroma is planted."""

import json
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pandas as pd

from jecur.demo import study_of_virtual_cohort
from jecur.settings import Covariate, RunSettings, TrainingSettings, write_study

WIDTH, N_TILES, SIDE = 8, 24, 256


def stroma_tiles(share: float) -> int:
    return round(share * N_TILES)


def drawing(share: float, names=("Stroma", "Tumor")) -> dict:
    """Two boxes side by side over a row of tiles."""
    edge, end = stroma_tiles(share) * SIDE, N_TILES * SIDE

    def box(name, left, right):
        ring = [[left, 0], [right, 0], [right, SIDE], [left, SIDE], [left, 0]]
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }

    parts = [box(names[0], 0, edge), box(names[1], edge, end)]
    return {"type": "FeatureCollection", "features": parts}


def write_tissue_study(
    folder: Path, *, n_training=30, n_unseen=24, n_drawn=8, effect=1.5, seed=1
) -> tuple[Path, np.ndarray]:
    """Study file, and the share of stroma of each patient; drawings of the first lie in ``drawings``."""
    rng = np.random.default_rng(seed)
    n = n_training + n_unseen
    share = rng.uniform(0.1, 0.9, n)
    hazard = effect * (share - share.mean()) / share.std()
    time, end = rng.exponential(30 * np.exp(-hazard)) + 0.5, rng.uniform(40, 90, n)
    (folder / "slides").mkdir(parents=True)
    (folder / "drawings").mkdir()
    for k in range(n):
        is_stroma = np.arange(N_TILES) < stroma_tiles(share[k])
        tiles = rng.normal(size=(N_TILES, WIDTH)).astype(np.float32)
        tiles[:, 0] += np.where(is_stroma, 3.0, -3.0)
        with h5py.File(folder / "slides" / f"P{k:03}.h5", "w") as stored:
            stored["features"] = tiles
            places = np.stack([np.arange(N_TILES) * SIDE, np.zeros(N_TILES)], 1).astype(np.int64)
            stored.create_dataset("coords", data=places).attrs["patch_size_level0"] = SIDE
        if k < n_drawn:
            path = folder / "drawings" / f"P{k:03}.geojson"
            path.write_text(json.dumps(drawing(share[k])))
    pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(n)],
            "role": ["training"] * n_training + ["validation"] * n_unseen,
            "months": np.minimum(time, end).round(2),
            "recurrence": (time <= end).astype(int),
            "site": "one",
            "slide": [f"P{k:03}.h5" for k in range(n)],
            "age": rng.normal(60, 10, n).round(1),
        }
    ).to_csv(folder / "clinical.csv", index=False)
    study = study_of_virtual_cohort("Tissue", TrainingSettings())
    cohort = msgspec.structs.replace(
        study.cohort, covariates=(Covariate(column="age", unit="years"),)
    )
    path = folder / "study.toml"
    shared = RunSettings(cache="cache")  # each slide is prepared once for all tests
    path.write_text(write_study(msgspec.structs.replace(study, cohort=cohort, run=shared)))
    return path, share
