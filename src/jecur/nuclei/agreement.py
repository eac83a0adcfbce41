"""How well a nuclei map agrees with a pathologist's outlines, pixel by pixel and nucleus by nucleus.

Label images are (h, w) integers: 0 is background, each other value one nucleus. Labels need
not be consecutive.

References
----------
.. [1] N. Kumar et al. A dataset and a technique for generalized nuclear segmentation for
   computational pathology. IEEE Trans. Med. Imaging 36(7), 1550-1560, 2017 (Dice, AJI).
.. [2] A. Kirillov et al. Panoptic segmentation. CVPR 2019. arXiv:1801.00868 (PQ).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from jecur.arrays import LabelImage, Mask
from jecur.errors import NucleiModelError

__all__ = [
    "Agreement",
    "aji",
    "dice",
    "find_nuclei",
    "measure_agreement",
    "panoptic_quality",
]


HIGHER_LEVELS = (0.4, 0.7, 0.87)
"""Of the way from the threshold to 1: where else the map is cut, to find the middle of nuclei."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One field: a map against outlines. Every value lies in [0, 1], 1 is perfect."""

    dice: float
    """Pixels: 2 |P and T| / (|P| + |T|)."""
    pixel_precision: float
    pixel_recall: float
    aji: float
    """Aggregated Jaccard index."""
    panoptic_quality: float
    """Detection quality times segmentation quality."""
    detection_quality: float
    """F1 of nuclei found at IoU > 0.5."""
    segmentation_quality: float
    """Mean IoU of the nuclei found."""
    precision: float
    """Predicted nuclei that are nuclei."""
    recall: float
    """Nuclei that were found."""
    n_true: int
    n_predicted: int


def dice(predicted: Mask, truth: Mask) -> float:
    """Dice coefficient of two masks; 1 when both are empty."""
    _require_alike(predicted, truth)
    total = int(predicted.sum()) + int(truth.sum())
    return 2.0 * int((predicted & truth).sum()) / total if total else 1.0


