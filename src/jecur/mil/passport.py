"""A model file checked as a whole, once, before the first slide: see `jecur.model.file` for its parts."""

from pathlib import Path

from jecur.errors import BundleError, JecurError
from jecur.mil.scoring import pooling_of_bundle
from jecur.model.file import Bundle, read_bundle
from jecur.model.trial import Contract, try_graph
from jecur.stain.appearance import StainReference

__all__ = ["admit_model", "require_sound"]

_WORKING_PX = 224
"""Side of the tile that a nuclei network is tried on."""


def admit_model(path: Path) -> Bundle:
    """Read a model file that is about to score.

    Raises
    ------
    BundleError
        If any part of it is not what it must be; the file is named.
    """
    bundle = read_bundle(path)
    try:
        require_sound(bundle)
    except JecurError as error:
        raise BundleError(f"{path.name}: {error.message}", code=error.code) from error
    return bundle


def require_sound(bundle: Bundle) -> None:
    """Check what the parts of a model are to each other, and try its graphs in a child process.

    Raises
    ------
    BundleError
        If the pooling is none, or a graph does not keep its contract.
    StainError
        If the stain reference is none.
    """
    card = bundle.card
    pooling_of_bundle(bundle)
    StainReference.from_dict(card.recipe.stain_reference)
    outputs = (2,) if card.n_outputs == 2 else ()
    dtype = "uint8" if card.input.kind == "tiles" else "float32"
    encoder = Contract(dtype, card.tile_shape, outputs)
    try_graph(bundle.encoder_onnx, encoder, "encoder.onnx")
    if bundle.nuclei_onnx is not None:
        nuclei = Contract(
            "uint8", (_WORKING_PX, _WORKING_PX, 3), (_WORKING_PX, _WORKING_PX), 0.0, 1.0
        )
        try_graph(bundle.nuclei_onnx, nuclei, "nuclei.onnx")
