"""Fields with outlined nuclei: read them at the working scale, draw crops, perturb the colors.

A folder of such data holds ``split.csv`` (dataset, image, split) and, for each dataset,
``images/`` and ``labels/`` with PNG files of the same names; a label image is 0 on background
and k on nucleus k.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from jecur.arrays import RGB, LabelImage
from jecur.errors import TrainingError
from jecur.nuclei.agreement import find_nuclei
from jecur.nuclei.segmentation import WORKING_UM_PER_PX

T = TypeVar("T", bound=np.generic)

__all__ = [
    "UNLABELED",
    "CropSource",
    "Field",
    "perturb_colors",
    "read_fields",
    "read_image",
    "rows_of_split",
]

SCALE_OF_SPLIT = {"external_20x": 0.5}
"""Micrometers per pixel of splits not scanned at 0.25."""

SCALE_OF_IMAGE = {f"TCGA-HE-{n}-01Z-00-DX1.png": 0.5 for n in (7128, 7129, 7130)}
"""MoNuSeg fields published as 0.25 um/px whose nuclei, 11 to 12 px across where others have 17 to
32, say 0.5: judged by size, the slides themselves were not seen."""

CROP_SCALES = (0.5, 0.64, 0.8, 0.9, 1.0, 1.12, 1.25)
"""Magnifications at which training images are held; 0.5 makes a 40x nucleus look half as big."""
CROP_SCALE_WEIGHTS = (0.06, 0.1, 0.18, 0.18, 0.2, 0.16, 0.12)

UNLABELED = "unlabeled"
"""Split of images without outlines, which only a teacher's maps can make use of."""

OUTLINED_SHARE = 2 / 3
"""Of the crops, those from outlined fields where there are unlabeled ones too."""

FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
"""Slide readers shrink pixels in different ways; training sees them all."""

HE_STAINS = np.array(
    [[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]], dtype=np.float32
)
"""Ruifrok and Johnston's hematoxylin, eosin and remainder in optical density, rows, (3, 3)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One annotated field at the working scale."""

    name: str
    rgb: RGB
    """(h, w, 3) uint8."""
    labels: LabelImage
    """(h, w), 0 = background, k = nucleus k."""
    cover: NDArray[np.float32]
    """(h, w) fraction of the pixel that is nucleus, in [0, 1]."""
    seam: NDArray[np.float32]
    """(h, w) fraction of the pixel that lies where one outlined nucleus touches another, in [0, 1]."""


def read_fields(
    data: Path,
    split: str,
    *,
    um_per_px: float = WORKING_UM_PER_PX,
    shrink: int = 0,
    maps: Path | None = None,
) -> list[Field]:
    """Read every field of one split, resampled from its own scale.

    Parameters
    ----------
    data
        The folder with ``split.csv``.
    split
        A value of its ``split`` column.
    um_per_px
        Scale wanted; labels are taken at the nearest pixel, cover by area.
    shrink
        Index into `FILTERS` of how colors are resampled.
    maps
        Folder of maps drawn by a teacher, ``<dataset>/<image>``, 8-bit probabilities at the image's own
        scale. An image of the split ``unlabeled`` takes its cover from its map, and its nuclei and seams
        from cutting the map as `jecur.nuclei.agreement.find_nuclei` does; outlined fields need none.

    Raises
    ------
    TrainingError
        If the folder, the split or one of its images is missing.
    """
    rows = rows_of_split(data, split)
    if not rows:
        table = data / "split.csv"
        raise TrainingError(f"expected images of split {split!r} in {table}, found none")
    return [_read_field(data, row, um_per_px, shrink, maps) for row in rows]


def rows_of_split(data: Path, split: str) -> list[dict[str, str]]:
    """Rows of one split of ``split.csv``; none if there is none.

    Raises
    ------
    TrainingError
        If there is no table.
    """
    table = data / "split.csv"
    if not table.is_file():
        raise TrainingError(
            f"expected {table} with columns dataset, image, split; found no such file; "
            "name the folder that holds it"
        )
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("split") == split]


def read_image(data: Path, row: dict[str, str]) -> tuple[Image.Image, float]:
    """Colors of a row's image and its micrometers per pixel.

    Raises
    ------
    TrainingError
        If the image is missing or its scale cannot be believed.
    """
    return Image.open(_file(data, row, "images")).convert("RGB"), _mpp(row)


def _file(data: Path, row: dict[str, str], kind: str) -> Path:
    path = data / row["dataset"] / kind / row["image"]
    if not path.is_file():
        raise TrainingError(
            f"{row['image']}: expected {path.relative_to(data)}, found no such file; complete the data"
        )
    return path


