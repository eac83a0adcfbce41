"""The built-in reference: a few numbers measured on one public H&E image.

TCGA-38-6178 is the medoid of the MoNuSeg train split, the image whose stains and amounts lie nearest
to all others. ``benchmarks/stain_reference.py`` makes these numbers from the data; no image is kept.
"""

from jecur.stain.appearance import Appearance, StainReference
from jecur.stain.stain_matrix import StainMatrix

__all__ = ["builtin_reference"]


def builtin_reference() -> StainReference:
    """Target appearance for models that bring none of their own."""
    return StainReference(
        name="monuseg-train-medoid",
        appearance=Appearance(
            stains=StainMatrix.from_rows([[0.5492, 0.7412, 0.3859], [0.1800, 0.8235, 0.5379]]),
            concentrations=(2.7205, 1.1627),
            lab_mean=(-0.57487, -0.06143, 0.02681),
            lab_std=(0.24259, 0.04558, 0.00855),
        ),
        percentile=99.0,
        sparsity=0.02,
    )
