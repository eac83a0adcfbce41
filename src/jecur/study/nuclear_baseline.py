"""Models without a network of their own to beat: elastic-net Cox on measurements of the nuclei.

What could be counted (how many nuclei, how large, how dark, how they stand to each other) becomes a row
of numbers a patient (`jecur.study.nuclear_measures`), and a penalized Cox model of these is fitted to
the training patients. Its scores go the way of any score: `jecur.evaluation.given`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.csv_text import csv_text
from jecur.evaluation.given import Evaluation, ScoreFiles, evaluate_scores
from jecur.runs.folder import RunFolder, write_json, write_text
from jecur.settings import ScoreSettings, StudySettings
from jecur.study.nuclear_measures import MeasuredPatients, NuclearKind
from jecur.survival.elastic_net import (
    ElasticNetCox,
    fit_elastic_net_by_folds,
    require_enough_for_folds,
)

__all__ = ["NuclearBaseline", "NuclearModel", "fit_nuclear_model", "run_nuclear_baseline"]


@dataclass(frozen=True, slots=True, eq=False)
class NuclearModel:
    """A fitted model, and the scores of everybody who was measured."""

    model: ElasticNetCox
    hazard_ratios: dict[str, float]
    """Measurement -> hazard ratio per standard deviation; those that the penalty left in."""
    risk: Vector
    """(n,) of all measured patients; higher means earlier event."""
    n_training: int
    n_events: int

    def require_something(self) -> None:
        """Refuse a model that the folds left empty.

        Raises
        ------
        NotEstimableError
            If no measurement was kept.
        """
        self.model.require_something(
            "a nuclear measurement that goes with recurrence", "the baseline"
        )


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


def run_nuclear_baseline(
    study: StudySettings, folder: Path, run: RunFolder, kind: NuclearKind, found: MeasuredPatients
) -> NuclearBaseline:
    """Fit the baseline to the training patients, score the validation patients and evaluate.

    Parameters
    ----------
    study
        Endpoint, statistics. Patients of the training and tuning roles are fitted to, all comers; those
        of the validation role are scored.
    folder
        Where the study file lies.
    run
        Gets ``measures.csv``, ``scores.csv``, ``baseline.json`` and what `evaluate_scores` writes.
    kind
        What was measured.
    found
        The study's patients and their numbers, of `measure_patients`.

    Raises
    ------
    NotEstimableError
        If there are too few training patients or no event among them, or if the folds inside them
        leave no measurement in.
    """
    write_text(run.root / "measures.csv", csv_text(found.table()))
    trained_on = np.array([p.role in ("training", "tuning") for p in found.patients])
    fitted = fit_nuclear_model(found, trained_on, seed=study.training.seed)
    facts = {
        "trained_on": fitted.n_training,
        "events": fitted.n_events,
        "strength": fitted.model.strength,
        "hazard_ratio_per_sd": fitted.hazard_ratios,
        "left_out": [(e.patient, e.reason) for e in found.left_out],
    }
    write_json(run.root / "baseline.json", facts)
    fitted.require_something()
    cutoff = float(np.median(fitted.risk[trained_on]))
    scores = _write_scores(found.patients, fitted.risk, run)
    given = ScoreSettings(column="score", higher="worse", cutoff=cutoff, label=kind.label)
    evaluation = evaluate_scores(ScoreFiles(scores), study, folder, given, run)
    told = {"study": msgspec.to_builtins(study), "score": msgspec.to_builtins(given)}
    run.write_manifest({**told, "command": f"baseline {kind.name}"})
    return NuclearBaseline(
        fitted.n_training,
        fitted.n_events,
        fitted.model.strength,
        fitted.hazard_ratios,
        found.left_out,
        evaluation,
    )


def fit_nuclear_model(
    found: MeasuredPatients, trained_on: BoolVector, *, seed: int
) -> NuclearModel:
    """Fit to some of the patients measured; the outcomes of the others are not looked at.

    Parameters
    ----------
    found
        Everybody's numbers.
    trained_on
        (n,) whom to fit to.
    seed
        Draws the folds that choose the strength of the penalty.

    Raises
    ------
    NotEstimableError
        If they are too few, or have no event.
    """
    require_enough_for_folds(int(trained_on.sum()), "training patients with measured nuclei")
    columns: Matrix = found.filled(trained_on)
    follow_up = [
        (p.months, p.event) for p, used in zip(found.patients, trained_on, strict=True) if used
    ]
    months, event = np.array(follow_up, dtype=float).T
    rng = np.random.default_rng(seed)
    model = fit_elastic_net_by_folds(columns[trained_on], months, event.astype(bool), rng=rng)
    ratios = {
        name: float(np.exp(b))
        for name, b in zip(found.names, model.coefficients, strict=True)
        if b != 0
    }
    return NuclearModel(model, ratios, model.risk(columns), int(trained_on.sum()), int(event.sum()))


def _write_scores(patients: Sequence[Patient], risk: Vector, run: RunFolder) -> Path:
    """Write the scores of those who validate: ``scores.csv``."""
    rows = [(p.id, float(r)) for p, r in zip(patients, risk, strict=True) if p.role == "validation"]
    table = pd.DataFrame(rows, columns=["patient_id", "score"])
    return write_text(run.root / "scores.csv", csv_text(table))
