"""The card of a model file as a typed record: whatever is no such record is refused.

The text is decoded once and strictly: no name twice in a table, no nesting beyond what a card has,
no number that is not finite, every value of its type and in its range, no unknown name. Then the
parts must fit each other: a card that says two things of one model is none.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from jecur.errors import BundleError, SettingsError
from jecur.model.looks import TrainingLooks
from jecur.model.risks import TrainingRisks
from jecur.printable import is_printable, printable_line
from jecur.settings import LossName, PoolingName, Recipe, TrainingSettings
from jecur.settings.base import Count, CountOrZero, Probability, Stage, make_settings
from jecur.settings.training import nested

__all__ = [
    "MAX_CARD_BYTES",
    "CohortFacts",
    "ComputedOn",
    "Digest",
    "EndpointText",
    "Interval",
    "Line",
    "ModelCard",
    "NetworkInput",
    "PoolingFacts",
    "Prose",
    "TileFacts",
    "TrainedOn",
    "TrainingEpoch",
    "TuningMetrics",
    "plain_table",
    "read_card",
    "write_card",
]

MAX_CARD_BYTES = 8 * 2**20
_MAX_DEPTH = 16

Line = Annotated[str, Meta(max_length=500)]
Prose = Annotated[str, Meta(max_length=4000)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{32,64}$")]


class EndpointText(Stage, frozen=True):
    """What the risk is a risk of."""

    kind: Line
    definition: Prose


class TileFacts(Stage, frozen=True):
    """What a tile is."""

    side_um: Annotated[float, Meta(gt=0)]
    px: Count


class PoolingFacts(Stage, frozen=True):
    """Name and numbers of the pooling; `jecur.mil.pooling.Pooling` checks their ranges."""

    kind: PoolingName
    exponent: float | None = None
    reduction: Literal["mean", "sum"] | None = None
    sharpness: float | None = None
    steepness: float | None = None
    ends: int | None = None

    def numbers(self) -> dict[str, Any]:
        """Name and the numbers that are said."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}


class NetworkInput(Stage, frozen=True):
    """What the encoder takes: tiles of a shape, or features of a length."""

    kind: Literal["tiles", "features"]
    shape: tuple[Count, Count, Annotated[int, Meta(ge=3, le=4)]] | None = None
    width: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None

    def contradictions(self) -> Iterator[str]:
        """Yield what does not fit: tiles have a shape, features a width."""
        if (self.shape is None) != (self.kind == "features"):
            yield "expected the shape of tiles, and of tiles alone"
        if (self.width is None) != (self.kind == "tiles"):
            yield "expected the width of features, and of features alone"


class CohortFacts(Stage, frozen=True):
    """Patients the model was trained on."""

    n_good: CountOrZero
    n_poor: CountOrZero
    n_tuning: CountOrZero
    n_tiles: CountOrZero
    selection: Prose


class Interval(Stage, frozen=True):
    """An estimate with its interval."""

    estimate: float
    lower: float | None = None
    upper: float | None = None


class TuningMetrics(Stage, frozen=True):
    """How the finished model does on the tuning patients."""

    note: Prose
    n: CountOrZero | None = None
    n_events: CountOrZero | None = None
    concordance: Interval | None = None
    why: Prose | None = None

    def contradictions(self) -> Iterator[str]:
        """Yield what no concordance of so many patients is."""
        if self.n is not None and self.n_events is not None and self.n_events > self.n:
            yield f"expected at most {self.n} events, found {self.n_events}"
        found = self.concordance
        if found is None:
            return
        lower = 0.0 if found.lower is None else found.lower
        upper = 1.0 if found.upper is None else found.upper
        if not (0 <= found.estimate <= 1 and 0 <= lower <= upper <= 1):
            yield (
                f"expected a concordance and its interval from 0 to 1, found {found.estimate:g} "
                f"({lower:g} to {upper:g})"
            )


class TrainingEpoch(Stage, frozen=True):
    """Mean loss of one pass."""

    epoch: Count
    learning_rate: float
    training_loss: float
    tuning_loss: float | None = None


class TrainedOn(Stage, frozen=True):
    """How the model recognizes tiles it was trained on; no patient can be identified from it.

    ``bags`` and ``tiles`` are digests of tiles as the network saw them: of the files that held them, and
    of the tiles alone, which are known of a slide that was never written. ``salt`` and ``patients`` stand
    in files of version 0.1 only: there, names could be guessed.
    """

    bags: tuple[Digest, ...] = ()
    tiles: tuple[Digest, ...] = ()
    salt: Line = ""
    patients: tuple[Digest, ...] = ()


class ComputedOn(Stage, frozen=True):
    """Where networks ran while the model was made: the processor, or a graphics card."""

    slides: Literal["cpu", "cuda"]
    """The training slides were prepared there."""
    training: Literal["cpu", "cuda"]


