"""The clinical model: Cox on the study's covariates, with a ridge penalty where events are few.

What is missing takes the middle of the patients trained on (median, or commonest level), so that all models
are compared on the same patients.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.cohort.cohort import Patient
from jecur.errors import NotEstimableError, SettingsError
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores
from jecur.runs.folder import RunFolder
from jecur.settings import Covariate, StudySettings
from jecur.survival.covariates import linear_predictor
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import columns_that_vary, fit_elastic_net_by_folds

__all__ = ["Clinical", "ClinicalColumns", "clinical_columns", "fit_linear", "require_covariates"]

EVENTS_A_PARAMETER = 10
"""Below, the plain Cox model gives way to one with a ridge penalty."""


@dataclass(frozen=True, slots=True)
class Clinical:
    """The covariates that the study file names, and nothing else."""

    name: str = "clinical"
    title: str = "Clinical covariates, Cox"

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need covariates."""
        require_covariates(study)
        for division in divisions:
            follow_up((*division.training, *division.tuning))

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the covariates, how ties are taken, and the seed."""
        return (
            bench.study.cohort.covariates,
            bench.study.statistics.ties,
            bench.study.training.seed,
        )

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:  # noqa: ARG002
        """Fit to the patients trained on; score everybody."""
        trained_on = (*division.training, *division.tuning)
        columns = clinical_columns(bench.study.cohort.covariates, trained_on)
        months, event = follow_up(trained_on)
        x = columns.of(trained_on)
        weights, how = fit_linear(x, months, event, columns.names, bench)
        held = linear_predictor(columns.of(division.held_out), weights)
        facts: dict[str, float | str] = {
            "parameters": len(columns.names), "trained_on": len(trained_on), "fit": how,
        }  # fmt: skip
        return locked_scores(
            {p.id: float(s) for p, s in zip(division.held_out, held, strict=True)},
            {p.id: float(s) for p, s in zip(trained_on, linear_predictor(x, weights), strict=True)},
            facts,
        )


def require_covariates(study: StudySettings) -> None:
    """Refuse a study without clinical covariates.

    Raises
    ------
    SettingsError
        With code ``no-covariates``.
    """
    if not study.cohort.covariates:
        raise SettingsError(
            "expected covariates for a clinical model, found none; name them under "
            "[[cohort.covariates]], or leave this model out of --models",
            code="no-covariates",
        )


@dataclass(frozen=True, slots=True)
class ClinicalColumns:
    """How patients become rows of numbers; everything was fixed on the patients trained on."""

    covariates: tuple[Covariate, ...]
    middle: tuple[float | str, ...]
    """What a missing value becomes."""
    levels: tuple[tuple[str, ...], ...]
    """Of each covariate, the reference first; empty for numbers."""
    kept: BoolVector
    """Columns that vary among the patients trained on."""
    labels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns kept."""
        return tuple(n for n, k in zip(self.labels, self.kept, strict=True) if k)

    def of(self, patients: Sequence[Patient]) -> Matrix:
        """(n, p) columns of some patients; a level never seen in training is the reference."""
        return _all_columns(self.covariates, self.middle, self.levels, patients)[:, self.kept]


def clinical_columns(
    covariates: Sequence[Covariate], trained_on: Sequence[Patient]
) -> ClinicalColumns:
    """Fix the columns on the patients trained on.

    Raises
    ------
    NotEstimableError
        If no covariate varies among them.
    """
    middle = tuple(_middle(c, trained_on) for c in covariates)
    levels = tuple(
        () if c.kind == "numeric" else _levels(c, m, trained_on)
        for c, m in zip(covariates, middle, strict=True)
    )
    x = _all_columns(covariates, middle, levels, trained_on)
    labels = tuple(
        label
        for c, known in zip(covariates, levels, strict=True)
        for label in (
            [c.label or c.column]
            if c.kind == "numeric"
            else [f"{c.label or c.column} ({level})" for level in known[1:]]
        )
    )
    kept = columns_that_vary(x) if x.size else np.zeros(x.shape[1], dtype=np.bool_)
    if not kept.any():
        raise NotEstimableError(
            "expected a covariate that varies among the patients trained on, found none; a clinical "
            "model cannot be fitted: add covariates or patients"
        )
    return ClinicalColumns(tuple(covariates), middle, levels, kept, labels)


def _known(covariate: Covariate, patients: Sequence[Patient]) -> list[float | str]:
    values = [p.covariates[covariate.column] for p in patients]
    return [v for v in values if v is not None and v == v]  # noqa: PLR0124 - NaN is missing


def _middle(covariate: Covariate, patients: Sequence[Patient]) -> float | str:
    known = _known(covariate, patients)
    if covariate.kind == "numeric":
        return float(np.median([_scaled(covariate, float(v)) for v in known])) if known else 0.0
    counts = Counter(map(str, known))
    return min(counts, key=lambda level: (-counts[level], level)) if counts else ""


def _scaled(covariate: Covariate, value: float) -> float:
    if covariate.scale == "linear":
        return value
    log = {"log2": np.log2, "log10": np.log10}[covariate.scale]
    return float(log(value)) if value > 0 else float("nan")


def _levels(
    covariate: Covariate, middle: float | str, patients: Sequence[Patient]
) -> tuple[str, ...]:
    seen = {str(v) for v in _known(covariate, patients)} or {str(middle)}
    declared = [level for level in covariate.levels if level in seen]
    return (*declared, *sorted(seen - set(declared)))


def _all_columns(
    covariates: Sequence[Covariate],
    middle: Sequence[float | str],
    levels: Sequence[tuple[str, ...]],
    patients: Sequence[Patient],
) -> Matrix:
    parts = []
    for c, usual, known in zip(covariates, middle, levels, strict=True):
        values = [p.covariates[c.column] for p in patients]
        if c.kind == "numeric":
            numbers = [np.nan if v is None else _scaled(c, float(v)) for v in values]
            found = np.array(numbers, dtype=np.float64)[:, None]
            parts.append(np.where(np.isfinite(found), found, float(usual)))
        else:
            texts = [str(usual) if v is None or v != v else str(v) for v in values]  # noqa: PLR0124
            parts += [np.array([[t == level] for t in texts], np.float64) for level in known[1:]]
    rows = [part.reshape(len(patients), -1) for part in parts]
    return np.hstack(rows) if rows else np.empty((len(patients), 0))


def fit_linear(
    x: Matrix, months: Vector, event: BoolVector, names: tuple[str, ...], bench: Bench
) -> tuple[Vector, str]:
    """Fit Cox's model, by ridge where there are few events a column or the plain one has no maximum.

    Returns
    -------
    tuple of Vector and str
        (p,) coefficients of the columns as they are, and how they were fitted.
    """
    if event.sum() >= EVENTS_A_PARAMETER * len(names):
        try:
            model = fit_cox(x, months, event, names=names, ties=bench.study.statistics.ties)
        except NotEstimableError:
            pass
        else:
            return np.asarray(model.coefficients), "Cox"
    rng = np.random.default_rng(bench.study.training.seed)
    ridge = fit_elastic_net_by_folds(x, months, event, rng=rng, mix=0.0)
    return ridge.coefficients / ridge.spread, f"ridge Cox, strength {ridge.strength:.3g}"
