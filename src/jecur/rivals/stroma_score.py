"""Kather 2019: which classes of tissue go with an early event, beyond which fraction, and by how much.

With f_c the fraction of class c in a patient, t_c its cut-off and w_c its hazard ratio::

    S = sum over classes with w_c >= 1 of  w_c [f_c >= t_c]

Cut-offs maximize sensitivity + specificity - 1 (Youden) and the weights come from univariable Cox models of
the fractions, both on the patients trained on alone.

References
----------
.. [1] J. N. Kather et al. Predicting survival from colorectal cancer histology slides using deep learning: a
   retrospective multicenter study. PLoS Med. 16(1), e1002730, 2019; and its published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import BoolVector, Matrix, Vector
from jecur.errors import NotEstimableError
from jecur.survival.auc import roc_curve
from jecur.survival.covariates import linear_predictor
from jecur.survival.cox import fit_cox

__all__ = ["StromaScore", "at_least_median", "fit_stroma_score"]


@dataclass(frozen=True, slots=True, eq=False)
class StromaScore:
    """Cut-offs and weights of the classes that count."""

    classes: tuple[str, ...]
    """With a hazard ratio of 1 or more; the others do not count."""
    index: tuple[int, ...]
    """Their columns among the fractions."""
    cutoffs: Vector
    """Fractions from which on a class counts."""
    hazard_ratios: Vector
    """Per standard deviation of the fraction among the patients trained on."""

    def of(self, fractions: Matrix) -> Vector:
        """Score patients, (n,); higher means earlier event.

        Parameters
        ----------
        fractions
            (n, K) of all classes.
        """
        above = fractions[:, list(self.index)] >= self.cutoffs
        return linear_predictor(above.astype(np.float64), self.hazard_ratios)


def fit_stroma_score(
    fractions: Matrix,
    classes: Sequence[str],
    months: Vector,
    event: BoolVector,
    *,
    horizon: float,
    competing: BoolVector | None = None,
) -> StromaScore:
    """Fit to the patients trained on.

    Parameters
    ----------
    fractions
        (n, K)
    classes
        K names.
    months, event, competing
        Follow-up; whether it ended by a competing event.
    horizon
        Months by which the event counts for the cut-off, weighed for censoring.

    Raises
    ------
    NotEstimableError
        If no class has a hazard ratio, nobody had the event by the horizon, or nobody is followed beyond it.
    """
    kept: list[tuple[int, float, float]] = []
    reasons = []
    for k, name in enumerate(classes):
        fraction = fractions[:, k]
        try:
            ratio = _hazard_ratio(fraction, name, months, event)
        except NotEstimableError as error:
            reasons.append(error.message)
            continue
        if ratio >= 1.0:
            cut = _youden(fraction, months, event, horizon, competing)
            kept.append((k, cut, ratio))
    if not kept:
        why = reasons[0] if reasons else "no class has a hazard ratio of 1 or more"
        raise NotEstimableError(
            f"expected a class of tissue whose fraction goes with an earlier event, found none ({why}); "
            "there is no score"
        )
    index, cutoffs, ratios = zip(*kept, strict=True)
    return StromaScore(
        tuple(classes[k] for k in index), tuple(index), np.array(cutoffs), np.array(ratios)
    )


def at_least_median(scores: Vector) -> float:
    """Cut-off just below the median, so that "above" reads as the paper's "median or more".

    Where half of the patients or more share the lowest score, it lies just above that instead: everybody is
    no group.
    """
    known, median = np.unique(scores), float(np.median(scores))
    below, above = known[known < median], known[known > median]
    if below.size:
        return float((below[-1] + known[known >= median][0]) / 2)
    return float((median + above[0]) / 2) if above.size else median


def _hazard_ratio(fraction: Vector, name: str, months: Vector, event: BoolVector) -> float:
    spread = float(fraction.std())
    if not spread > 1e-12:
        raise NotEstimableError(f"the fraction of {name} does not vary")
    model = fit_cox((fraction / spread)[:, None], months, event, names=(name,))
    with np.errstate(over="ignore"):
        ratio = float(np.exp(model.coefficients[0]))
    if not np.isfinite(ratio):
        raise NotEstimableError(f"the fraction of {name} has no finite hazard ratio")
    return ratio


def _youden(
    fraction: Vector,
    months: Vector,
    event: BoolVector,
    horizon: float,
    competing: BoolVector | None,
) -> float:
    """Fraction from which on sensitivity + specificity is largest; of several, the nearest to the median."""
    curve = roc_curve(fraction, months, event, horizon, competing=competing)
    gain = (curve.true_positive - curve.false_positive)[1:]
    best = curve.thresholds[1:][gain >= gain.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - np.median(fraction)))])
