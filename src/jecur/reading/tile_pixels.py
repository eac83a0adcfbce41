"""Pictures of the tiles under review: as scanned, with their surroundings, and in normalized colors.

Pixels are read again from the slide, at the scale of the scan. Where the slide is not found the run's
own picture (normalized colors, the pixels that were scored) is shown in their place, and said so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from jecur.cohort.csv_text import plain_text
from jecur.errors import SlideError
from jecur.explain.review import SHEET_FOLDER, KeyTile
from jecur.runs.pictures import jpeg_bytes
from jecur.slide.reader import Slide, open_slide
from jecur.viewer.kept_bytes import KeptBytes
from jecur.viewer.run_slides import file_inside, slide_folder
from jecur.viewer.same_slide import SeenSlide, open_same_slide, seen_slide
from jecur.viewer.slide_pool import SlidePool

__all__ = ["Picture", "TilePixels", "View"]

View = Literal["tile", "around", "normalized"]
_TILE_PX, _AROUND_PX = 512, 768
_AROUND = 2
"""Side of the surroundings, in tiles."""
_KEPT_BYTES = 2**21
"""Of pictures kept, some 60 KB each."""
_OPEN = 4
"""Slides open at a time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and whether its colors are those of the scan."""

    jpeg: bytes
    scanned: bool


@dataclass(frozen=True, slots=True)
class _SlideFile:
    path: Path
    mpp: float | None
    """Given by the user; None if it is the file's."""
    seen: SeenSlide


class TilePixels:
    """Reads pictures of tiles; safe for several threads.

    Parameters
    ----------
    run
        Root of the run folder.
    slides
        Folder of the slides, if they are no longer where the run found them.
    """

    def __init__(self, run: Path, slides: Path | None = None) -> None:
        self._run = run
        self._files = _slide_files(run, slides)
        self._slides = SlidePool(self._open, most=_OPEN)
        self._same: set[str] = set()
        """Slides that were found to be the run's."""
        self._kept: KeptBytes[Picture] = KeptBytes(_KEPT_BYTES, lambda picture: len(picture.jpeg))

    def has_slide(self, tile: KeyTile) -> bool:
        """Whether the slide is where it should be."""
        file = self._files.get(tile.slide)
        return tile.side_px > 0 and file is not None and file.path.exists()

    def picture(self, tile: KeyTile, view: View) -> Picture:
        """One picture of a tile.

        Raises
        ------
        SlideError
            If neither the slide nor the run's own picture can be read; for ``around``, if the slide cannot.
        """
        return self._kept.get((tile.name, view), lambda: self._read(tile, view))

    def close(self) -> None:
        """Let go of all slides."""
        self._slides.close()

    def _read(self, tile: KeyTile, view: View) -> Picture:
        if view == "normalized":
            return Picture(self._of_run(tile), scanned=False)
        try:
            return Picture(self._scanned(tile, around=view == "around"), scanned=True)
        except SlideError:
            if view == "around":
                raise
            return Picture(self._of_run(tile), scanned=False)

    def _scanned(self, tile: KeyTile, *, around: bool) -> bytes:
        if not self.has_slide(tile):
            raise SlideError("expected the slide of this tile, found none", code="missing-file")
        side = tile.side_px * (_AROUND if around else 1)
        margin = (side - tile.side_px) / 2
        corner = (tile.x - margin, tile.y - margin)
        with self._slides.borrow(tile.slide) as slide:
            return jpeg_bytes(slide.read_region(*corner, side, _AROUND_PX if around else _TILE_PX))

    def _open(self, name: str) -> Slide:
        file = self._files[name]
        if name in self._same:
            return open_slide(file.path, mpp=file.mpp)
        slide = open_same_slide(file.path, file.seen, mpp=file.mpp)
        self._same.add(name)
        return slide

    def _of_run(self, tile: KeyTile) -> bytes:
        try:
            return (self._run / SHEET_FOLDER / PurePosixPath(tile.name).name).read_bytes()
        except OSError as error:
            raise SlideError("expected the picture of this tile in the run, found none") from error


def _slide_files(run: Path, slides: Path | None) -> Mapping[str, _SlideFile]:
    """Slide -> its file, of those that lie inside the slide folder."""
    table, folder = run / "slides.csv", slide_folder(run, slides)
    if folder is None or not table.is_file():
        return {}
    frame = pd.read_csv(table, dtype=str, keep_default_na=False).map(plain_text)
    found = {}
    for row in frame.to_dict("records"):
        path = file_inside(folder, row.get("path", ""))
        if row.get("path") and path is not None:
            name, mpp = str(row["slide"]), row.get("mpp", "")
            given = row.get("mpp_source") == "override"
            found[name] = _SlideFile(
                path, float(mpp) if given else None, seen_slide(run / "slides" / name, row)
            )
    return found
