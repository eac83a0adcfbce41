"""From the tile scores of a bag to one risk, in plain NumPy: what scoring uses.

A bag has tile scores s_1 .. s_n (unbounded logits, higher = earlier recurrence); the risk is
sigmoid(S). How S comes from them goes by name (`Pooling.kind`):

================  ==================================================================================
generalized-mean  m = mean(sign(s) abs(s)^p), S = sign(m) abs(m)^(1/p): Eq. 2 [1]_ with sign
mean, max         as they say
log-sum-exp       log(mean(exp(r s))) / r
noisy-and         q = mean(sigmoid(s)); P rises from 0 to 1 around a share b [2]_; S = logit(P)
top-bottom        the k highest and k lowest scores, in order, through a small network [3]_
attention         sum a_i s_i, a = softmax of the gates that the encoder gives beside s [4]_
tile-labels       logit(mean(sigmoid(s))): tiles trained one by one on the patient's label [5]_
================  ==================================================================================

The slope of the generalized mean's root is unbounded at m = 0, so S is computed as
``m (m^2 + e^2)^((1 - p) / (2 p))``, which is the same number away from 0.

References
----------
.. [1] Z. Liu et al. Deep learning for prediction of hepatocellular carcinoma recurrence after
   resection or liver transplantation. 2021. Equation 2 and Figure 1.
.. [2] O. Kraus et al. Classifying and segmenting microscopy images with deep multiple instance
   learning. Bioinformatics 32, 2016.
.. [3] C. Saillard et al. Predicting survival after hepatocellular carcinoma resection using deep
   learning on histological slides. Hepatology 72, 2020.
.. [4] M. Ilse et al. Attention-based deep multiple instance learning. ICML 2018.
.. [5] N. Coudray et al. Classification and mutation prediction from non-small cell lung cancer
   histopathology images using deep learning. Nat. Med. 24, 2018.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from jecur.arrays import Logits, Vector
from jecur.errors import BagError, BundleError
from jecur.mil import pooling_forms as forms
from jecur.settings import PoolingName, TrainingSettings

__all__ = [
    "PARAMETERS",
    "SECOND_LAYER",
    "Pooling",
    "Reduction",
    "pool_scores",
    "pooling_from_card",
    "pooling_of_settings",
    "risk_from_score",
]

Reduction = Literal["mean", "sum"]

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "noisy-and": ("threshold",),
    "top-bottom": ("hidden.weight", "hidden.bias", "out.weight", "out.bias"),
}
"""Trained parameters of a pooling, if it has any."""

SECOND_LAYER = ("second.weight", "second.bias")
"""Of top-bottom, where it has a second hidden layer."""

_NUMBERS: Mapping[str, Mapping[str, type]] = {
    "generalized-mean": {"exponent": float, "reduction": str},
    "log-sum-exp": {"sharpness": float},
    "noisy-and": {"steepness": float},
    "top-bottom": {"ends": int},
}
"""Numbers that a pooling uses."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "exponent": (0.01, 100.0),
    "sharpness": (1e-6, 1e4),
    "steepness": (1e-6, 1e4),
    "ends": (1, 100_000),
}
"""Where a pooling still is one in double precision."""


