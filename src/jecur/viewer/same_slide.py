"""Whether the file that is found now is the slide that a run scored.

Scores lie at places of pixels. Over another slide that bears the same name (scanned again, exchanged,
exported anew) they would be shown at tissue that was never scored. Size and scale are held against the run's
table, pixels against its thumbnail; two slides of one size whose tissue has one color everywhere are not told
apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jecur.arrays import RGB
from jecur.errors import SlideError
from jecur.geometry import Size
from jecur.slide.reader import Slide, open_slide

__all__ = ["SeenSlide", "open_same_slide", "require_same_slide", "seen_slide"]

_LARGEST_SCALE_CHANGE = 1.01
_PATCH_PX, _CELL_PX = 16, 4
"""Side of a compared patch of the thumbnail, and of the squares that its means are taken of."""
_N_PATCHES = 5
_LARGEST_DIFFERENCE = 16.0
"""Mean difference of a patch's means, of 255, as between levels of one slide (jecur.slide.levels)."""


@dataclass(frozen=True, slots=True)
class SeenSlide:
    """What a run says of a slide.

    Parameters
    ----------
    size
        Level-0 pixels, of a core those of its window; (0, 0) if the run does not say.
    mpp
        Scale that the run took, micrometers per level-0 pixel; None if it does not say.
    thumbnail
        The run's picture of the slide, or of the core; a file that need not be there.
    window
        Level-0 pixels at which a core's window begins; None for a whole slide.
    """

    size: Size
    mpp: float | None
    thumbnail: Path
    window: tuple[float, float] | None = None


def seen_slide(folder: Path, row: Mapping[Any, str]) -> SeenSlide:
    """Read what a row of ``slides.csv`` says of its slide, whose pictures lie in ``folder``."""
    width, height = (int(float(row.get(side, "") or 0)) for side in ("width", "height"))
    x, _, y = row.get("origin", "").partition(" ")
    return SeenSlide(
        Size(width, height),
        float(row["mpp"]) if row.get("mpp") else None,
        folder / "thumbnail.png",
        (float(x), float(y)) if row.get("core") else None,
    )


def open_same_slide(path: Path, seen: SeenSlide, *, mpp: float | None) -> Slide:
    """Open the slide that a run read, to be closed by the caller.

    Raises
    ------
    SlideError
        Of `jecur.slide.reader.open_slide`, and of `require_same_slide`.
    """
    slide = open_slide(path, mpp=mpp)
    try:
        require_same_slide(slide, seen)
    except BaseException:
        slide.close()
        raise
    return slide


def require_same_slide(slide: Slide, seen: SeenSlide) -> None:
    """Refuse a slide that is not the one that the run read.

    Parameters
    ----------
    slide
        The whole slide, as it opens now.
    seen
        What the run says of it, or of a core on it.

    Raises
    ------
    SlideError
        With code "other-slide".
    """
    size, mpp, found = seen.size, seen.mpp, slide.size
    x, y = seen.window or (0.0, 0.0)
    fits = x + size.width <= found.width and y + size.height <= found.height
    if size != Size(0, 0) and not (fits if seen.window else size == found):
        where = f" at {x:g}, {y:g}" if seen.window else ""
        told = f"{size.width} x {size.height} px{where}"
        raise _other(slide, told, f"{found.width} x {found.height} px")
    if mpp is not None and max(mpp / slide.mpp, slide.mpp / mpp) > _LARGEST_SCALE_CHANGE:
        raise _other(slide, f"{mpp:.4g} um/px", f"{slide.mpp:.4g}")
    if seen.thumbnail.is_file():
        with Image.open(seen.thumbnail) as image:
            picture = np.asarray(image.convert("RGB"))
        if not _shows(slide.window(x, y, size) if seen.window else slide, picture):
            raise _other(slide, "the tissue of the run's picture", "other tissue")


def _shows(slide: Slide, picture: RGB) -> bool:
    """Whether the darkest patches of a picture of the whole slide are found at their places."""
    height, width, _ = picture.shape
    step = max(slide.size.width, slide.size.height) / max(height, width)
    corners = [
        (x, y)
        for y in range(0, height - _PATCH_PX + 1, _PATCH_PX)
        for x in range(0, width - _PATCH_PX + 1, _PATCH_PX)
    ]
    brightness = [picture[y : y + _PATCH_PX, x : x + _PATCH_PX].mean() for x, y in corners]
    for k in np.argsort(brightness, kind="stable")[:_N_PATCHES]:
        x, y = corners[k]
        try:
            now = slide.read_region(x * step, y * step, _PATCH_PX * step, _PATCH_PX)
        except SlideError:
            continue  # damaged: shown as such
        then = picture[y : y + _PATCH_PX, x : x + _PATCH_PX]
        if float(np.abs(_means(now) - _means(then)).mean()) > _LARGEST_DIFFERENCE:
            return False
    return True


def _means(patch: RGB) -> NDArray[np.float64]:
    n = _PATCH_PX // _CELL_PX
    means: NDArray[np.float64] = patch.reshape(n, _CELL_PX, n, _CELL_PX, 3).mean(axis=(1, 3))
    return means


def _other(slide: Slide, expected: str, found: str) -> SlideError:
    return SlideError(
        f"{slide.path.name}: expected {expected}, as when the run was made, found {found}: another slide "
        "of this name; put the run's own back, or run the same command again",
        code="other-slide",
    )
