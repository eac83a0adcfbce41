"""The map of a tissue array as a file: CSV or GeoJSON, written, corrected by people, read again.

The CSV has one row a core: ``core_id, row, column, x_px, y_px, diameter_px, present, coverage,
patient_id``; ``x_um, y_um, diameter_um`` are read in place of the pixels. ``patient_id`` joins cores
to patients and is filled in by people.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from jecur.cohort.csv_text import csv_rows
from jecur.cohort.table import Table, name_rows, read_table
from jecur.errors import TableError
from jecur.geometry import Core, CoreMap

__all__ = ["core_map_csv", "core_map_geojson", "read_core_map"]

_HEADING = ("core_id", "row", "column", "x_px", "y_px", "diameter_px", "present", "coverage",
            "patient_id")  # fmt: skip
_PRESENT = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PLACE = re.compile(r"([A-Z]{1,2})-?([0-9]{1,3})")
_CORNERS = 64
_MOST_BYTES = 64 * 2**20
_MISSING_CLASS = "Missing core"


def core_map_csv(cores: CoreMap) -> str:
    """Write a map in level-0 pixels as CSV text that `read_core_map` reads."""
    if cores.unit != "px":
        raise ValueError("a map is written in pixels")
    return csv_rows(
        _HEADING,
        (
            (c.id, c.row, c.column, c.x, c.y, c.diameter, "yes" if c.present else "no",
             "" if c.coverage is None else c.coverage, c.patient)
            for c in cores.cores
        ),
    )  # fmt: skip


def core_map_geojson(cores: CoreMap) -> dict[str, Any]:
    """Write a map in level-0 pixels as circles that QuPath shows, moves and exports again.

    The name of a circle is the core's id; its class is "Core" or "Missing core".
    """
    turn = np.linspace(0, 2 * np.pi, _CORNERS + 1)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    circle[-1] = circle[0]
    features = []
    for c in cores.cores:
        ring = np.round(circle * c.diameter / 2 + (c.x, c.y), 2).tolist()
        properties = {
            "objectType": "annotation",
            "name": c.id,
            "classification": {"name": "Core" if c.present else _MISSING_CLASS},
            "metadata": {"row": str(c.row), "column": str(c.column), "patient_id": c.patient},
        }
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def read_core_map(path: Path) -> CoreMap:
    """Read a map of cores.

    Parameters
    ----------
    path
        ``.geojson`` or ``.json`` as `core_map_geojson` or QuPath's tissue-array export writes it,
        else a table.

    Raises
    ------
    TableError
        Naming the file, the column and the rows or cores.
    """
    if path.suffix.lower() in {".geojson", ".json"}:
        cores = CoreMap(tuple(_core_of_feature(path, f) for f in _features(path)), "px")
    else:
        cores = _from_table(read_table(path, fixed_headings=True))
    _check(path.name, cores.cores)
    return cores


def _from_table(table: Table) -> CoreMap:
    columns = set(table.frame.columns)
    unit = "um" if "x_um" in columns else "px"
    if {"x_um", "x_px"} <= columns:
        raise TableError(
            f"{table.name}: expected centers in x_px and y_px or in x_um and y_um, found both; "
            "delete one pair"
        )
    ids = table.identifiers("core_id", "core")
    row, column = _counts(table, "row"), _counts(table, "column")
    x, y, diameter = (
        _needed(table, f"{name}_{unit}", "place of the core") for name in ("x", "y", "diameter")
    )
    present = _present(table)
    patient = (
        table.identifiers("patient_id", "patient")
        if "patient_id" in columns
        else pd.Series("", index=ids.index)
    )
    coverage = (
        table.numbers("coverage", "share of tissue", ("",))
        if "coverage" in columns
        else pd.Series(float("nan"), index=ids.index)
    )
    cores = tuple(
        Core(
            id=str(ids[i]),
            row=row[i],
            column=column[i],
            x=float(x[i]),
            y=float(y[i]),
            diameter=float(diameter[i]),
            present=present[i],
            coverage=None if pd.isna(coverage[i]) else float(coverage[i]),
            patient=str(patient[i]),
        )
        for i in ids.index
    )
    return CoreMap(cores, "um" if unit == "um" else "px")


def _needed(table: Table, name: str, purpose: str) -> pd.Series:
    return table.numbers(name, purpose, ())


def _counts(table: Table, name: str) -> dict[int, int]:
    numbers = _needed(table, name, "place on the grid")
    bad = numbers.index[(numbers != numbers.round()) | (numbers < 1) | (numbers > 10_000)]
    if len(bad):
        raise TableError(
            f"{table.name}: expected whole numbers from 1 in column '{name}', found "
            f"{numbers[bad[0]]:g} in {name_rows(bad)}; correct them"
        )
    return {int(i): int(value) for i, value in numbers.items()}


def _present(table: Table) -> dict[int, bool]:
    text = table.column("present", "core being there").str.lower()
    odd = text[~text.isin(_PRESENT)]
    if len(odd):
        raise TableError(
            f"{table.name}: expected yes or no in column 'present', found {odd.iloc[0]!r} in "
            f"{name_rows(odd.index)}; correct them"
        )
    return {int(i): _PRESENT[value] for i, value in text.items()}


def _features(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TableError(f"{path.name}: expected a map below 64 MiB; export the cores alone")
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise TableError(f"expected a map of cores at {path.name}, found none") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TableError(f"{path.name}: expected GeoJSON, found: {error}; export again") from error
    features = found.get("features") if isinstance(found, dict) else found
    if not isinstance(features, list) or not features:
        raise TableError(f"{path.name}: expected GeoJSON features, found none; export the cores")
    return features


def _core_of_feature(path: Path, feature: Any) -> Core:  # noqa: ANN401 - any JSON
    try:
        properties = feature["properties"]
        name = properties["name"]
        ring = np.asarray(feature["geometry"]["coordinates"][0], dtype=np.float64)
        low, high = ring[:, :2].min(axis=0), ring[:, :2].max(axis=0)
        place = _place(str(name), properties.get("metadata") or {})
        kind = (properties.get("classification") or {}).get("name")
        missing = bool(properties.get("isMissing", False)) or kind == _MISSING_CLASS
        patient = str((properties.get("metadata") or {}).get("patient_id", ""))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise TableError(
            f"{path.name}: expected circles with the core's id as name (such as B-3), found a "
            f"feature without ({error}); export the corrected map again"
        ) from error
    x, y = ((low + high) / 2).tolist()
    diameter = float((high - low).mean())
    return Core(
        str(name), *place, x=x, y=y, diameter=diameter, present=not missing, patient=patient
    )


def _place(name: str, metadata: dict[str, Any]) -> tuple[int, int]:
    if "row" in metadata and "column" in metadata:
        return int(metadata["row"]), int(metadata["column"])
    found = _PLACE.fullmatch(name)
    if not found:
        raise ValueError(name)
    row = 0
    for letter in found[1]:
        row = 26 * row + ord(letter) - ord("A") + 1
    return row, int(found[2])


def _check(name: str, cores: Iterable[Core]) -> None:
    seen: set[str] = set()
    for core in cores:
        if not _ID.fullmatch(core.id):
            raise TableError(
                f"{name}: expected ids of letters, digits, '-', '_' and '.' in column 'core_id', "
                f"found {core.id!r}; rename the core"
            )
        if core.id.lower() in seen:
            raise TableError(
                f"{name}: expected every core once, found {core.id!r} twice; delete one row",
                code="duplicate-core",
            )
        seen.add(core.id.lower())
        if not (np.isfinite([core.x, core.y]).all() and 0 < core.diameter < 1e7):
            raise TableError(
                f"{name}: expected a center and a diameter above 0 for core {core.id}, found "
                f"{core.x:g}, {core.y:g} and {core.diameter:g}; correct them"
            )
