"""What normalization does to real images: is the color the same afterwards, is the structure kept?

All 24 MoNuSeg images are brought to the built-in reference. "Mean stain color" can mean several
things, so each is measured, in CIELAB; the spread is the root of the summed variances over images.

- ``image``: mean over stained pixels. Holds how much of each stain the tissue has.
- ``nuclei``, ``rest``: mean over annotated nuclei, and over other stained pixels.
- ``hematoxylin``, ``eosin``: color of each stain alone at half the 99th percentile of its amount,
  read from the finished picture by Macenko's method, which the normalization does not use.

The ways "p95" and "mean" match another statistic of the amounts than the product's 99th percentile.
Usage: python -m benchmarks.stain_effect [DATA_FOLDER]
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.common import Arguments
from benchmarks.stain_images import read_image
from PIL import Image
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity

from jecur.settings import StainSettings
from jecur.stain import StainMatrix, builtin_reference, fit_normalizer
from jecur.stain.color_map import StainTransfer
from jecur.stain.macenko import extreme_directions
from jecur.stain.optical_density import mean_optical_density, to_optical_density
from jecur.stain.separation import separate_stains

REFERENCE_IMAGE = "TCGA-38-6178-01Z-00-DX1.png"
PRODUCT = ("vahadane", "macenko", "reinhard", "iche")
OTHER = {"p95": lambda c: np.percentile(c, 95, axis=0), "mean": lambda c: c.mean(axis=0)}
MEASURES = ("image", "nuclei", "rest", "hematoxylin", "eosin")


def stain_colors(pixels: np.ndarray) -> np.ndarray:
    """CIELAB of hematoxylin and of eosin, (2, 3), as Macenko's method finds them."""
    od = to_optical_density(pixels)
    vectors = extreme_directions(od)
    amounts = separate_stains(od, StainMatrix(vectors))
    half = 0.5 * np.percentile(amounts, 99, axis=0)
    return rgb2lab(np.exp(-half[:, None] * vectors)[None])[0]


def colors(picture: np.ndarray, stained: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """The five measures of one picture, (5, 3) CIELAB."""
    lab = rgb2lab(picture)
    own = picture[stained]
    means = [lab[where].mean(axis=0) for where in (stained, stained & nuclei, stained & ~nuclei)]
    return np.vstack([*means, stain_colors(own[:: max(len(own) // 100_000, 1)])])


def pictures(rgb: np.ndarray, targets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The image by every way."""
    pixels, reference = rgb.reshape(-1, 3), builtin_reference()
    painted = {}
    for method in PRODUCT:
        settings = msgspec.structs.replace(StainSettings(), method=method)
        normalizer = fit_normalizer(pixels, settings, reference)
        painted[method] = normalizer.apply(rgb[None])[0]
        if method == "vahadane":
            transfer = normalizer.color_map
    assert isinstance(transfer, StainTransfer)
    amounts = stained_amounts(pixels, transfer.source)
    for name, statistic in OTHER.items():
        scaled = replace(transfer, scale=targets[name] / statistic(amounts))
        painted[name] = scaled(pixels).reshape(rgb.shape)
    return painted


def stained_amounts(pixels: np.ndarray, stains: StainMatrix) -> np.ndarray:
    od = to_optical_density(pixels[mean_optical_density(pixels) > 0.15])
    return separate_stains(od, stains, sparsity=StainSettings().separation_sparsity)


def likeness(before: np.ndarray, after: np.ndarray, stained: np.ndarray) -> float:
    """SSIM of lightness, mean over stained pixels."""
    light = [rgb2lab(picture)[..., 0] for picture in (before, after)]
    full = structural_similarity(light[0], light[1], data_range=100.0, full=True)[1]
    return float(full[stained].mean())


def main(data: Path) -> None:
    folder = data / "nuclei/monuseg2018_train"
    paths = sorted((folder / "images").iterdir())
    stains = builtin_reference().appearance.stains
    amounts = stained_amounts(
        read_image(folder / "images" / REFERENCE_IMAGE).reshape(-1, 3), stains
    )
    targets = {name: statistic(amounts) for name, statistic in OTHER.items()}
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    kept: dict[str, list[float]] = defaultdict(list)
    share: list[float] = []
    for path in paths:
        rgb = read_image(path)
        stained = mean_optical_density(rgb.reshape(-1, 3)).reshape(rgb.shape[:2]) > 0.15
        nuclei = np.asarray(Image.open(next((folder / "labels").glob(f"{path.stem}*")))) > 0
        share.append(float(nuclei[stained].mean()))
        found["before"].append(colors(rgb, stained, nuclei))
        for name, painted in pictures(rgb, targets).items():
            found[name].append(colors(painted, stained, nuclei))
            kept[name].append(likeness(rgb, painted, stained))
    report(found, kept, np.array(share))


def report(
    found: dict[str, list[np.ndarray]], kept: dict[str, list[float]], share: np.ndarray
) -> None:
    before = spread(found["before"])
    print(f"{len(share)} images. spread before: " + ", ".join(
        f"{m} {b:.2f}" for m, b in zip(MEASURES, before, strict=True)))  # fmt: skip
    for name, rows in found.items():
        if name == "before":
            continue
        ssim = np.array(kept[name])
        falls = ", ".join(
            f"{m} {a / b - 1:+.0%}" for m, a, b in zip(MEASURES, spread(rows), before, strict=True)
        )
        print(
            f"{name:9s} {falls}; SSIM median {np.median(ssim):.3f}, least {ssim.min():.3f}, "
            f"below .95: {int((ssim < 0.95).sum())}"
        )
    for name in ("before", "vahadane"):
        light = np.array(found[name])[:, 0, 0]
        print(
            f"{name}: mean lightness of the image, correlation with the share of nuclei "
            f"{np.corrcoef(light, share)[0, 1]:+.2f}; per axis "
            f"{np.std([row[0] for row in found[name]], axis=0).round(2)}"
        )


def spread(rows: list[np.ndarray]) -> np.ndarray:
    return np.sqrt(np.var(np.array(rows), axis=0).sum(axis=1))


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_data()
    main(parser.parse_args().data)
