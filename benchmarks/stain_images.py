"""The real images that the stain measurements look at, as pixels with a kind.

Kinds: ``he`` (hematoxylin and eosin), ``ink`` (H&E with pen or glass in the field), ``wrong-color``
(H&E shown in wrong colors), ``purple`` (one purple stain), ``ihc``, ``blue`` and ``fluorescence``.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import Image

from jecur.stain.optical_density import mean_optical_density

SIDE = 3000


def read_image(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def read_slide(path: Path) -> np.ndarray:
    with openslide.OpenSlide(str(path)) as slide:
        x = int(slide.properties.get("openslide.bounds-x", 0))
        y = int(slide.properties.get("openslide.bounds-y", 0))
        width, height = (min(SIDE, n) for n in slide.dimensions)
        rgba = np.asarray(slide.read_region((x, y), 0, (width, height)))
    rgb = rgba[..., :3].copy()
    rgb[rgba[..., 3] == 0] = 255
    return rgb


def read_tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        pixels = tiff.series[0].asarray()
    return np.moveaxis(pixels, 0, -1) if pixels.shape[0] == 3 else pixels


def images(data: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (name, kind, (h, w, 3) uint8)."""
    for path in sorted((data / "stain").glob("*.png")):
        yield path.name, "he", read_image(path)
    for path in sorted((data / "nuclei/monuseg2018_train/images").iterdir()):
        yield path.name, "he", read_image(path)
    for path in sorted((data / "nuclei/cpm15/images").iterdir()):
        yield path.name, "he", read_image(path)
    yield from dsb2018(data / "nuclei/dsb2018_brightfield")
    for path in sorted((data / "liver").glob("steatosis/images/*.png")):
        yield path.name, "he", read_image(path)
    for path in sorted((data / "liver/tcga_chol").glob("*.jpg")):
        yield path.name, "he", read_image(path)
    yield from slides(data / "slides")


def dsb2018(folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    with (folder / "index.csv").open() as lines:
        for row in csv.DictReader(lines):
            name = row.get("file") or row.get("image") or next(iter(row.values()))
            found = list((folder / "images").glob(f"{Path(name).stem}*"))
            kind = "he" if row["stain_group"] == "HE" else "purple"
            if found:
                yield f"dsb_{Path(name).stem[:12]}", kind, read_image(found[0])


def slides(folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    for pattern, kind, read in (
        ("svs_cmu1_small_region/*.svs", "he", read_slide),
        ("tiff_bracs_cropped_bogus_mpp/*.tiff", "he", read_slide),
        ("constructed/constructed_HE.ndpi", "he", read_slide),
        ("tma/*.jp*g", "he", read_image),
        ("qc/slide.jpeg", "he", read_image),
        ("qc/blur_patch_1_2.jpeg", "he", read_image),
        ("qc/histoqc_pen/*", "ink", read_image),
        ("qc/histolab_pen/*", "ink", read_image),
        ("qc/histoqc_coverslip/*", "ink", read_image),
        ("ome_tiff_ki67_ihc_nonHE/*.tif", "ihc", read_tiff),
        ("dicom_google_nonHE/raw/*", "blue", read_slide),
        ("ndpi_fluorescence_nonHE/*.ndpi", "fluorescence", read_slide),
    ):
        for path in sorted(folder.glob(pattern)):
            if "mask" not in path.name and path.suffix not in (".md", ".txt"):
                yield path.name, kind, read(path)
    wrong = sorted((folder / "dicom_cmu1_pyramid_wrong_colour/cmu-1-small-region").glob("*"))
    largest = max(wrong, key=lambda path: path.stat().st_size)
    yield largest.name, "wrong-color", read_slide(largest)


def tissue(rgb: np.ndarray, n: int, threshold: float = 0.15) -> np.ndarray:
    """Up to ``n`` pixels above ``threshold`` mean optical density, (m, 3), a fixed draw."""
    pixels = rgb.reshape(-1, 3)
    pixels = pixels[mean_optical_density(pixels) > threshold]
    return pixels[np.random.default_rng(0).permutation(len(pixels))[:n]]
