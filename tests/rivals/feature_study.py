"""A study whose slides come as features, so that networks train in seconds; truth planted in one feature."""

from pathlib import Path

import h5py
import msgspec
import numpy as np
import pandas as pd

from jecur.demo import study_of_virtual_cohort
from jecur.settings import Covariate, TrainingSettings, write_study

WIDTH = 8


def write_feature_study(
    folder: Path, *, n_training: int = 50, n_unseen: int = 50, tissue=2.5, age=0.0, seed=1
) -> Path:
    """Files of features, a table and a study file; ``tissue`` and ``age`` are log hazard ratios per SD."""
    rng = np.random.default_rng(seed)
    n = n_training + n_unseen
    planted, years = rng.normal(size=n), rng.normal(size=n)
    time = rng.exponential(30 * np.exp(-tissue * planted - age * years)) + 0.5
    end = rng.uniform(20, 90, n)
    (folder / "slides").mkdir(parents=True)
    for k in range(n):
        tiles = rng.normal(size=(12, WIDTH)).astype(np.float32)
        tiles[:, 0] += planted[k]
        with h5py.File(folder / "slides" / f"P{k:03}.h5", "w") as stored:
            stored["features"] = tiles
            stored["coords"] = np.stack([np.arange(12) * 256, np.zeros(12)], 1).astype(np.int64)
    pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(n)],
            "role": ["training"] * n_training + ["validation"] * n_unseen,
            "months": np.minimum(time, end).round(2),
            "recurrence": (time <= end).astype(int),
            "site": [f"site {k % 5}" for k in range(n)],
            "slide": [f"P{k:03}.h5" for k in range(n)],
            "age": (60 + 10 * years).round(1),
            "stage": [None if k % 11 == 0 else ("I", "II")[k % 2] for k in range(n)],
        }
    ).to_csv(folder / "clinical.csv", index=False)
    study = study_of_virtual_cohort("Features", TrainingSettings.from_flat(epochs=3))
    cohort = msgspec.structs.replace(
        study.cohort,
        covariates=(
            Covariate(column="age", unit="years"),
            Covariate(column="stage", kind="categorical", levels=("I", "II")),
        ),
    )
    path = folder / "study.toml"
    path.write_text(write_study(msgspec.structs.replace(study, cohort=cohort)))
    return path