def _outlines(data: Path, row: dict[str, str], image: Image.Image) -> NDArray[np.integer]:
    """Label image of a row, (h, w); refuses what is none."""
    name = row["image"]
    outlined = np.asarray(Image.open(_file(data, row, "labels")))
    if outlined.ndim != 2:
        raise TrainingError(
            f"{name}: expected a label image of one channel, found shape {outlined.shape}; write 0 on "
            "background and k on nucleus k",
            code="bad-labels",
        )
    if outlined.shape != (image.height, image.width):
        raise TrainingError(
            f"{name}: expected labels of {image.width} x {image.height} px as the image has, found "
            f"{outlined.shape[1]} x {outlined.shape[0]}; export them again at the image's size",
            code="bad-labels",
        )
    if not outlined.any():
        raise TrainingError(
            f"{name}: expected outlined nuclei, found an empty label image; leave the image out of "
            "split.csv or outline it",
            code="bad-labels",
        )
    return outlined


def _read_field(
    data: Path, row: dict[str, str], um_per_px: float, shrink: int, maps: Path | None
) -> Field:
    image, mpp = read_image(data, row)
    taught = row["split"] == UNLABELED
    drawn = _map(maps, row, image) if taught and maps is not None else None
    outlined = _outlines(data, row, image) if drawn is None else find_nuclei(drawn, um_per_px=mpp)
    factor = mpp / um_per_px
    labels = Image.fromarray(outlined.astype(np.int32))
    size = (round(image.width * factor), round(image.height * factor))

    def fraction(mask: NDArray[np.generic]) -> NDArray[np.float32]:
        resized = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
        clipped: NDArray[np.float32] = np.clip(np.asarray(resized), 0.0, 1.0)
        return clipped

    return Field(
        name=Path(row["image"]).stem,
        rgb=np.asarray(image.resize(size, FILTERS[shrink])),
        labels=np.asarray(labels.resize(size, Image.Resampling.NEAREST)),
        cover=fraction(outlined > 0 if drawn is None else drawn),
        seam=fraction(_seams(outlined)),
    )


def _map(maps: Path, row: dict[str, str], image: Image.Image) -> NDArray[np.float32]:
    """Read what the teacher drew of an image, (h, w) in [0, 1]."""
    path = maps / row["dataset"] / row["image"]
    if not path.is_file():
        raise TrainingError(
            f"{row['image']}: expected the teacher's map {path.relative_to(maps)}, found no such file; "
            "draw the maps of all images anew"
        )
    drawn = np.asarray(Image.open(path).convert("L"), dtype=np.float32) / np.float32(255.0)
    if drawn.shape != (image.height, image.width):
        raise TrainingError(
            f"{row['image']}: expected a map of {image.width} x {image.height} px, found "
            f"{drawn.shape[1]} x {drawn.shape[0]}; draw the maps anew"
        )
    return drawn