_SAME_RISK = 0.005
"""Two risks that differ by less are one to the eye."""
_FARTHEST = 20.0
"""Tile scores, either way, among which a crossing is looked for."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling and everything it needs; numbers it does not use are ignored.

    Parameters
    ----------
    kind
        Its name.
    exponent, reduction
        Of the generalized mean; "sum" is Eq. 2 as printed and grows with the bag by n^(1/p).
    sharpness
        r of log-sum-exp.
    steepness
        a of noisy-and.
    ends
        k of top-bottom.
    parameters
        Trained, see `PARAMETERS`: "threshold" (1,), b before its sigmoid; "hidden.weight" (h, 2 k),
        "hidden.bias" (h,), "out.weight" (1, h), "out.bias" (1,); with a second hidden layer of g units
        "second.weight" (g, h), "second.bias" (g,), and "out.weight" (1, g).

    Raises
    ------
    BundleError
        If a number lies outside its range, or a parameter is missing, not finite or of the wrong
        shape.
    """

    kind: PoolingName = "generalized-mean"
    exponent: float = 3.0
    reduction: Reduction = "mean"
    sharpness: float = 1.0
    steepness: float = 10.0
    ends: int = 25
    parameters: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_numbers(self)
        _refuse_parameters(self)

    def to_card(self) -> dict[str, Any]:
        """Name and the numbers that this pooling uses; trained parameters are kept apart."""
        used = _NUMBERS.get(self.kind, {})
        return {"kind": self.kind, **{name: getattr(self, name) for name in used}}

    @property
    def n_outputs(self) -> int:
        """Numbers the encoder gives a tile: its score, and its gate for attention."""
        return 2 if self.kind == "attention" else 1

    def pool(self, outputs: Logits) -> float:
        """Pool one bag into its score S.

        Parameters
        ----------
        outputs
            (n,) tile scores, n >= 1, any order; (n, 2) scores and gates for attention.

        Returns
        -------
        float
            S, unbounded; higher = earlier recurrence.

        Raises
        ------
        BagError
            If the bag is empty or a score is not finite.
        """
        return self._pooled(outputs)[0]

    def slopes(self, outputs: Logits) -> Vector:
        """How S moves with each tile's score, dS/ds, (n,); gates held fixed."""
        return self._pooled(outputs)[1]

    def reached_at(self, cutoff: float) -> float | None:
        """Score from which on a tile alone, a bag of one, has a risk beyond a cut-off.

        Noisy-and, the network of top-bottom and the smoothed root of large exponents bend the score of such
        a bag: the crossing nearest to 0 is found.

        Parameters
        ----------
        cutoff
            In (0, 1).

        Returns
        -------
        float or None
            None where it is the logit of the cut-off, as the bag's score is its tile's. Minus infinity if
            every tile is beyond the cut-off, infinity if none is.
        """
        wanted = math.log(cutoff) - math.log1p(-cutoff)

        def beyond(score: float) -> float:
            bag = np.zeros((1, self.n_outputs), dtype=np.float32)
            bag[0, 0] = score
            return self.pool(bag) - wanted

        if abs(risk_from_score(beyond(wanted) + wanted) - cutoff) < _SAME_RISK:
            return None
        grid = np.linspace(-_FARTHEST, _FARTHEST, 40 * int(_FARTHEST) + 1)
        above = np.array([beyond(score) for score in grid]) > 0
        rises = np.flatnonzero(above[1:] & ~above[:-1])
        if not len(rises):
            return -math.inf if above[len(grid) // 2] else math.inf
        k = int(rises[np.argmin(np.abs(grid[rises]))])
        return float(brentq(beyond, grid[k], grid[k + 1]))

    def contributions(self, outputs: Logits) -> Vector:
        """Share of each tile in the bag's score, (n,), signed; absolute values sum to 1.

        ``s_i dS/ds_i``, scaled. It adds up to S itself for the generalized mean, the mean, the
        maximum and attention (Euler's theorem); for the others it is S to first order. A tile of
        score 0, and one that S does not look at, contribute nothing.
        """
        pooled = _checked(outputs)
        shares = pooled[:, 0] * self.slopes(outputs)
        total = np.abs(shares).sum()
        return np.asarray(shares / total if total > 0 else np.zeros_like(shares))

    def _pooled(self, outputs: Logits) -> tuple[float, Vector]:  # noqa: PLR0911 -- one a name
        values = _checked(outputs)
        s = values[:, 0]
        match self.kind:
            case "generalized-mean":
                return forms.generalized_mean(s, self.exponent, summed=self.reduction == "sum")
            case "mean":
                return float(s.mean()), np.full(s.size, 1.0 / s.size)
            case "max":
                return float(s.max()), (s == s.max()) / np.count_nonzero(s == s.max())
            case "log-sum-exp":
                return forms.log_sum_exp(s, self.sharpness)
            case "noisy-and":
                raw = float(np.ravel(self.parameters["threshold"])[0])
                return forms.noisy_and(s, self.steepness, raw)
            case "top-bottom":
                return forms.top_bottom(s, self.ends, self.parameters)
            case "attention":
                return forms.attention(s, values[:, -1])
            case "tile-labels":
                return forms.mean_probability(s)


def pooling_of_settings(
    settings: TrainingSettings, parameters: Mapping[str, NDArray[np.float32]] | None = None
) -> Pooling:
    """Return the pooling that a recipe names, with its trained parameters."""
    return Pooling(
        kind=settings.pooling.method,
        exponent=settings.pooling.exponent,
        reduction=settings.pooling.reduction,
        sharpness=settings.pooling.sharpness,
        steepness=settings.pooling.steepness,
        ends=settings.pooling.ends,
        parameters=parameters or {},
    )


def pooling_from_card(
    card: Mapping[str, Any], parameters: Mapping[str, NDArray[np.float32]]
) -> Pooling:
    """Return the pooling described by a model file's card, see `Pooling.to_card`."""
    kinds = get_args(PoolingName)
    if card["kind"] not in kinds:
        raise ValueError(f"pooling {card['kind']!r}, not one of {', '.join(kinds)}")
    wanted = set(_NUMBERS.get(card["kind"], ()))
    given = {name: value for name, value in card.items() if name != "kind"}
    if set(given) != wanted:
        raise ValueError(
            f"pooling {card['kind']} with {', '.join(sorted(given)) or 'no numbers'}, "
            f"not with {', '.join(sorted(wanted)) or 'none'}"
        )
    return Pooling(kind=card["kind"], parameters=parameters, **given)


def pool_scores(logits: Logits, *, exponent: float = 3.0, reduction: Reduction = "mean") -> float:
    """Pool (n,) tile scores by the signed generalized mean; errors are those of `Pooling.pool`."""
    return Pooling(exponent=exponent, reduction=reduction).pool(logits)


def risk_from_score(score: float) -> float:
    """Sigmoid of a bag's score: risk in [0, 1], higher = earlier recurrence.

    Raises
    ------
    BagError
        If the score is not finite: the pooling ran over, or the model file is damaged.
    """
    if not math.isfinite(score):
        raise BagError(
            f"expected a finite score of the patient's tiles, found {score}; the model file is "
            "damaged, or its "
            "pooling does not fit its tile scores: get the model file again"
        )
    return float(np.exp(-np.logaddexp(0.0, -score)))


def _refuse_numbers(pooling: Pooling) -> None:
    """Refuse a number outside its range; nothing that is not a number passes a comparison here."""
    wrong = [
        f"{name} {value!r}"
        for name, (low, high) in _RANGES.items()
        for value in (getattr(pooling, name),)
        if isinstance(value, bool)
        or not isinstance(value, int if name == "ends" else int | float)
        or not low <= value <= high
    ]
    if pooling.kind not in get_args(PoolingName):
        wrong.append(f"kind {pooling.kind!r}")
    if pooling.reduction not in get_args(Reduction):
        wrong.append(f"reduction {pooling.reduction!r}")
    if wrong:
        ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in _RANGES.items())
        raise BundleError(
            f"expected a known pooling with {ranges}, found {', '.join(wrong)}; "
            "correct the settings, or get the model file again"
        )


