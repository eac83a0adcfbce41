"""The losses: the paper's (Eq. 3 and 4) through log-sigmoids, and Cox's partial likelihood.

Eq. 3 bends the risk r = sigmoid(S) so that the cut-off t lands on 1/2. Read for the class
"recurrence" (the paper's p is the other class's)::

    q = r / (2 t)                          r <= t
    q = 1/2 + (r - t) / (2 (1 - t))        r > t

so 1 - q = (1 - r) / (2 (1 - t)) for r > t: on each side one of log q, log(1 - q) is a
log-sigmoid plus a constant, and the other is taken of a number that is at least 1/2.

Plain cross-entropy is the same with t = 1/2.

References
----------
.. [1] Z. Liu et al. 2021. Equations 3 and 4.
.. [2] B. Efron. The efficiency of Cox's likelihood function for censored data. JASA 72, 1977.
"""

import itertools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jecur.arrays import BoolVector, Vector
from jecur.errors import TrainingError
from jecur.survival.follow_up import tied_times

__all__ = ["cox_loss", "cutoff_cross_entropy"]


def cutoff_cross_entropy(score: Tensor, recurred: bool, *, cutoff: float) -> Tensor:
    """Cross-entropy of Eq. 4 for bags of one outcome, >= 0, of the shape of the scores.

    Parameters
    ----------
    score
        S of each bag, before the sigmoid.
    recurred
        Poor outcome (True) or good (False).
    cutoff
        t in (0, 1): the risk at which the loss is indifferent.
    """
    risk = torch.sigmoid(score)
    below = risk <= cutoff
    if recurred:
        log_q_below = functional.logsigmoid(score) - math.log(2.0 * cutoff)
        log_q_above = torch.log(0.5 + (risk - cutoff).clamp(min=0.0) / (2.0 * (1.0 - cutoff)))
        return -torch.where(below, log_q_below, log_q_above)
    log_rest_below = torch.log(1.0 - risk.clamp(max=cutoff) / (2.0 * cutoff))
    log_rest_above = functional.logsigmoid(-score) - math.log(2.0 * (1.0 - cutoff))
    return -torch.where(below, log_rest_below, log_rest_above)


def cox_loss(scores: Tensor, months: Vector, event: BoolVector) -> Tensor:
    """Negative log partial likelihood with Efron's ties, over the number of events; a scalar.

    For the j-th of d events at one time (j = 0 .. d - 1) with risk set R and events D::

        log(sum_R exp(S) - j / d sum_D exp(S)) - S_j

    Parameters
    ----------
    scores
        (n,) S of each patient; only differences count.
    months, event
        (n,) follow-up, and whether the event was seen.

    Raises
    ------
    TrainingError
        If no event was seen.
    """
    if not event.any():
        raise TrainingError(
            "expected patients with an event, found none; a Cox model is not estimable from these",
            code="labels-all-alike",
        )
    months = tied_times(months)
    order = np.lexsort((~event, -months))  # latest first; within a time, events first
    eta = scores[torch.from_numpy(order).to(scores.device)]
    time, seen = months[order], event[order]
    # log of the sum over everybody at least as late: it follows the risk set and cannot vanish
    at_risk = torch.logcumsumexp(eta, 0)
    terms = []
    edges = [0, *(np.flatnonzero(np.diff(time)) + 1).tolist(), len(time)]
    for start, stop in itertools.pairwise(edges):
        d = int(seen[start:stop].sum())
        if d:
            dying, share = eta[start : start + d], torch.arange(d).to(eta) / d
            gone = torch.exp(torch.logsumexp(dying, 0) - at_risk[stop - 1])  # in (0, 1]
            own = (at_risk[stop - 1] - dying).sum()  # differences: of like numbers, not large ones
            terms.append(own + torch.log1p(-share * gone).sum())
    return torch.stack(terms).sum() / int(event.sum())
