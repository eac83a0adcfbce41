"""Stain: what a slide's hematoxylin and eosin are, and tiles as if stained like the reference.

`fit_normalizer` fits one slide; `Normalizer.apply` maps its tiles. docs/color.md explains both.
"""

from jecur.stain.appearance import Appearance, SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, fit_normalizer, fit_slide_stain, restore_normalizer
from jecur.stain.reference import builtin_reference
from jecur.stain.stain_matrix import RUIFROK, StainMatrix

__all__ = [
    "RUIFROK",
    "Appearance",
    "Normalizer",
    "SlideStain",
    "StainMatrix",
    "StainReference",
    "builtin_reference",
    "fit_normalizer",
    "fit_slide_stain",
    "restore_normalizer",
]
