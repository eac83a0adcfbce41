"""Time-dependent AUC of many draws of the same patients at once: the estimator of `jecur.survival.auc`.

A draw says how often each patient is in it. Everything that the plain estimator counts is then a sum with
these numbers as weights: the censoring curve of a draw is that of its own patients, and so are the weights
1 / G. Patients are compared within divisions; a draw's value is the mean over the divisions where it exists,
weighted by pairs of a case and a control, as `jecur.statistics.cross_validated` takes it.
"""

import numpy as np

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import require_choice
from jecur.survival.auc import LEAST_G, AucRecipe, cases_and_controls
from jecur.survival.follow_up import tied_times

__all__ = ["auc_of_draws"]

_BLOCK = 256
"""Draws held in memory at once, beside one another."""


def auc_of_draws(  # noqa: PLR0913 -- marker, response in three parts, draws, options
    risk: Vector,
    months: Vector,
    event: BoolVector,
    division: IntVector,
    times: Matrix,
    horizons: Vector,
    *,
    competing: BoolVector | None = None,
    recipe: AucRecipe = "score",
) -> Matrix:
    """AUC(t) within divisions of each draw of patients, (h, draws).

    Parameters
    ----------
    risk, months, event, division
        (n,) of the patients; higher risk means earlier event.
    times
        (n, draws) how often each patient was drawn.
    horizons
        (h,) months.
    competing
        (n,) whether follow-up ended by an event after which the other cannot happen.
    recipe
        Whether an event at the horizon itself is a case ("score") or not ("timeroc").

    Returns
    -------
    Matrix
        NaN where no division of the draw has both a case and somebody followed beyond the horizon.

    Raises
    ------
    SettingsError
        For another recipe.
    """
    require_choice("recipe", recipe, AucRecipe)
    at = np.asarray(horizons, dtype=np.float64)
    months = tied_times(months, at.tolist())
    other = np.zeros(months.size, dtype=np.bool_) if competing is None else competing
    out = np.full((at.size, times.shape[1]), np.nan)
    parts = [np.flatnonzero(division == k) for k in np.unique(division)]
    for start in range(0, times.shape[1], _BLOCK):
        here = np.s_[start : start + _BLOCK]
        total, weighted = np.zeros((2, *out[:, here].shape))
        for rows in parts:
            value, pairs = _of_division(
                risk[rows], months[rows], event[rows], other[rows], times[rows, here], at, recipe
            )
            known = np.isfinite(value)
            total += np.where(known, pairs, 0.0)
            weighted += np.where(known, pairs * value, 0.0)
        np.divide(weighted, total, out=out[:, here], where=total > 0)
    return out


def _of_division(  # noqa: PLR0913, PLR0917 -- the arrays of one division, in the order of the caller
    risk: Vector,
    months: Vector,
    event: BoolVector,
    other: BoolVector,
    times: Matrix,
    at: Vector,
    recipe: AucRecipe,
) -> tuple[Matrix, Matrix]:
    """AUC and number of pairs of a case and a control, two (h, draws)."""
    distinct, position = np.unique(months, return_inverse=True)
    g = _censoring(
        position, event | other, times, distinct.size
    )  # (k + 1, draws), G before each time
    code = np.unique(risk, return_inverse=True)[1]
    value, pairs = np.full((2, at.size, times.shape[1]), np.nan)
    for row, t in enumerate(at):
        case, control = cases_and_controls(months, event, other, t, recipe)
        beyond = months > t
        last = int(np.searchsorted(distinct, t, side="right"))
        # only patients who are not in the draw have so small a G
        weight = times / np.maximum(g[np.where(beyond, last, position)], LEAST_G)  # (n, draws)
        of_case, of_control = weight * case[:, None], weight * control[:, None]
        below = _below_or_half(code, of_control)
        both = of_case.sum(axis=0) * of_control.sum(axis=0)
        known = (case @ times > 0) & (beyond @ times > 0)
        np.divide((of_case * below).sum(axis=0), both, out=value[row], where=known)
        pairs[row] = (case @ times) * (control @ times)
    return value, pairs


def _censoring(position: IntVector, either: BoolVector, times: Matrix, k: int) -> Matrix:
    """G just before each of k distinct times, and after the last, of each draw, (k + 1, draws)."""
    total, ended = (_summed(position, w, k) for w in (times, times * either[:, None]))
    able = np.cumsum(total[::-1], axis=0)[::-1] - ended  # events leave the risk set first
    hazard = np.divide(total - ended, able, out=np.zeros_like(able), where=able > 0)
    return np.concatenate([np.ones((1, times.shape[1])), np.cumprod(1.0 - hazard, axis=0)])


def _below_or_half(code: IntVector, weight: Matrix) -> Matrix:
    """Weight of all patients with a lower marker, and half of that with the same, (n, draws)."""
    own = _summed(code, weight, int(code.max()) + 1)
    found: Matrix = (np.cumsum(own, axis=0) - own / 2.0)[code]
    return found


def _summed(code: IntVector, weight: Matrix, k: int) -> Matrix:
    """Sum the rows of each code 0 to k - 1, none of them empty, (k, draws)."""
    order = np.argsort(code, kind="stable")
    found: Matrix = np.add.reduceat(
        weight[order], np.searchsorted(code[order], np.arange(k)), axis=0
    )
    return found
