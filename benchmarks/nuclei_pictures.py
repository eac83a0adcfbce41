"""The pictures of docs/nuclei.md: the best and the worst unseen field, and liver.

    python -m benchmarks.nuclei_pictures --data DATA --out docs/images

Of images whose license is unknown (fatty liver) no pixel is shown: only the map, and where the
image is white, which is what fat droplets are; and how much of the white is marked is printed.
"""

from pathlib import Path

import numpy as np
from benchmarks.common import Arguments
from benchmarks.stain_pictures import sheet
from PIL import Image
from scipy import ndimage
from skimage.segmentation import find_boundaries

from jecur.nuclei.agreement import dice, find_nuclei
from jecur.nuclei.segmentation import WORKING_UM_PER_PX, NucleiModel
from jecur.training.nuclei.data import read_fields

SIDE = 320
GREEN, YELLOW, BLUE = (0, 255, 60), (255, 235, 0), (90, 170, 255)
CHOL_UM_PER_PX = 0.506
"""Read from the file names (..._506.jpg); nothing else says it."""
WHITE_OD = 0.12
"""Mean optical density below which a pixel is glass, or fat that was washed out."""


def outlined(rgb: np.ndarray, labels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    drawn = rgb.copy()
    drawn[find_boundaries(labels, mode="inner")] = color
    return drawn


def gray(nuclei: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(nuclei * 255).astype(np.uint8)[..., None], 3, axis=2)


def best_and_worst(data: Path, model: NucleiModel) -> Image.Image:
    fields = read_fields(data / "nuclei", "test_same_organ")
    maps = [model.probability(field.rgb[None])[0] for field in fields]
    scores = [dice(p >= 0.5, f.labels > 0) for p, f in zip(maps, fields, strict=True)]
    rows = []
    middle = np.s_[58 : 58 + SIDE, 58 : 58 + SIDE]
    for word, k in (("best", int(np.argmax(scores))), ("worst", int(np.argmin(scores)))):
        field, nuclei = fields[k], maps[k]
        found = find_nuclei(nuclei)
        rows.append(
            (
                f"{word}: {field.name}, Dice {scores[k]:.3f} (outlined by people | found | map)",
                [
                    outlined(field.rgb, field.labels, GREEN)[middle],
                    outlined(field.rgb, found, YELLOW)[middle],
                    gray(nuclei)[middle],
                ],
            )
        )
    return sheet(rows)


def at_working_scale(path: Path, mpp: float) -> np.ndarray:
    with Image.open(path) as image:
        size = tuple(round(n * mpp / WORKING_UM_PER_PX) for n in image.size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX))


def white(rgb: np.ndarray) -> np.ndarray:
    """Where nothing is stained, specks closed."""
    density = -np.log10((rgb.astype(float) + 1) / 256).mean(axis=2)
    return ndimage.binary_opening(density < WHITE_OD, iterations=2)


def liver(data: Path, model: NucleiModel) -> Image.Image:
    rows = []
    shown = []
    for path in sorted((data / "liver/tcga_chol").glob("*.jpg"))[:3]:
        rgb = at_working_scale(path, CHOL_UM_PER_PX)
        found = find_nuclei(model.probability(rgb[None])[0])
        found = np.asarray(Image.fromarray(found).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        large = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        shown.append(outlined(np.asarray(large), found, YELLOW))
    rows.append(("bile-duct cancer, TCGA-3X-AAVA: found, 1.4 times enlarged", shown))
    shown, marked, area = [], [], []
    for path in sorted((data / "liver/steatosis/images").glob("*.png")):
        rgb = at_working_scale(path, 0.25)
        nuclei, holes = model.probability(rgb[None])[0], white(rgb)
        inner = ndimage.binary_erosion(holes, iterations=2)
        marked.append((nuclei >= 0.5)[inner].mean())
        area.append(inner.mean())
        print(
            f"{path.name}: white {100 * area[-1]:.1f} % of the image, of it marked "
            f"{100 * marked[-1]:.2f} %; of the image marked {100 * (nuclei >= 0.5).mean():.1f} %"
        )
        drawn = gray(nuclei)
        drawn[find_boundaries(holes, mode="inner")] = BLUE
        shown.append(drawn[58 : 58 + SIDE, 58 : 58 + SIDE])
    print(f"all: of the white marked {100 * np.average(marked, weights=area):.2f} %")
    rows.append(("fatty liver: the map, white areas (fat, sinusoids) outlined in blue", shown[:3]))
    return sheet(rows)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = NucleiModel.load(threads=1)
    for name, draw in (("nuclei_best_worst", best_and_worst), ("nuclei_liver", liver)):
        draw(arguments.data, model).save(arguments.out / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
