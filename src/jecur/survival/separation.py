"""Whether a partial likelihood has a maximum at all.

It has none exactly if some combination of the covariates is, at every event, at least as high in
the patient with the event as in everybody at risk, and higher than somebody once: the likelihood
then rises for ever in that direction. That is a question about the data alone, a linear program,
and it is answered as one; how fast an iteration moves does not enter.

Only the pairs that matter are put into the program: solve, look up at every event who leads among
those at risk under that solution, add those pairs, until nobody new leads.

References
----------
.. [1] M. C. Bryson, M. E. Johnson. The incidence of monotone likelihood in the Cox model.
   Technometrics 23(4), 381-383, 1981.
.. [2] K. Konis. Linear programming algorithms for detecting separated data in binary logistic
   regression models. DPhil thesis, University of Oxford, 2007.
"""

from typing import Protocol

import numpy as np
from scipy.optimize import linprog

from jecur.arrays import IntVector, Matrix, Vector

__all__ = ["RiskSetLeaders", "separating_direction"]

MAX_ROUNDS = 100
CLOSE = 1e-9
"""A pair counts as not reversed if its difference is at least minus this share of its size."""


class RiskSetLeaders(Protocol):
    """What has to be known of a likelihood."""

    @property
    def x(self) -> Matrix:
        """(n, p) covariates."""

    @property
    def events(self) -> IntVector:
        """(e,) row of each event."""

    def leaders(self, eta: Vector) -> IntVector:
        """(e,) row of a patient with the largest ``eta`` at risk at each event."""


def separating_direction(data: RiskSetLeaders) -> Vector | None:
    """Find a direction in which the likelihood rises for ever, (p,); None where there is none."""
    p = data.x.shape[1]
    if p == 1:
        return next((sign for sign in (np.ones(1), -np.ones(1)) if _leads(data, sign)), None)
    pairs = np.concatenate([_pairs(data, sign * axis) for axis in np.eye(p) for sign in (1, -1)])
    for _ in range(MAX_ROUNDS):
        pairs = np.unique(pairs, axis=0)
        found = linprog(
            -pairs.sum(axis=0),
            A_ub=-pairs,
            b_ub=np.zeros(len(pairs)),
            bounds=[(-1.0, 1.0)] * p,
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if found.x is None or -found.fun <= 1e-7:
            return None
        new = _pairs(data, found.x)
        if new.size == 0 or float((new @ found.x).min()) >= -CLOSE:
            return np.asarray(found.x, dtype=np.float64)
        pairs = np.concatenate([pairs, new])
    return None


def _leads(data: RiskSetLeaders, direction: Vector) -> bool:
    """Whether, in one covariate, whoever has the event always leads."""
    eta = data.x @ direction
    return bool(np.all(eta[data.events] >= eta[data.leaders(eta)]))


def _pairs(data: RiskSetLeaders, direction: Vector) -> Matrix:
    """Differences event minus leader, each of length 1, of events that do not lead, (m, p)."""
    eta = data.x @ direction
    behind = data.x[data.events] - data.x[data.leaders(eta)]
    size = np.linalg.norm(behind, axis=1)
    kept = size > 0
    return np.asarray(behind[kept] / size[kept, None])
