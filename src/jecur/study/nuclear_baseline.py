"""A model without a network of its own to beat: elastic-net Cox on measurements of the nuclei.

What a pathologist could count (how many nuclei, how large, how dark) is averaged over a patient's
tiles, and a penalized Cox model of these numbers is fitted to the training patients. Its scores go the
way of any score: `jecur.evaluation.given`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.arrays import Matrix, Vector
from jecur.cohort.cohort import Exclusion, Patient, read_cohort
from jecur.cohort.csv_text import csv_text
from jecur.errors import NotEstimableError, RunFolderError
from jecur.evaluation.given import Evaluation, ScoreFiles, evaluate_scores
from jecur.nuclei.features import NuclearFeatures
from jecur.runs.folder import RunFolder, write_json, write_text
from jecur.settings import ScoreSettings, StudySettings
from jecur.survival.elastic_net import ElasticNetCox, fit_elastic_net_by_folds

__all__ = ["NuclearBaseline", "run_nuclear_baseline"]

LABEL = "Nuclear features, elastic-net Cox"
_FEWEST = 20
"""Training patients below which folds inside them choose nothing."""


@dataclass(frozen=True, slots=True)
class NuclearBaseline:
    """What was fitted, and what it is worth on patients it has not seen."""

    n_training: int
    n_events: int
    strength: float
    hazard_ratios: dict[str, float]
    """Measurement -> hazard ratio per standard deviation; those that the penalty left in."""
    left_out: tuple[Exclusion, ...]
    """Patients without a measured slide."""
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class _Measured:
    patients: tuple[Patient, ...]
    columns: Matrix
    """(patients, measurements), NaN where a patient's tiles do not determine one."""


def run_nuclear_baseline(
    study: StudySettings, folder: Path, prepared: Path, run: RunFolder
) -> NuclearBaseline:
    """Fit the baseline to the training patients, score the validation patients and evaluate.

    Parameters
    ----------
    study
        Clinical table, endpoint, statistics. Patients of the training and tuning roles are fitted
        to, all comers; those of the validation role are scored.
    folder
        Where the study file lies.
    prepared
        Run folder whose slides were measured by ``jecur nuclei features``; only read.
    run
        Gets ``scores.csv``, ``baseline.json`` and what `evaluate_scores` writes.

    Raises
    ------
    RunFolderError
        If no slide was measured.
    NotEstimableError
        If there are too few training patients or no event among them, or if the folds inside them
        leave no measurement in.
    """
    cohort = read_cohort(study.cohort, folder)
    found, left_out = _measured(cohort.patients, RunFolder(prepared))
    training = np.array([p.role in ("training", "tuning") for p in found.patients])
    if training.sum() < _FEWEST:
        raise NotEstimableError(
            f"expected {_FEWEST} training patients with measured nuclei or more, found "
            f"{training.sum()}; folds inside fewer choose nothing: add patients"
        )
    columns = _filled(found.columns, training)
    follow_up = [
        (p.months, p.event) for p, used in zip(found.patients, training, strict=True) if used
    ]
    months, event = np.array(follow_up, dtype=float).T
    rng = np.random.default_rng(study.training.seed)
    model = fit_elastic_net_by_folds(columns[training], months, event.astype(bool), rng=rng)
    kept = _hazard_ratios(model)
    facts = {
        "trained_on": int(training.sum()),
        "events": int(event.sum()),
        "strength": model.strength,
        "hazard_ratio_per_sd": kept,
        "left_out": [(e.patient, e.reason) for e in left_out],
    }
    write_json(run.root / "baseline.json", facts)
    if not kept:
        raise NotEstimableError(
            "expected a nuclear measurement that goes with recurrence, found that the folds inside the "
            "training patients keep none; the baseline knows nothing here, which is a result"
        )
    evaluation = _evaluated(study, folder, run, found.patients, model.risk(columns), training)
    return NuclearBaseline(
        int(training.sum()), int(event.sum()), model.strength, kept, left_out, evaluation
    )


def _evaluated(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    patients: Sequence[Patient],
    risk: Vector,
    training: np.ndarray,
) -> Evaluation:
    """Write the validation patients' scores and evaluate them; the cut-off is the training median."""
    rows = [
        (p.id, float(r))
        for p, r, used in zip(patients, risk, training, strict=True)
        if not used and p.role == "validation"
    ]
    scores = write_text(
        run.root / "scores.csv", csv_text(pd.DataFrame(rows, columns=["patient_id", "score"]))
    )
    given = ScoreSettings(
        column="score", higher="worse", cutoff=float(np.median(risk[training])), label=LABEL
    )
    evaluation = evaluate_scores(ScoreFiles(scores), study, folder, given, run)
    facts = {"study": msgspec.to_builtins(study), "score": msgspec.to_builtins(given)}
    run.write_manifest({**facts, "command": "baseline nuclear-features"})
    return evaluation


def _measured(
    patients: Sequence[Patient], prepared: RunFolder
) -> tuple[_Measured, tuple[Exclusion, ...]]:
    """Mean and spread of each measurement over all tiles of a patient."""
    rows, used, left_out = [], [], []
    for patient in patients:
        files = [prepared.slide_folder(entry.id) / "nuclei.parquet" for entry in patient.slides]
        tables = [pd.read_parquet(path) for path in files if path.is_file()]
        if not tables:
            left_out.append(Exclusion(patient.id, patient.role, "no slide with measured nuclei"))
            continue
        tiles = pd.concat(tables)[list(NuclearFeatures.names())]
        rows.append(np.concatenate([tiles.mean(), tiles.std(ddof=0)]))
        used.append(patient)
    if not rows:
        raise RunFolderError(
            f"expected slides with measured nuclei in {prepared.root}, found none; "
            f"measure them with: jecur nuclei features {prepared.root}"
        )
    return _Measured(tuple(used), np.array(rows)), tuple(left_out)


def _filled(columns: Matrix, training: np.ndarray) -> Matrix:
    """Give what is missing the training patients' median; nothing is taken from the others."""
    known = np.isfinite(columns)
    middle = [
        float(np.median(column[there])) if (there := training & at).any() else 0.0
        for column, at in zip(columns.T, known.T, strict=True)
    ]
    return np.where(known, columns, middle)


def _hazard_ratios(model: ElasticNetCox) -> dict[str, float]:
    names = [f"{name}, {of}" for of in ("mean", "spread") for name in NuclearFeatures.names()]
    return {
        name: float(np.exp(b)) for name, b in zip(names, model.coefficients, strict=True) if b != 0
    }