class ModelCard(Stage, frozen=True):
    """What a model is; ``docs/model_card.md`` says every field."""

    name: Line
    intended_use: Prose
    licence: Prose
    created: Annotated[str, Meta(pattern=r"^[0-9T:+-]{8,32}$")]
    jecur: Annotated[str, Meta(max_length=40)]
    versions: dict[str, Line]
    endpoint: EndpointText
    direction: Line
    cutoff: Probability
    cutoff_source: Prose
    encoder: Line
    tile: TileFacts
    recipe: Recipe
    training: TrainingSettings
    cohort: CohortFacts
    metrics: TuningMetrics
    pooling: PoolingFacts
    input: NetworkInput
    channels: Literal[0, 3, 4]
    training_curve: tuple[TrainingEpoch, ...]
    nuclei: dict[str, Any]
    trained_on: TrainedOn
    looks: TrainingLooks | None = None
    """What the training slides looked like; None in files made before this was kept."""
    risks: TrainingRisks | None = None
    """Risks of the training patients; None in files made before they were kept."""
    virtual: bool = False
    computed_on: ComputedOn | None = None
    """None in files made before this was kept."""

    @property
    def n_outputs(self) -> int:
        """Numbers the encoder gives a tile: its score, and its gate for attention."""
        return 2 if self.pooling.kind == "attention" else 1

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of what the encoder takes: (h, w, channels), or (features,)."""
        return self.input.shape or (self.input.width or 0,)

    @property
    def loss(self) -> LossName:
        """The loss the model was trained with."""
        return self.training.loss.name

    def contradictions(self) -> Iterator[str]:
        """Yield where two parts of the card say different things."""
        seen = self.input.shape[2] if self.input.shape else 0
        if self.channels != seen:
            yield f"expected the channels of its input, {seen}, found channels {self.channels}"
        px = self.recipe.tiling.output_px
        if self.input.shape and self.input.shape[:2] != (px, px):
            yield f"expected tiles of the recipe's {px} px, found {self.input.shape[:2]}"
        laid = self.recipe.tiling.side_um
        if self.tile.px != px or not math.isclose(self.tile.side_um, laid):
            yield (
                f"expected tiles of the recipe's {laid:g} um and {px} px, found {self.tile.side_um:g} um and "
                f"{self.tile.px} px"
            )
        if self.pooling.kind != self.training.pooling.method:
            yield f"expected the pooling {self.training.pooling.method} that the model was trained with"
        else:
            yield from self._other_pooling()
        if self.loss == "cutoff" and not math.isclose(self.cutoff, self.training.loss.cutoff):
            yield f"expected the cut-off of the training, {self.training.loss.cutoff:g}"
        if self.loss == "cross-entropy" and self.cutoff != 0.5:
            yield f"expected the cut-off of cross-entropy, 0.5, found {self.cutoff:g}"

    def _other_pooling(self) -> Iterator[str]:
        """Yield the pooling's numbers that are not those of the training."""
        numbers = {k: v for k, v in self.pooling.numbers().items() if k != "kind"}
        for name, value in numbers.items():
            trained = getattr(self.training.pooling, name)
            if value != trained:
                yield f"expected the pooling's {name} of the training, {trained}, found {value}"


def read_card(text: bytes) -> ModelCard:
    """Read a card.

    Raises
    ------
    BundleError
        Naming everything that is wrong with it.
    """
    try:
        plain = plain_table(text)
        if isinstance(plain.get("training"), dict):  # one flat table in files of earlier versions
            plain["training"] = nested(plain["training"])
        if "learnt_from" in plain:
            plain.setdefault("trained_on", plain.pop("learnt_from"))
        return make_settings(plain, ModelCard)
    except (ValueError, RecursionError, SettingsError) as error:
        said = error.message if isinstance(error, SettingsError) else str(error)
        raise BundleError(
            f"expected a card of a model of this version, found: {_short(said)}; use the version of "
            "Jecur that wrote the file, or get the file again",
            code="bad-model-card",
        ) from error


def write_card(card: Stage) -> bytes:
    """Card as JSON; what is not said is left out, and text is in plain lines."""
    plain = _to_write(msgspec.to_builtins(card))
    return json.dumps(plain, indent=2, allow_nan=False).encode()


def _to_write(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {_to_write(k): _to_write(v) for k, v in value.items() if v is not None}
    if isinstance(value, str):
        return printable_line(re.sub(r"\s", " ", value))
    return [_to_write(v) for v in value] if isinstance(value, list | tuple) else value


def plain_table(text: bytes) -> dict[str, Any]:
    """Decode the JSON of a card to plain values, strictly.

    Raises
    ------
    ValueError
        If it is too large or too deep, a name stands twice in a table, a number is not finite, or a text
        holds what cannot be seen.
    """
    if len(text) > MAX_CARD_BYTES:
        raise ValueError(f"{len(text)} bytes, more than {MAX_CARD_BYTES}")
    value = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=_once,
        parse_constant=_no_constant,
        parse_float=_finite,
        parse_int=_small,
    )
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where a table of fields belongs")  # noqa: TRY004
    _refuse_depth(value, _MAX_DEPTH)
    return value


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name that stands twice in one table")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no finite number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]}, which is no finite number")
    return value


def _small(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _refuse_depth(value: Any, left: int) -> None:  # noqa: ANN401
    """Refuse nesting beyond a card's, and text that would steer a terminal or turn a line around."""
    if left == 0:
        raise ValueError(f"tables or lists in each other more than {_MAX_DEPTH} deep")
    if isinstance(value, str) and not is_printable(value):
        raise ValueError("text with control characters or marks of direction")
    if isinstance(value, dict):
        for key in value:
            _refuse_depth(key, left)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _refuse_depth(item, left - 1)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 400 else line[:397] + "..."
