"""Tiny slides whose every coordinate is known."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

WIDTH, HEIGHT = 1536, 1280
MPP = 0.5


def coordinate_image(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Red rises with x, green with y; blue is constant: color tells place."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.full((height, width, 3), 128.0)
    image[..., 0] = 20.0 + 200.0 * (x + 0.5) / width
    image[..., 1] = 20.0 + 200.0 * (y + 0.5) / height
    return np.rint(image).astype(np.uint8)


def tissue_image(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """Pink disk with purple dots on off-white glass, as H&E tissue looks from afar."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (244.0, 242.0, 243.0))
    y, x = np.mgrid[0:height, 0:width]
    disk = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.4 * min(width, height)) ** 2
    image[disk] = (226.0, 160.0, 195.0)
    for cx, cy in rng.uniform((0, 0), (width, height), size=(900, 2)):
        x0, y0 = int(cx), int(cy)
        window = (slice(y0, y0 + 9), slice(x0, x0 + 9))
        image[window][disk[window]] = (105.0, 70.0, 145.0)
    image += rng.normal(0.0, 2.0, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def halve(image: np.ndarray) -> np.ndarray:
    height, width = (side // 2 for side in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def write_pyramid(
    path: Path,
    image: np.ndarray,
    *,
    mpp: float | None = MPP,
    levels: int = 3,
    compression: str | None = "jpeg",
    ome: bool = False,
) -> Path:
    """Write a tiled pyramid: pages one after another, or OME-TIFF with SubIFDs."""
    tags = {
        "tile": (256, 256),
        "photometric": "rgb",
        "compression": compression,
        "compressionargs": {"level": 95} if compression == "jpeg" else None,
    }
    if mpp is None:
        tags["resolutionunit"] = "none"
    else:
        tags |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "centimeter"}
    meta = {"axes": "YXS", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp} if ome else None
    with tifffile.TiffWriter(path, ome=ome) as writer:
        first = {"subifds": levels - 1} if ome else {}
        writer.write(image, metadata=meta, **first, **tags)
        level = image
        for _ in range(levels - 1):
            level = halve(level)
            if mpp is not None:
                scale = image.shape[1] / level.shape[1]
                tags["resolution"] = (1e4 / mpp / scale, 1e4 / mpp / scale)
            writer.write(level, metadata=None, subfiletype=1, **tags)
    return path


@pytest.fixture(scope="session")
def coordinate_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coordinates")
    return write_pyramid(folder / "coordinates.tiff", coordinate_image(), compression=None)


@pytest.fixture(scope="session")
def tissue_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("tissue") / "tissue.tiff", tissue_image())
