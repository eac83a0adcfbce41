"""The same nuclei, turned and moved: what a measure of their arrangement must not see."""

import numpy as np

from jecur.nuclei.arrangement.pattern import NuclearPattern


def moved(nuclei: NuclearPattern, angle: float, shift) -> NuclearPattern:
    """Turn a pattern by an angle and shift it."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return NuclearPattern(
        nuclei.xy @ turn + shift,
        nuclei.area,
        nuclei.eccentricity,
        np.mod(nuclei.orientation + angle, np.pi),
        nuclei.density,
    )
