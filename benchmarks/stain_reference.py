"""Make the built-in stain reference: the most typical image of the MoNuSeg train split.

Fits every image of the split, takes the medoid (the image whose stains and amounts lie nearest to
all others: angles in units of 10 degrees, percentiles as logarithms) and prints it as the constants
of ``jecur.stain.reference``. Usage: python -m benchmarks.stain_reference [DATA_FOLDER]
"""

import csv
import json
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.common import Arguments
from benchmarks.stain_images import read_image

from jecur.settings import StainSettings
from jecur.stain import SlideStain, StainReference, fit_slide_stain

NAME = "monuseg-train-medoid"


def distance(a: SlideStain, b: SlideStain) -> float:
    angles = a.stains.angle_to(b.stains) / 10.0
    amounts = np.log(np.divide(a.appearance.concentrations, b.appearance.concentrations))
    return float(np.sqrt(np.sum(angles**2) + np.sum(amounts**2)))


def main(data: Path) -> None:
    settings = msgspec.structs.replace(StainSettings(), n_pixels=1_000_000)
    with (data / "nuclei/split.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if "train" in row.values()]
    names = sorted({Path(value).stem for row in rows for value in row.values() if "TCGA" in value})
    folder = data / "nuclei/monuseg2018_train/images"
    fits = {
        name: fit_slide_stain(read_image(folder / f"{name}.png").reshape(-1, 3), settings)
        for name in names
    }
    total = {
        name: sum(distance(fit, other) for other in fits.values()) for name, fit in fits.items()
    }
    medoid = min(total, key=total.__getitem__)
    reference = StainReference(
        NAME, fits[medoid].appearance, settings.percentile, settings.separation_sparsity
    )
    print(f"{len(fits)} images; medoid {medoid}")
    for name, fit in fits.items():
        print(f"{name[:25]:25s} distance {distance(fits[medoid], fit):.2f}")
    print(json.dumps(reference.to_dict(), indent=4))


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_data()
    main(parser.parse_args().data)
