"""Read what a pathologist recorded in tiles of high and of low score."""

from pathlib import Path

import numpy as np

from jecur.arrays import Vector
from jecur.cohort.table import Table, name_rows, read_table
from jecur.errors import TableError
from jecur.explain.review import KEY, key_folder, read_key
from jecur.explain.review_sheet import CANNOT_JUDGE, read_sheet
from jecur.settings import StatisticsSettings
from jecur.statistics.tile_features import TileFeatures, compare_tile_features

__all__ = ["read_tile_features"]

END = "end"
PATIENT = "patient_id"
_NOT_FEATURES = {END, PATIENT, "tile", "slide", "x", "y", "side_um", "score", "file"}


def read_tile_features(
    path: Path, settings: StatisticsSettings, *, key: Path | None = None
) -> TileFeatures:
    """Read a table of tiles and compare the features of the two ends.

    One row a tile: ``patient_id``, ``end`` (``high`` or ``low``), and a column for each feature with
    1 (seen), 0 (not seen) or nothing (not judged). Columns that say where a tile lies are skipped.
    A filled review sheet (``tile`` and features alone) is joined with its key first.

    Parameters
    ----------
    path
        The table.
    settings
        Level, correction, seed.
    key
        Of a review sheet; if left out, the one of the run whose ``review`` the sheet lies in.

    Raises
    ------
    TableError
        If a column is absent, an end is neither, or a cell is neither 0 nor 1; names rows.
    """
    table = read_table(path, fixed_headings=True)
    if "tile" in table.frame.columns and END not in table.frame.columns:
        return _of_review_sheet(path, table, settings, key)
    end = table.column(END, "end of a tile (high or low)")
    odd = end[~end.isin(("high", "low"))]
    if len(odd):
        raise TableError(
            f"{table.name}: expected 'high' or 'low' in column '{END}', found {odd.iloc[0]!r} in "
            f"{name_rows(odd.index)}"
        )
    patient = table.identifiers(PATIENT, "patient of a tile")
    names = [str(c) for c in table.frame.columns if c not in _NOT_FEATURES]
    if not names:
        raise TableError(
            f"{table.name}: expected a column for each feature, found none beside "
            f"{', '.join(sorted(_NOT_FEATURES & set(table.frame.columns)))}"
        )
    features: dict[str, Vector] = {}
    for name in names:
        values = table.numbers(name, "feature", ("", "NA"))
        odd = values[values.notna() & ~values.isin((0, 1))]
        if len(odd):
            raise TableError(
                f"{table.name}: expected 0, 1 or nothing in column '{name}', found "
                f"{odd.iloc[0]:g} in {name_rows(odd.index)}"
            )
        features[name] = values.to_numpy(dtype=np.float64)
    high = (end == "high").to_numpy(dtype=np.bool_)
    return compare_tile_features(features, high, patient.to_numpy(dtype=str), settings)


def _of_review_sheet(
    path: Path, table: Table, settings: StatisticsSettings, key: Path | None
) -> TileFeatures:
    """Join a sheet that a reviewer filled in with the key that says where each tile is from."""
    here = path.resolve().parent
    beside = (key,) if key else (key_folder(here.parent) / KEY, here / KEY)
    found = next((place for place in beside if place is not None and place.is_file()), None)
    if found is None:
        raise TableError(
            f"{table.name}: expected the key of this review sheet, found none at {beside[0]}; name it "
            "with --tile-key (RUN/private/review/key.csv)",
            code="no-key",
        )
    tiles = read_key(found)
    names = [str(c) for c in table.frame.columns if c not in {*_NOT_FEATURES, "comment"}]
    given = read_sheet(path, [tile.name for tile in tiles], names)
    features = {name: np.where(v == CANNOT_JUDGE, np.nan, v) for name, v in given.items()}
    high = np.array([tile.end == "high" for tile in tiles], dtype=np.bool_)
    patient = np.array([tile.patient for tile in tiles], dtype=str)
    return compare_tile_features(features, high, patient, settings)