def _seams(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels of a nucleus beside a pixel of another one, (h, w)."""
    named = labels.astype(np.int32)
    lone = np.where(named == 0, np.iinfo(np.int32).max, named)  # background never is the lowest
    highest = ndimage.maximum_filter(named, size=3)
    lowest = ndimage.minimum_filter(lone, size=3)
    seams: NDArray[np.bool_] = (named > 0) & (highest != lowest)
    return seams


def _mpp(row: dict[str, str]) -> float:
    """Micrometers per pixel of an image: its own column, or what is known of the image or split."""
    stated = (row.get("mpp") or "").strip()
    if not stated:
        return SCALE_OF_IMAGE.get(row["image"], SCALE_OF_SPLIT.get(row["split"], 0.25))
    try:
        value = float(stated)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 2.0:
        raise TrainingError(
            f"{row['image']}: expected 0.05 to 2 um/px in column mpp of split.csv, found {stated!r}; "
            "state the scale, or leave the cell empty for 0.25",
            code="unknown-mpp",
        )
    return value


@dataclass(frozen=True, slots=True)
class _Level:
    """Fields at one magnification, and how often each is drawn from."""

    fields: list[Field]
    odds: list[float]
    """Sum to 1."""

    @classmethod
    def of(
        cls, fields: Mapping[str, list[Field]], parts: Mapping[str, float], side: int
    ) -> "_Level":
        """Take the fields of each split that hold a crop; a split's share is spread evenly."""
        largest = max(min(f.cover.shape) for split in fields.values() for f in split)
        if largest < side:
            raise TrainingError(
                f"expected crops of at most {largest} px, found {side}; choose a smaller side"
            )
        held = {k: [f for f in split if min(f.cover.shape) >= side] for k, split in fields.items()}
        odds = [parts[k] / len(split) for k, split in held.items() for _ in split]
        return cls([f for split in held.values() for f in split], [p / sum(odds) for p in odds])

    def draw(self, rng: np.random.Generator) -> Field:
        """Draw one of them."""
        return self.fields[rng.choice(len(self.fields), p=self.odds)]


class CropSource:
    """Random crops of a split: place, magnification, mirror and quarter turns.

    Parameters
    ----------
    data, split
        See `read_fields`.
    side
        Side of a crop, pixels. An image is drawn from at the magnifications at which it is as large.
    um_per_px
        Scale of a crop at magnification 1.
    maps
        See `read_fields`; with them crops are drawn from the split ``unlabeled`` too.
    """

    def __init__(
        self,
        data: Path,
        split: str,
        *,
        side: int = 192,
        um_per_px: float = WORKING_UM_PER_PX,
        maps: Path | None = None,
    ) -> None:
        self.side = side
        parts = {split: 1.0}
        if maps is not None and rows_of_split(data, UNLABELED):
            parts = {split: OUTLINED_SHARE, UNLABELED: 1.0 - OUTLINED_SHARE}
        self.levels = [
            _Level.of(
                {
                    part: read_fields(
                        data, part, um_per_px=um_per_px / scale, shrink=k % len(FILTERS), maps=maps
                    )
                    for part in parts
                },
                parts,
                side,
            )
            for k, scale in enumerate(CROP_SCALES)
        ]

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw n crops: colors (n, 3, side, side) in [0, 255], cover and seam (n, side, side)."""
        colors, covers, seams = [], [], []
        for level in rng.choice(len(CROP_SCALES), size=n, p=CROP_SCALE_WEIGHTS):
            field = self.levels[level].draw(rng)
            y, x = (rng.integers(extent - self.side + 1) for extent in field.cover.shape)
            window = (slice(y, y + self.side), slice(x, x + self.side))
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            colors.append(_turn(field.rgb[window], turns, mirror))
            covers.append(_turn(field.cover[window], turns, mirror))
            seams.append(_turn(field.seam[window], turns, mirror))
        rgb = torch.from_numpy(np.stack(colors)).permute(0, 3, 1, 2).float()
        return rgb, torch.from_numpy(np.stack(covers)), torch.from_numpy(np.stack(seams))


def _turn(array: NDArray[T], turns: int, mirror: bool) -> NDArray[T]:
    turned = np.rot90(array, turns)
    return turned[:, ::-1] if mirror else turned


def perturb_colors(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Make the crops look as if another laboratory had stained and another scanner read them.

    Per crop: the stain directions turn a little, the amount of each stain is scaled and
    shifted, the three optical densities are scaled (scanner), and some crops are blurred or
    made noisy. One crop in eight keeps its colors.

    Parameters
    ----------
    rgb
        (n, 3, h, w) float32 in [0, 255].
    rng
        Draws everything.

    Returns
    -------
    Tensor
        The same shape and range, channels last in memory.
    """
    n = len(rgb)
    stains = HE_STAINS + rng.normal(0.0, 0.05, (n, 3, 3)).astype(np.float32)
    stains = np.clip(stains, 0.0, None)
    stains /= np.linalg.norm(stains, axis=2, keepdims=True)
    amount = np.exp(rng.normal(0.0, (0.3, 0.3, 0.2), (n, 3))).astype(np.float32)
    shift = rng.normal(0.0, 0.03, (n, 3)).astype(np.float32)
    scanner = np.exp(rng.normal(0.0, 0.1, (n, 3))).astype(np.float32)
    keep = rng.random(n) < 0.125
    # od' = ((od M^-1) * amount + shift) M' * scanner: one 3 x 3 matrix and one offset a crop.
    matrix = np.linalg.inv(HE_STAINS) @ (amount[:, :, None] * stains) * scanner[:, None, :]
    offset = (shift[:, None, :] @ stains)[:, 0] * scanner
    matrix[keep], offset[keep] = np.eye(3, dtype=np.float32), 0.0
    density = -torch.log((rgb.permute(0, 2, 3, 1) + 1.0) / 256.0)  # (n, h, w, 3)
    density = density.reshape(n, -1, 3) @ torch.from_numpy(matrix.astype(np.float32))
    density = density + torch.from_numpy(offset.astype(np.float32))[:, None, :]
    colors = (256.0 * torch.exp(-density) - 1.0).clamp(0.0, 255.0)
    colors = colors.reshape(n, *rgb.shape[2:], 3).permute(0, 3, 1, 2)  # (n, 3, h, w), channels last
    return _blur_and_noise(colors, rng)


def _blur_and_noise(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    blur = np.where(rng.random(len(rgb)) < 0.3, rng.random(len(rgb)), 0.0).astype(np.float32)
    noise = np.where(rng.random(len(rgb)) < 0.3, 5.0 * rng.random(len(rgb)), 0.0)
    for k in np.flatnonzero(blur):
        soft = functional.avg_pool2d(
            rgb[k : k + 1], 3, stride=1, padding=1, count_include_pad=False
        )
        rgb[k] = rgb[k] + float(blur[k]) * (soft[0] - rgb[k])
    for k in np.flatnonzero(noise):
        grain = rng.standard_normal(tuple(rgb.shape[1:]), dtype=np.float32)
        rgb[k] = (rgb[k] + float(noise[k]) * torch.from_numpy(grain)).clamp(0.0, 255.0)
    return rgb
