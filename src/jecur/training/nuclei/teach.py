"""Soft maps of nuclei that a strong network draws for a small one to learn from.

A network taught by another one's probabilities learns more than from outlines alone [1]_: they say where the
edge is uncertain, and they are there for images that nobody outlined.

References
----------
.. [1] G. Hinton, O. Vinyals, J. Dean. Distilling the knowledge in a neural network. arXiv:1503.02531, 2015.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from jecur.arrays import RGB
from jecur.errors import TrainingError
from jecur.runs.files import atomic_path
from jecur.training.nuclei.data import UNLABELED, read_image, rows_of_split
from jecur.training.nuclei.pretrained import NucleiNetwork, logits_of

__all__ = ["draw_map", "draw_maps"]


def draw_maps(
    network: NucleiNetwork,
    um_per_px: float,
    data: Path,
    out: Path,
    *,
    splits: Sequence[str] = (UNLABELED,),
) -> int:
    """Draw the map of every image of the splits, as `jecur.training.nuclei.data.read_fields` takes it.

    Parameters
    ----------
    network
        The teacher.
    um_per_px
        Scale at which it sees tissue.
    data
        Folder with ``split.csv``. Of splits that are reported on no map should be drawn.
    out
        Folder for ``<dataset>/<image>``, 8-bit PNG at the image's own scale.

    Returns
    -------
    int
        Maps drawn.
    """
    rows = [row for split in splits for row in rows_of_split(data, split)]
    if not rows:
        raise TrainingError(f"expected images of {', '.join(splits)} in {data}, found none")
    for row in rows:
        image, mpp = read_image(data, row)
        width, height = (max(1, round(side * mpp / um_per_px)) for side in image.size)
        size = (width, height)
        drawn = draw_map(network, np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
        whole = Image.fromarray(drawn).resize(image.size, Image.Resampling.BILINEAR)
        levels = np.rint(255.0 * np.clip(np.asarray(whole), 0.0, 1.0)).astype(np.uint8)
        path = out / row["dataset"] / row["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            Image.fromarray(levels).save(temporary, format="PNG")
    return len(rows)


def draw_map(network: NucleiNetwork, rgb: RGB) -> NDArray[np.float32]:
    """Probability of nucleus of (h, w, 3) pixels, mean of eight turned and mirrored views, (h, w)."""
    network.eval()
    device = next(network.parameters()).device
    h, w = rgb.shape[:2]
    x = torch.from_numpy(rgb.copy()).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    total = torch.zeros(h, w, device=device)
    with torch.inference_mode():
        for turns in range(4):
            for mirror in (False, True):
                view = torch.rot90(x, turns, (2, 3))
                view = view.flip(3) if mirror else view
                p = torch.sigmoid(logits_of(network, view).float())
                p = p.flip(1) if mirror else p
                total += torch.rot90(p, -turns, (0, 1))
    return (total / 8.0).cpu().numpy()
