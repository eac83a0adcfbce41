"""Tissue classes of tiles: multinomial ridge logistic regression on what a frozen encoder sees.

With z the standardized features of a tile (d of them) and K classes::

    p_k = exp(w_k'z + b_k) / sum_j exp(w_j'z + b_j)

minimizes the mean cross-entropy, every class weighing the same whatever the number of its tiles, plus
``strength * |W|^2 / 2``; intercepts are free. The strength is chosen by folds that keep a patient's tiles
together: tiles of one slide are alike, and folds of tiles would only say how well a slide is remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from jecur.arrays import FeatureArray, IntVector, Matrix, Vector
from jecur.errors import TrainingError

__all__ = [
    "STRENGTHS",
    "OutOfPatient",
    "TissueClassifier",
    "class_fractions",
    "classify_other_patients",
    "fit_tissue_classifier",
    "stroma_tumor_ratio",
]

STRENGTHS = (1.0, 0.1, 0.01, 0.001)
"""Of the penalty, tried in this order; set before anything was classified."""
_N_FOLDS = 5
_MAX_ITERATIONS = 500
_ROUNDING = 1e-6
"""Of their size, by which numbers of an encoder (float32) differ that are one."""
_AT_REST = 1e-3
"""Largest slope of the mean cross-entropy at the end."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueClassifier:
    """A fitted classifier of K classes on d features."""

    mean: Vector
    """(d,) of the tiles it was fitted to."""
    spread: Vector
    """(d,) standard deviations; 1 where a feature does not vary, or by rounding alone."""
    weights: Matrix
    """(K, d)"""
    intercepts: Vector
    """(K,)"""

    @property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Its numbers by name, as `jecur.model.tissue_file` keeps them."""
        names = ("mean", "spread", "weights", "intercepts")
        return {name: getattr(self, name) for name in names}

    def probabilities(self, features: FeatureArray | Matrix) -> Matrix:
        """Probability of each class of each tile, (n, K); rows sum to 1.

        Parameters
        ----------
        features
            (n, d)
        """
        z = (np.asarray(features, dtype=np.float64) - self.mean) / self.spread
        return np.asarray(softmax(z @ self.weights.T + self.intercepts, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class OutOfPatient:
    """How tiles are classified by models that have not seen their patient."""

    strength: float
    """Chosen by the least cross-entropy of all folds."""
    predicted: IntVector
    """(n,) class of each tile by the model of the other folds, at the strength that these choose."""
    n_folds: int


def fit_tissue_classifier(
    features: FeatureArray | Matrix, label: IntVector, n_classes: int, *, strength: float
) -> TissueClassifier:
    """Fit at one strength.

    Parameters
    ----------
    features
        (n, d), finite.
    label
        (n,) class of each tile, from 0 to ``n_classes - 1``.
    n_classes
        K; a class without a tile gets no probability to speak of.
    strength
        Of the penalty, above 0.

    Raises
    ------
    TrainingError
        If features are not finite or the fit does not come to rest.
    """
    x = np.asarray(features, dtype=np.float64)
    if not np.isfinite(x).all():
        raise TrainingError(
            "expected finite features of tiles, found others; describe the tiles again"
        )
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    varies = np.ptp(x, axis=0) > _ROUNDING * np.abs(x).max(axis=0)
    spread = np.where(varies, deviation, 1.0)
    z, axes = _rotated((x - mean) / spread)
    inner, intercepts = _minimized(z, label, n_classes, strength)
    return TissueClassifier(mean, spread, inner @ axes, intercepts)


def classify_other_patients(
    features: FeatureArray | Matrix,
    label: IntVector,
    patient: IntVector,
    n_classes: int,
    *,
    rng: np.random.Generator,
) -> OutOfPatient:
    """Choose the strength, and classify every tile by a model that has not seen its patient.

    Each fold is classified at the strength that the *other* folds choose.

    Parameters
    ----------
    features, label, n_classes
        As `fit_tissue_classifier`.
    patient
        (n,) number of each tile's patient; at least two of them.
    rng
        Divides patients among at most five folds.
    """
    patients = np.unique(patient)
    n_folds = min(_N_FOLDS, len(patients))
    fold_of = dict(
        zip(rng.permutation(patients).tolist(), np.arange(len(patients)) % n_folds, strict=True)
    )
    fold = np.array([fold_of[p] for p in patient.tolist()])
    weight = _even_weights(label, n_classes)
    logs: NDArray[np.float64] = np.empty((len(STRENGTHS), len(label), n_classes))
    for k in range(n_folds):
        held = fold == k
        for i, strength in enumerate(STRENGTHS):
            model = fit_tissue_classifier(
                features[~held], label[~held], n_classes, strength=strength
            )
            with np.errstate(divide="ignore"):
                logs[i, held] = np.log(model.probabilities(features[held]))
    own = np.take_along_axis(
        logs, np.broadcast_to(label[None, :, None], (len(STRENGTHS), len(label), 1)), 2
    )
    loss = -np.maximum(own[..., 0], -50.0) * weight  # (strengths, n)
    of_fold = np.stack([loss[:, fold == k].sum(axis=1) for k in range(n_folds)], axis=1)
    total = of_fold.sum(axis=1)
    predicted = np.empty(len(label), dtype=np.int64)
    for k in range(n_folds):
        others = int(np.argmin(total - of_fold[:, k]))
        predicted[fold == k] = logs[others, fold == k].argmax(axis=1)
    return OutOfPatient(STRENGTHS[int(np.argmin(total))], predicted, n_folds)


def class_fractions(probabilities: Matrix) -> Vector:
    """Fraction of each class in a patient's tiles, (K,): the mean of its probabilities, as Kather 2019 [1]_.

    Parameters
    ----------
    probabilities
        (n, K) of all tiles of the patient, n >= 1.

    References
    ----------
    .. [1] J. N. Kather et al. Predicting survival from colorectal cancer histology slides using deep
       learning: a retrospective multicenter study. PLoS Med. 16(1), e1002730, 2019.
    """
    return np.asarray(probabilities.mean(axis=0))


def stroma_tumor_ratio(fractions: Vector, stroma: Sequence[int], tumor: Sequence[int]) -> float:
    """Share of stroma in stroma and tumor together, in [0, 1]; NaN where there is neither.

    As the literature since Mesker 2007 gives it (in percent there: "stroma-high" above 50 %). The quotient
    of the two is ``r / (1 - r)``.

    Parameters
    ----------
    fractions
        (K,) of a patient.
    stroma, tumor
        Numbers of the classes that are stroma, and tumor.
    """
    of_stroma, of_tumor = (float(fractions[list(which)].sum()) for which in (stroma, tumor))
    both = of_stroma + of_tumor
    return of_stroma / both if both > 0 else float("nan")


def _rotated(z: Matrix) -> tuple[Matrix, Matrix]:
    """Fewer coordinates for fewer tiles than features: (n, r) and the (r, d) that turns weights back.

    The best weights lie in the span of the tiles, and turning changes neither fit nor penalty.
    """
    if len(z) >= z.shape[1]:
        return z, np.eye(z.shape[1])
    left, size, axes = np.linalg.svd(z, full_matrices=False)
    return left * size, axes


def _even_weights(label: IntVector, n_classes: int) -> Vector:
    """(n,) weights of tiles: they sum to 1, and to as much in each class that has tiles."""
    counts = np.bincount(label, minlength=n_classes)
    return np.asarray(1.0 / counts[label] / (counts > 0).sum())


def _minimized(
    z: Matrix, label: IntVector, n_classes: int, strength: float
) -> tuple[Matrix, Vector]:
    n, d = z.shape
    weight = _even_weights(label, n_classes)
    truth = np.zeros((n, n_classes))
    truth[np.arange(n), label] = 1.0

    def loss(flat: Vector) -> tuple[float, Vector]:
        table = flat.reshape(n_classes, d + 1)
        inner = table[:, :d]
        logs = log_softmax(z @ inner.T + table[:, d], axis=1)
        value = -float(weight @ logs[np.arange(n), label])
        value += strength * float((inner**2).sum()) / 2
        apart = weight[:, None] * (np.exp(logs) - truth)  # (n, K)
        slope = np.hstack([apart.T @ z + strength * inner, apart.sum(axis=0)[:, None]])
        return value, slope.ravel()

    found = minimize(
        loss,
        np.zeros(n_classes * (d + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-10, "gtol": 1e-6},
    )
    if not float(np.abs(found.jac).max()) <= _AT_REST:  # not a number is not at rest
        raise TrainingError(
            f"expected the classifier of tissue to come to rest, found it moving after {found.nit:,} "
            "steps; look at the features of the tiles"
        )
    table = found.x.reshape(n_classes, d + 1)
    return table[:, :d], table[:, d]
