"""Color transfer by mean and spread in a decorrelated space (Reinhard [1]_).

The space is Ruderman's l-alpha-beta: cone responses, logarithm, then lightness and two opponent
axes. Tissue pixels of the slide are shifted and scaled to the reference's mean and standard
deviation on each axis. It knows nothing of stains and is here for comparison.

References
----------
.. [1] E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley. Color transfer between images. IEEE
   Comput. Graph. Appl. 21(5), 34-41, 2001. doi:10.1109/38.946629
"""

from dataclasses import dataclass

import numpy as np

from jecur.arrays import Matrix, Pixels, Vector
from jecur.stain.optical_density import WHITE, mean_optical_density

__all__ = ["ReinhardTransfer", "lab_moments", "rgb_of_lab"]

_LMS_OF_RGB = np.array(
    [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]]
)
_LAB_OF_LOG_LMS = np.diag(1.0 / np.sqrt([3.0, 6.0, 2.0])) @ np.array(
    [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]]
)
_RGB_OF_LMS = np.linalg.inv(_LMS_OF_RGB)
_LOG_LMS_OF_LAB = np.linalg.inv(_LAB_OF_LOG_LMS)


def lab_moments(pixels: Pixels) -> tuple[Vector, Vector]:
    """Mean and standard deviation, (3,) each, of tissue pixels in l-alpha-beta.

    Parameters
    ----------
    pixels
        (n, 3) uint8, tissue only: white pixels would pull the mean toward glass.
    """
    lab = _to_lab(pixels)
    return lab.mean(axis=0), lab.std(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class ReinhardTransfer:
    """Shift and scale l-alpha-beta; fade to the untouched color toward white.

    Parameters
    ----------
    source_mean, target_mean
        (3,) of the slide's and the reference's tissue.
    scale
        (3,) target over source standard deviation.
    background
        Mean optical density at and above which a color is wholly transferred. Below it the
        transfer fades out linearly, so white stays white (the method alone tints it).
    """

    source_mean: Vector
    target_mean: Vector
    scale: Vector
    background: float

    def __call__(self, pixels: Pixels) -> Pixels:
        """Map (n, 3) uint8."""
        moved = (_to_lab(pixels) - self.source_mean) * self.scale + self.target_mean
        rgb = rgb_of_lab(moved)
        weight = np.minimum(mean_optical_density(pixels) / self.background, 1.0)[:, None]
        blended = weight * rgb + (1.0 - weight) * pixels
        rounded: Pixels = np.clip(np.rint(blended), 0, WHITE).astype(np.uint8)
        return rounded


def rgb_of_lab(lab: Matrix) -> Matrix:
    """Gray levels, (..., 3), of colors in l-alpha-beta, (..., 3); not clipped."""
    rgb: Matrix = 10.0 ** (lab @ _LOG_LMS_OF_LAB.T) @ _RGB_OF_LMS.T * WHITE
    return rgb


def _to_lab(pixels: Pixels) -> Matrix:
    lms = np.maximum(pixels, 1) / WHITE @ _LMS_OF_RGB.T
    lab: Matrix = np.log10(lms) @ _LAB_OF_LOG_LMS.T
    return lab
