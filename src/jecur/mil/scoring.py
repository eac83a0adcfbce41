"""From a bag to a risk, with the networks of a model file, through ONNX Runtime."""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from jecur.arrays import BagArray, Logits
from jecur.bundle import Bundle
from jecur.errors import BundleError
from jecur.mil.bag import Bag
from jecur.mil.pooling import Reduction, pool_scores, risk_from_score

__all__ = ["RiskScore", "TileScorer"]


@dataclass(frozen=True, slots=True)
class RiskScore:
    """One patient's risk.

    Parameters
    ----------
    risk
        In (0, 1); higher = earlier recurrence.
    high_risk
        Whether the risk is above the model's locked cut-off.
    tile_scores
        (n,) logits of the bag's tiles, in the bag's order.
    """

    risk: float
    high_risk: bool
    tile_scores: Logits

    @property
    def group(self) -> str:
        """The word that lands in ``scores.csv``."""
        return "high" if self.high_risk else "low"


class TileScorer:
    """The encoder of a model file, ready to score.

    Parameters
    ----------
    bundle
        A verified model.
    threads
        Threads of ONNX Runtime; 0 lets it choose.
    batch_size
        Tiles a call; bounds memory, does not change scores.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 0, batch_size: int = 32) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                bundle.encoder_onnx, options, providers=_providers()
            )
            pooling = bundle.card["pooling"]
            self._exponent = float(pooling["exponent"])
            self._reduction: Reduction = pooling["reduction"]
            self._channels = int(bundle.card["channels"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise BundleError(f"expected a model file of this version, found: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._cutoff = bundle.cutoff
        self._batch_size = batch_size

    def score_tiles(self, tiles: BagArray) -> Logits:
        """Logits, (n,) float32, of (n, h, w, 4) uint8 tiles; an RGB model ignores the fourth."""
        logits = self._session.run(None, {self._input: tiles[..., : self._channels]})[0]
        return np.asarray(logits, dtype=np.float32).reshape(len(tiles))

    def score_bag(self, bag: Bag) -> RiskScore:
        """Score every tile of a bag and pool them into the patient's risk."""
        scores = np.concatenate(
            [self.score_tiles(tiles) for tiles in bag.batches(self._batch_size)]
        )
        return self.pool(scores)

    def pool(self, tile_scores: Logits) -> RiskScore:
        """Pool the scores of all tiles of a bag, (n,), into the patient's risk."""
        pooled = pool_scores(tile_scores, exponent=self._exponent, reduction=self._reduction)
        risk = risk_from_score(pooled)
        return RiskScore(risk=risk, high_risk=risk > self._cutoff, tile_scores=tile_scores)


def _providers() -> list[str]:
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [name for name in wanted if name in ort.get_available_providers()]
