"""Nuclear features of every tile of a run's slides: one Parquet table beside each slide's tiles."""

from pathlib import Path

import numpy as np
import pandas as pd

from jecur.cohort.csv_text import plain_text
from jecur.errors import RunFolderError
from jecur.mil.bag import bag_file, open_bag
from jecur.nuclei.features import NuclearFeatures, nuclear_feature_table
from jecur.runs.folder import BAG_FILES, RunFolder, atomic_path
from jecur.study.measured import NUCLEI_OF_TILES

__all__ = ["failed_slides", "slides_with_bags", "write_nuclear_features"]

_BLOCK = 64


def slides_with_bags(run: RunFolder) -> list[Path]:
    """Folders of the prepared slides of a run.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    slides = run.slides or run.root / "slides"
    failed = failed_slides(run)
    folders = sorted({path.parent for name in BAG_FILES for path in slides.rglob(name)})
    folders = [f for f in folders if f.relative_to(slides).as_posix() not in failed]
    if not folders:
        raise RunFolderError(
            f"expected prepared slides under {run.root}, found none with their tiles; name the folder of a "
            "run, or score with --keep-tiles"
        )
    return folders


def failed_slides(run: RunFolder) -> set[str]:
    """Slides that failed when they were last prepared; tiles of theirs are of a file before."""
    table = run.root / "slides.csv"
    if not table.is_file():
        return set()
    frame = pd.read_csv(table, dtype=str, keep_default_na=False).map(plain_text)
    return set(frame.loc[frame["status"] == "failed", "slide"])


def write_nuclear_features(folder: Path) -> Path:
    """Write ``nuclei.parquet`` of one slide: place of each tile, and `NuclearFeatures`.

    Reads the bag in blocks: memory does not grow with the slide.
    """
    bag = open_bag([bag_file(folder)])
    rows = [nuclear_feature_table(tiles) for tiles in bag.batches(_BLOCK)]
    measured = pd.DataFrame(np.concatenate(rows), columns=list(NuclearFeatures.names()))
    places = pd.read_parquet(folder / "tiles.parquet", columns=["x", "y", "side_px"])
    path = folder / NUCLEI_OF_TILES
    with atomic_path(path) as temporary:
        pd.concat([places.reset_index(drop=True), measured], axis=1).to_parquet(
            temporary, index=False
        )
    return path