def find_nuclei(
    probability: NDArray[np.float32] | NDArray[np.uint8],
    *,
    threshold: float = 0.5,
    um_per_px: float = 128.0 / 224.0,
    min_area_um2: float = 8.0,
    min_distance_um: float = 2.5,
) -> NDArray[np.int32]:
    """Cut a nuclei map into nuclei.

    Pixels at or above the threshold, holes filled, are flooded from the peaks of a smoothed depth:
    the distance to whatever is below the threshold, plus those to whatever is below three higher
    levels. Touching nuclei part at their waist, and where the map dips between them.

    Parameters
    ----------
    probability
        (h, w), float in [0, 1] or uint8 x 255.
    threshold
        In (0, 1).
    um_per_px
        Scale of the map.
    min_area_um2
        Smaller things are dropped.
    min_distance_um
        Peaks closer than this belong to one nucleus.

    Returns
    -------
    NDArray[np.int32]
        (h, w) labels 1, 2, ..., 0 = background.
    """
    scale = 255.0 if probability.dtype == np.uint8 else 1.0
    inside = ndimage.binary_fill_holes(probability >= threshold * scale)
    distance = ndimage.distance_transform_edt(inside)
    for share in HIGHER_LEVELS:
        level = threshold + share * (1.0 - threshold)
        distance += ndimage.distance_transform_edt(probability >= level * scale)
    depth = ndimage.gaussian_filter(distance, 1.0)
    parts, _ = ndimage.label(inside)
    apart = max(1, round(min_distance_um / um_per_px))
    peaks = peak_local_max(depth, min_distance=apart, labels=parts, exclude_border=False)
    seeds = np.zeros(inside.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-depth, seeds, mask=inside)
    area_um2 = np.bincount(labels.ravel()) * um_per_px**2
    large = area_um2 >= min_area_um2
    large[0] = False
    number = np.where(large, np.cumsum(large), 0).astype(np.int32)
    nuclei: NDArray[np.int32] = number[labels]
    return nuclei


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Areas of all nuclei and of their overlaps, pixels."""

    shared: NDArray[np.int64]
    """(n_true, n_predicted)."""
    true_area: NDArray[np.int64]
    predicted_area: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        return self.true_area[:, None] + self.predicted_area[None, :] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        return self.shared / self.union


def _overlap(predicted: LabelImage, truth: LabelImage) -> _Overlap:
    _require_alike(predicted, truth)
    p_names, p_first, p = np.unique(predicted, return_index=True, return_inverse=True)
    t_names, t = np.unique(truth, return_inverse=True)
    table = np.bincount(
        t.ravel() * len(p_names) + p.ravel(), minlength=len(t_names) * len(p_names)
    ).reshape(len(t_names), len(p_names))
    true_area, predicted_area = table.sum(axis=1), table.sum(axis=0)
    t_keep = np.flatnonzero(t_names)
    p_keep = np.argsort(p_first)  # in reading order, so that ties do not hang on names
    p_keep = p_keep[p_names[p_keep] != 0]
    return _Overlap(table[np.ix_(t_keep, p_keep)], true_area[t_keep], predicted_area[p_keep])


def aji(predicted: LabelImage, truth: LabelImage) -> float:
    """Compute the aggregated Jaccard index [1]_; 1 when there is nothing and nothing was found.

    Each true nucleus meets the predicted one of largest IoU; their intersections over their
    unions are summed, and predicted nuclei that were the best of none add their area below. Of two
    equally good ones the first in reading order is met.
    """
    overlap = _overlap(predicted, truth)
    if overlap.shared.size == 0:
        return 1.0 if len(overlap.true_area) == len(overlap.predicted_area) else 0.0
    best = np.argmax(overlap.iou, axis=1)
    rows = np.arange(len(best))
    met = overlap.shared[rows, best] > 0
    above = int(overlap.shared[rows, best].sum())
    below = int(overlap.union[rows, best][met].sum() + overlap.true_area[~met].sum())
    unused = np.ones(len(overlap.predicted_area), dtype=bool)
    unused[best[met]] = False
    return above / (below + int(overlap.predicted_area[unused].sum()))


def panoptic_quality(predicted: LabelImage, truth: LabelImage) -> tuple[float, float, float]:
    """Panoptic, detection and segmentation quality [2]_; nuclei match at IoU > 0.5.

    Returns
    -------
    tuple[float, float, float]
        Panoptic quality, which is the product of detection quality (F1) and segmentation
        quality (mean IoU of the matches). Nothing there and nothing found gives 1, 1, 1.
    """
    overlap = _overlap(predicted, truth)
    n_all = len(overlap.true_area) + len(overlap.predicted_area)
    if n_all == 0:
        return 1.0, 1.0, 1.0
    matches = overlap.iou[overlap.iou > 0.5]  # IoU > 0.5 makes matches one-to-one
    if matches.size == 0:
        return 0.0, 0.0, 0.0
    detection = 2.0 * matches.size / n_all
    segmentation = float(matches.mean())
    return detection * segmentation, detection, segmentation


def measure_agreement(
    probability: NDArray[np.float32] | NDArray[np.uint8],
    truth: LabelImage,
    *,
    threshold: float = 0.5,
    um_per_px: float = 128.0 / 224.0,
) -> Agreement:
    """Compare a nuclei map with outlines at one threshold.

    Parameters
    ----------
    probability
        (h, w), float in [0, 1] or uint8 x 255.
    truth
        (h, w) labels at the same scale.
    threshold
        Pixels at or above it are nucleus.
    um_per_px
        Scale of both.
    """
    scale = 255.0 if probability.dtype == np.uint8 else 1.0
    inside, true_inside = probability >= threshold * scale, truth > 0
    shared = int((inside & true_inside).sum())
    labels = find_nuclei(probability, threshold=threshold, um_per_px=um_per_px)
    n_predicted, n_true = int(labels.max(initial=0)), len(np.unique(truth[truth != 0]))
    quality, detection, segmentation = panoptic_quality(labels, truth)
    n_matched = detection * (n_predicted + n_true) / 2.0
    return Agreement(
        dice=dice(inside, true_inside),
        pixel_precision=_ratio(shared, int(inside.sum())),
        pixel_recall=_ratio(shared, int(true_inside.sum())),
        aji=aji(labels, truth),
        panoptic_quality=quality,
        detection_quality=detection,
        segmentation_quality=segmentation,
        precision=_ratio(n_matched, n_predicted),
        recall=_ratio(n_matched, n_true),
        n_true=n_true,
        n_predicted=n_predicted,
    )


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else 1.0


def _require_alike(predicted: NDArray[Any], truth: NDArray[Any]) -> None:
    if predicted.shape != truth.shape:
        raise NucleiModelError(
            f"expected two images of one size, found {predicted.shape} and {truth.shape}; "
            "resample one to the other's scale",
            code="bad-tiles",
        )
