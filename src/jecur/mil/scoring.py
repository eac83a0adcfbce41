"""From a bag to a risk, with the networks of a model file, through ONNX Runtime."""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import safetensors.numpy
from safetensors import SafetensorError

from jecur.arrays import BagArray, FeatureArray, Logits, Vector
from jecur.errors import BagError, BundleError, GroupError, SystemRefusedError
from jecur.mil.bag import Bag
from jecur.mil.pooling import Pooling, pooling_from_card, risk_from_score
from jecur.model.file import Bundle
from jecur.printable import counted
from jecur.runs.device import Device, open_session
from jecur.survival.risk_groups import is_high_risk

__all__ = ["RiskScore", "TileScorer", "pool_outputs", "pooling_of_bundle"]


@dataclass(frozen=True, slots=True)
class RiskScore:
    """One patient's risk.

    Parameters
    ----------
    risk
        In (0, 1); higher = earlier recurrence.
    cutoff
        The model's locked cut-off.
    tile_scores
        (n,) logits of the bag's tiles, in the bag's order.
    contributions
        (n,) share of each tile in the risk, signed, absolute values sum to 1; see
        `jecur.mil.pooling.Pooling.contributions`.
    gates
        (n,) of attention, before its softmax; None for the other poolings.

    Raises
    ------
    GroupError
        If the risk or the cut-off is not finite or no probability.
    BagError
        If tile scores, contributions or gates are not finite or not one a tile.
    """

    risk: float
    cutoff: float
    tile_scores: Logits
    contributions: Vector
    gates: Logits | None = None

    def __post_init__(self) -> None:
        if not (0.0 <= self.risk <= 1.0 and 0.0 < self.cutoff < 1.0):
            raise GroupError(
                f"expected a risk and a cut-off between 0 and 1, found {self.risk} and "
                f"{self.cutoff}; no risk group can be assigned: get the model file again"
            )
        shape = self.tile_scores.shape
        for name, values in (
            ("tile scores", self.tile_scores),
            ("contributions", self.contributions),
            ("gates", self.tile_scores if self.gates is None else self.gates),
        ):
            if values.shape != shape or len(shape) != 1 or not np.isfinite(values).all():
                raise BagError(
                    f"expected finite {name}, one a tile {shape}, found {values.shape} or numbers "
                    "that are not finite; the model file is damaged: get it again"
                )

    @property
    def high_risk(self) -> bool:
        """Whether the risk is above the model's locked cut-off."""
        return is_high_risk(self.risk, self.cutoff)

    @property
    def group(self) -> str:
        """The word that lands in ``scores.csv``."""
        return "high" if self.high_risk else "low"


class TileScorer:
    """The encoder of a model file, ready to score.

    Parameters
    ----------
    bundle
        A model that `jecur.mil.passport.require_sound` let pass.
    threads
        Threads of ONNX Runtime a call; 0 lets it choose. Several threads may call at once.
    batch_size
        Tiles a call; bounds memory, does not change scores.
    device
        Where the encoder runs.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 0,
        batch_size: int = 32,
        device: Device = "cpu",
    ) -> None:
        self._session = open_graph(
            bundle.encoder_onnx, "encoder.onnx", threads=threads, device=device
        )
        self._channels = bundle.card.channels
        self._gated = pooling_of_bundle(bundle).n_outputs == 2
        self._input = self._session.get_inputs()[0].name
        self._width = self._session.get_inputs()[0].shape[-1]
        self._batch_size = batch_size

    def score_tiles(self, tiles: BagArray | FeatureArray) -> Logits:
        """Score tiles: (n,) float32 logits, or (n, 2) logits and gates for attention.

        Parameters
        ----------
        tiles
            (n, h, w, 4) uint8, of which an RGB model ignores the fourth; or (n, d) features.
        """
        seen = tiles[..., : self._channels] if self._channels else tiles
        try:
            outputs = np.asarray(self._session.run(None, {self._input: seen})[0])
        except Exception as error:
            raise BagError(
                f"expected the model to score {counted(len(seen), 'tile')}, found that ONNX Runtime cannot: "
                f"{error}; get the model file again",
                code="bad-graph",
            ) from error
        wanted = (len(seen), 2) if self._gated else (len(seen),)
        if outputs.dtype != np.float32 or outputs.shape != wanted:
            raise BagError(
                f"expected float32 {wanted} from the model, found {outputs.dtype} {outputs.shape}; "
                "the model file is damaged: get it again",
                code="bad-graph",
            )
        return outputs

    def outputs(self, bag: Bag) -> Logits:
        """Score every tile of a bag, (n,) or (n, 2), see `score_tiles`.

        Raises
        ------
        BagError
            If the bag holds pixels and the model was trained on features, or the other way round, or
            the features have the wrong length.
        """
        self._check(bag)
        return np.concatenate([self.score_tiles(tiles) for tiles in bag.batches(self._batch_size)])

    def _check(self, bag: Bag) -> None:
        wanted = "pixels" if self._channels else f"{self._width} features a tile"
        found = f"{bag.tile_shape[0]} features a tile" if bag.holds_features else "pixels"
        if wanted != found:
            raise BagError(
                f"expected {wanted}, as the model was trained on, found {found}; score slides, or "
                "features of the same encoder",
                code="other-features",
            )


def pool_outputs(outputs: Logits, pooling: Pooling, cutoff: float) -> RiskScore:
    """Pool what the encoder gave for all tiles of a patient, (n,) or (n, 2); needs no encoder."""
    columns = outputs.reshape(len(outputs), -1)
    return RiskScore(
        risk=risk_from_score(pooling.pool(outputs)),
        cutoff=cutoff,
        tile_scores=columns[:, 0],
        contributions=pooling.contributions(outputs),
        gates=columns[:, 1] if pooling.n_outputs == 2 else None,
    )


def open_graph(
    onnx: bytes, what: str, *, threads: int, device: Device = "cpu"
) -> ort.InferenceSession:
    """Open a graph that passed its trial.

    Raises
    ------
    SystemRefusedError
        With code ``no-card``, if there is no such device.
    BundleError
        With code ``bad-graph``.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return open_session(onnx, options, device)
    except SystemRefusedError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise BundleError(
            f"expected {what} to be a graph that ONNX Runtime takes, found: {error}; "
            "get the model file again",
            code="bad-graph",
        ) from error


def pooling_of_bundle(bundle: Bundle) -> Pooling:
    """Return the pooling of a model file, with its trained parameters.

    Raises
    ------
    BundleError
        If the card names a pooling that this version does not have, or its parameters are absent.
    """
    try:
        trained_parameters = safetensors.numpy.load(bundle.pooling) if bundle.pooling else {}
        return pooling_from_card(bundle.card.pooling.numbers(), trained_parameters)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BundleError(
            f"expected the pooling of a model of this version, found: {error}; use the version that "
            "wrote the file, or get it again"
        ) from error
