"""How far a slide lies from those a model was trained on; needs neither torch nor the slides.

Distance: Mahalanobis' over the root of the number of measures, with the covariance of the training
slides shrunk towards its diagonal (Schafer and Strimmer, Stat Appl Genet Mol Biol 4:32, 2005). The
limit comes from the training slides alone: each patient is compared with all others, and a slide is
far if its log distance exceeds the upper 99 % prediction limit (Student's t) of theirs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from jecur.mil.looks import EVERYDAY
from jecur.model.looks import TrainingLooks

__all__ = ["FEWEST_PATIENTS", "Likeness", "SlideLooks", "fit_looks", "likeness"]

FEWEST_PATIENTS = 8
"""Fewer patients cannot show what is usual."""
_QUANTILE = 0.99
_MOST_CORRELATED = 64
"""With more measures (features of a large network) each is taken for itself: variances alone."""
_FEATURE_SHARE = 0.1
"""Everyday standard deviation of a feature, as a share of its own over the training slides."""


@dataclass(frozen=True, slots=True)
class SlideLooks:
    """One slide: its patient, what was measured, and the scanner."""

    patient: str
    measures: Mapping[str, float]
    vendor: str
    mpp: float | None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far one slide is from the training slides.

    Parameters
    ----------
    distance
        1 is the typical training slide's; None if it cannot be said.
    limit
        The model's.
    unlike
        Whether the distance exceeds the limit, or is not a number.
    most
        Measures that differ most, in standard deviations, largest first.
    """

    distance: float | None
    limit: float | None
    unlike: bool
    most: tuple[tuple[str, float], ...] = ()


def fit_looks(slides: Sequence[SlideLooks]) -> TrainingLooks:
    """Describe training slides.

    Parameters
    ----------
    slides
        At least one. Measures that not every slide has are left out.
    """
    known = [s.mpp for s in slides if s.mpp is not None]
    patients = sorted({s.patient for s in slides})
    about = TrainingLooks(
        n_slides=len(slides),
        n_patients=len(patients),
        vendors=dict(sorted(Counter(s.vendor or "unknown" for s in slides).items())),
        mpp=(min(known), max(known)) if known else None,
    )
    names = tuple(n for n in slides[0].measures if all(n in s.measures for s in slides))
    if len(patients) < FEWEST_PATIENTS or not names:
        return about
    table = np.array([[s.measures[n] for n in names] for s in slides], dtype=np.float64)
    owner = np.array([patients.index(s.patient) for s in slides])
    everyday = _everyday(names, table)
    mean, covariance, shrinkage = _moments(table, everyday)
    left_out = np.concatenate(
        [
            _distances(table[owner == k], *_moments(table[owner != k], everyday)[:2])
            for k in range(len(patients))
        ]
    )
    return msgspec.structs.replace(
        about,
        names=names,
        mean=tuple(mean.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
        shrinkage=shrinkage,
        limit=_limit(left_out, len(patients)),
        distances=tuple(sorted(left_out.tolist())),
    )


def likeness(training: TrainingLooks, measures: Mapping[str, float]) -> Likeness:
    """Compare a slide with the training slides.

    Parameters
    ----------
    training
        Of the model card.
    measures
        Of the slide; those it lacks (its stain fit was refused) are left out on both sides.
    """
    have = [k for k, name in enumerate(training.names) if name in measures]
    if training.limit is None or not have:
        return Likeness(None, training.limit, unlike=False)
    values = np.array([measures[training.names[k]] for k in have])
    mean = np.array(training.mean)[have]
    whole = np.array(training.covariance)
    covariance = whole[:, have] if len(whole) == 1 else whole[np.ix_(have, have)]
    distance = float(_distances(values[None], mean, covariance)[0])
    variance = covariance[0] if len(whole) == 1 else np.diag(covariance)
    apart = (values - mean) / np.sqrt(variance)
    order = np.argsort(-np.abs(apart))[:3]
    most = tuple((training.names[have[k]], float(apart[k])) for k in order)
    # Not a number passes no comparison: it is unlike everything.
    return Likeness(distance, training.limit, not distance <= training.limit, most)


def _everyday(names: Sequence[str], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Everyday variance of each measure, (p,).

    A feature that never varied (a unit that no training tile woke) has that of the middling one: its own
    would put any slide on which it does vary a thousand deviations away.
    """
    spread = table.std(axis=0)
    varies = np.ptp(table, axis=0) > 0
    if varies.any():
        spread[~varies] = np.median(spread[varies])
    own = _FEATURE_SHARE * spread + 1e-6
    return np.array([EVERYDAY.get(name, own[k]) for k, name in enumerate(names)]) ** 2


def _moments(
    table: NDArray[np.float64], everyday: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (p,), covariance (p, p) or (1, p), and how much it was shrunk."""
    mean = table.mean(axis=0)
    variance = table.var(axis=0, ddof=1)
    if table.shape[1] > _MOST_CORRELATED:
        return mean, (variance + everyday)[None], 1.0
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    z = (table - mean) / scale
    shrinkage = _shrinkage(z)
    correlation = z.T @ z / (len(z) - 1) * (1.0 - shrinkage)
    np.fill_diagonal(correlation, variance > 0)
    return mean, correlation * np.outer(scale, scale) + np.diag(everyday), shrinkage


def _shrinkage(z: NDArray[np.float64]) -> float:
    """Share of the diagonal that makes the expected error of a correlation matrix least, [0, 1]."""
    n = len(z)
    products = z[:, :, None] * z[:, None, :]
    correlation = products.sum(axis=0) / (n - 1)
    noise = products.var(axis=0, ddof=1) * n / (n - 1) ** 2
    off = ~np.eye(z.shape[1], dtype=bool)
    signal = float((correlation[off] ** 2).sum())
    return float(np.clip(noise[off].sum() / signal, 0.0, 1.0)) if signal > 0 else 1.0


def _distances(
    values: NDArray[np.float64], mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    apart = values - mean
    if len(covariance) == 1 and covariance.shape[1] != 1:
        squared = (apart**2 / covariance[0]).sum(axis=1)
    else:
        try:
            squared = (apart * np.linalg.solve(covariance, apart.T).T).sum(axis=1)
        except np.linalg.LinAlgError:  # no covariance that we wrote: unlike everything
            squared = np.full(len(values), np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(squared / values.shape[1]))


def _limit(distances: NDArray[np.float64], n: int) -> float:
    logs = np.log(np.maximum(distances, 1e-9))
    quantile = float(stdtrit(n - 1, _QUANTILE))
    return float(np.exp(logs.mean() + quantile * logs.std(ddof=1) * np.sqrt(1.0 + 1.0 / n)))
