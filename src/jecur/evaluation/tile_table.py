"""Read what a pathologist recorded in tiles of high and of low score."""

from pathlib import Path

import numpy as np

from jecur.arrays import Vector
from jecur.cohort.table import name_rows, read_table
from jecur.errors import TableError
from jecur.settings import StatisticsSettings
from jecur.statistics.tile_features import TileFeatures, compare_tile_features

__all__ = ["read_tile_features"]

END = "end"
PATIENT = "patient_id"
_NOT_FEATURES = {END, PATIENT, "tile", "slide", "x", "y", "side_um", "score", "file"}


def read_tile_features(path: Path, settings: StatisticsSettings) -> TileFeatures:
    """Read a table of tiles and compare the features of the two ends.

    One row a tile: ``patient_id``, ``end`` (``high`` or ``low``), and a column for each feature with
    1 (seen), 0 (not seen) or nothing (not judged). Columns that say where a tile lies are skipped.

    Raises
    ------
    TableError
        If a column is absent, an end is neither, or a cell is neither 0 nor 1; names rows.
    """
    table = read_table(path)
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
