"""What the gates measure on real images: the numbers behind the thresholds in docs/color.md.

Fits every image with the gates wide open, prints the range of each measure for each kind of image,
then what the default gates say to each. Usage: python -m benchmarks.stain_gates [DATA_FOLDER]
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments
from benchmarks.stain_images import images, tissue

from jecur.errors import StainError
from jecur.settings import StainSettings
from jecur.stain import fit_slide_stain
from jecur.stain.optical_density import to_optical_density

OPEN = StainSettings(
    n_pixels=30_000,
    min_tissue_pixels=300,
    max_dark_fraction=1.0,
    max_saturated_fraction=1.0,
    min_color_spread=0.0,
    min_concentration=1e-9,
    min_separation_degrees=0.0,
    max_hematoxylin_degrees=90.0,
    max_eosin_degrees=90.0,
)
MEASURES = ("H deg", "E deg", "apart", "min conc", "spread", "dark", "clipped")


def measure(pixels: np.ndarray) -> list[float]:
    fit = fit_slide_stain(pixels, OPEN)
    od = to_optical_density(tissue(pixels, 30_000))
    energies = np.linalg.eigvalsh(od.T @ od)
    return [
        *fit.angles_to_ruifrok,
        fit.stains.separation,
        min(fit.appearance.concentrations),
        float(np.sqrt(energies[1] / energies[2])),
        float(np.mean(pixels.max(axis=1) < 30)),
        float(np.mean(pixels.min(axis=1) <= 2)),
    ]


def main(data: Path) -> None:
    measured: dict[str, list[list[float]]] = defaultdict(list)
    verdicts: dict[str, list[str]] = defaultdict(list)
    for name, kind, rgb in images(data):
        pixels = rgb.reshape(-1, 3)
        pixels = pixels[np.random.default_rng(0).permutation(len(pixels))[:100_000]]
        try:
            measured[kind].append(measure(pixels))
            fit_slide_stain(pixels, StainSettings())
            verdicts[kind].append("accepted")
        except StainError as refusal:
            verdicts[kind].append(refusal.code)
            values = (
                " ".join(f"{value:.2f}" for value in measured[kind][-1]) if measured[kind] else ""
            )
            print(f"{kind:12s} {name[:30]:30s} {refusal.code:22s} {values}")
    print(f"\n{'kind':12s} {'n':>3s} " + "".join(f"{m:>14s}" for m in MEASURES))
    for kind, codes in verdicts.items():
        rows, cells = measured[kind], "  refused before anything could be measured"
        if rows:
            low, high = np.min(rows, axis=0), np.max(rows, axis=0)
            cells = "".join(f"{a:6.2f} - {b:5.2f}" for a, b in zip(low, high, strict=True))
        print(f"{kind:12s} {len(codes):3d} {cells}")
        print(" " * 17 + ", ".join(f"{c} {codes.count(c)}" for c in sorted(set(codes))))


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_data()
    main(parser.parse_args().data)
