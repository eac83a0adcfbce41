"""The pictures of docs/color.md, from virtual slides: four laboratories, four methods, augmentation.

python -m benchmarks.stain_pictures docs/images
"""

from pathlib import Path

import numpy as np
from benchmarks.common import Arguments
from PIL import Image, ImageDraw, ImageFont

from jecur.settings import StainSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.stain import builtin_reference, fit_normalizer
from jecur.stain.augmentation import augment_stain

SIDE, SHOWN, GAP, LABEL = 1024, 224, 6, 22
METHODS = ("vahadane", "macenko", "reinhard", "iche")


def laboratories(n: int) -> list[np.ndarray]:
    """The same tissue as ``n`` laboratories would stain it."""
    images = []
    for k in range(n):
        rng = np.random.default_rng([21, k])
        site = site_stain(rng, angle_deg=9.0, intensity_sd=0.3)
        stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
        tissue = render_tissue(
            TissueFeatures(0.35, 0.5, 0.4, 0.25), (SIDE, SIDE), 0.5, np.random.default_rng(21)
        )
        images.append(render_rgb(tissue, stain, rng))
    return images


def sheet(rows: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    """Rows of square images of one size, each row under its label."""
    font, side = ImageFont.load_default(15), len(rows[0][1][0])
    width = GAP + len(rows[0][1]) * (side + GAP)
    picture = Image.new("RGB", (width, len(rows) * (side + LABEL + GAP)), "white")
    draw = ImageDraw.Draw(picture)
    for i, (label, images) in enumerate(rows):
        top = i * (side + LABEL + GAP)
        draw.text((GAP, top + 2), label, fill="black", font=font)
        for j, image in enumerate(images):
            picture.paste(Image.fromarray(image), (GAP + j * (side + GAP), top + LABEL))
    return picture


def main(out: Path) -> None:
    slides = laboratories(4)
    middle = np.s_[400 : 400 + SHOWN, 400 : 400 + SHOWN]
    rows = [("as scanned: one tissue, four laboratories", [image[middle] for image in slides])]
    for method in METHODS:
        settings = StainSettings(method=method)
        fits = [fit_normalizer(s.reshape(-1, 3), settings, builtin_reference()) for s in slides]
        rows.append(
            (method, [f.apply(s[middle][None])[0] for f, s in zip(fits, slides, strict=True)])
        )
    sheet(rows).save(out / "color_methods.jpg", quality=88)

    normal = rows[1][1][0]
    drawn = augment_stain(
        np.repeat(normal[None], 4, axis=0),
        builtin_reference().appearance.stains,
        rng=np.random.default_rng(3),
    )
    sheet([("one normalized tile, four draws of the augmentation", list(drawn))]).save(
        out / "color_augmentation.jpg", quality=88
    )


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_argument("out", type=Path)
    main(parser.parse_args().out)