def _refuse_parameters(pooling: Pooling) -> None:
    """Refuse trained parameters that are absent, of the wrong shape, or not finite."""
    found = {name: np.asarray(value) for name, value in pooling.parameters.items()}
    wide = found.get("hidden.weight", np.empty((0, 0)))
    hidden = wide.shape[0] if wide.ndim == 2 else 0
    second = found.get("second.bias", np.empty(0)).size
    two = pooling.kind == "top-bottom" and not set(SECOND_LAYER).isdisjoint(found)
    shapes: Mapping[str, tuple[int, ...]] = {
        "threshold": (1,),
        "hidden.weight": (hidden, 2 * pooling.ends),
        "hidden.bias": (hidden,),
        "second.weight": (second, hidden),
        "second.bias": (second,),
        "out.weight": (1, second if two else hidden),
        "out.bias": (1,),
    }
    names = (*PARAMETERS.get(pooling.kind, ()), *(SECOND_LAYER if two else ()))
    valid = set(found) == set(names) and all(
        found[name].shape == shapes[name]
        and found[name].size > 0
        and found[name].dtype.kind == "f"
        and np.isfinite(found[name]).all()
        for name in names
    )
    if not valid:
        stated = ", ".join(f"{name} {value.shape}" for name, value in sorted(found.items()))
        raise BundleError(
            f"expected the trained parameters of the pooling {pooling.kind}, finite and of its shapes, "
            f"found {stated or 'none'} or numbers that are not finite; train again"
        )


def _checked(outputs: Logits) -> NDArray[np.float64]:
    if outputs.size == 0:
        raise BagError(
            "expected at least one tile, found none; a patient without tissue has no score"
        )
    # Sums of the same numbers in another memory order differ in their last bit: outputs read back
    # from a table must give the very risk that they gave when they came from the network.
    values = np.asfortranarray(outputs.reshape(len(outputs), -1), dtype=np.float64)
    if not np.isfinite(values).all():
        raise BagError(
            "expected finite tile scores, found NaN or infinity; the model file is damaged"
        )
    return values
