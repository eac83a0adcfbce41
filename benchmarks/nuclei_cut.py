"""How a nuclei map is best cut into nuclei: one setting of `find_nuclei` changed at a time.

    python -m benchmarks.nuclei_cut DATA [network.onnx]

Fields of `val` and `train` alone (docs/nuclei.md): this is for choosing. Means over fields.
"""

import numpy as np
from benchmarks.common import Arguments, table_head, table_row

from jecur.nuclei.agreement import aji, dice, find_nuclei
from jecur.nuclei.segmentation import NucleiModel
from jecur.settings import NucleiSettings
from jecur.training.nuclei.data import read_fields

SPLITS = ("val", "train")
CHANGES: tuple[dict[str, float], ...] = (
    {},
    *({"threshold": t} for t in (0.4, 0.45, 0.55, 0.6)),
    *({"min_area_um2": a} for a in (4.0, 12.0, 16.0)),
    *({"min_distance_um": d} for d in (1.7, 2.9, 3.4, 4.0)),
)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("model", nargs="?", default="builtin")
    given = parser.parse_args()
    model = NucleiModel.load(NucleiSettings(model=given.model), threads=1)
    maps = {
        split: [
            (model.map(field.rgb[None])[0], field.labels)
            for field in read_fields(given.data, split, um_per_px=model.um_per_px)
        ]
        for split in SPLITS
    }
    print(table_head("cut", *(f"{s}: Dice, AJI, found of true" for s in SPLITS)))
    for change in CHANGES:
        cells = []
        for split in SPLITS:
            found = [
                (find_nuclei(p, um_per_px=model.um_per_px, **change), truth)
                for p, truth in maps[split]
            ]
            pixels = np.mean([dice(f > 0, t > 0) for f, t in found])
            nuclei = np.mean([aji(f, t) for f, t in found])
            share = sum(f.max() for f, _ in found) / sum(len(np.unique(t)) - 1 for _, t in found)
            cells.append(f"{pixels:.3f} {nuclei:.3f} {share:.2f}")
        name = ", ".join(f"{k} {v:g}" for k, v in change.items()) or "as shipped"
        print(table_row(name, *cells), flush=True)


if __name__ == "__main__":
    main()
