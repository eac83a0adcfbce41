"""Dice, AJI and PQ of a nuclei network, field by field, on whole fields and on tiles.

    python -m benchmarks.nuclei_agreement DATA [network.onnx]

DATA holds split.csv (see docs/nuclei.md). "Tiles" cuts every field into 224 px tiles as the
pipeline does, so that the network sees no more than a tile; the difference is the price of
the tile's border.
"""

import numpy as np
from benchmarks.common import Arguments

from jecur.nuclei.agreement import dice
from jecur.nuclei.segmentation import NucleiModel
from jecur.settings import NucleiSettings
from jecur.training.nuclei.agreement import evaluate_nuclei
from jecur.training.nuclei.data import read_fields

SPLITS = ("val", "test_same_organ", "external_40x", "external_20x")
SIDE = 224


def tiled_map(model: NucleiModel, rgb: np.ndarray) -> np.ndarray:
    found = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for y in range(0, rgb.shape[0], SIDE):
        for x in range(0, rgb.shape[1], SIDE):
            y0, x0 = max(0, min(y, rgb.shape[0] - SIDE)), max(0, min(x, rgb.shape[1] - SIDE))
            window = (slice(y0, y0 + SIDE), slice(x0, x0 + SIDE))
            found[window] = model.map(rgb[window][None])[0]
    return found


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("model", nargs="?", default="builtin")
    given = parser.parse_args()
    model = NucleiModel.load(NucleiSettings(model=given.model))
    for split in SPLITS:
        result = evaluate_nuclei(given.data, split, model)
        tiled = [
            dice(tiled_map(model, field.rgb) >= 128, field.labels > 0)
            for field in read_fields(given.data, split)
        ]
        print(f"\n{split}: {len(result.fields)} fields; Dice on tiles {np.mean(tiled):.3f}")
        for measure in ("dice", "aji", "panoptic_quality", "precision", "recall"):
            e = result.estimate(measure)
            print(f"  {measure:18} {e.mean:.3f} (95 % {e.lower:.3f} to {e.upper:.3f})")
        for field in sorted(result.fields, key=lambda f: f.agreement.dice):
            a = field.agreement
            print(
                f"    {field.name:28} {field.organ:9} Dice {a.dice:.3f} AJI {a.aji:.3f} "
                f"PQ {a.panoptic_quality:.3f} nuclei {a.n_true} found {a.n_predicted}"
            )


if __name__ == "__main__":
    main()
