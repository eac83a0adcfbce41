"""The table of baseline characteristics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from jecur.arrays import BoolVector
from jecur.printable import plain_number
from jecur.report.tables.table import Column, Table, Value, _unknown
from jecur.report.wording import NO_NUMBER, format_percent

__all__ = ["Factor", "baseline_table"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One clinical factor of the baseline table: text values, or numbers."""

    label: str
    values: Sequence[str | float | None]
    """One a patient; None or NaN if unknown."""
    levels: tuple[str, ...] = ()
    """Order of text levels; as they sort if empty."""
    unit: str = ""


def baseline_table(
    factors: Sequence[Factor], groups: Mapping[str, BoolVector], *, caption: str = ""
) -> Table:
    """Describe a cohort: counts and shares of levels, median and quartiles of numbers.

    Parameters
    ----------
    factors
        Each with one value a patient.
    groups
        (n,) masks by heading: all patients, high risk, low risk.
    caption
        Of the table.
    """
    rows: list[tuple[Value, ...]] = [
        ("Patients", "", *(str(int(mask.sum())) for mask in groups.values()))
    ]
    for factor in factors:
        rows += _factor_rows(factor, groups)
    columns = (
        Column("factor", "Factor", "text", itemgetter(0)),
        Column("level", "", "text", itemgetter(1)),
        *(Column(_key(name), name, "text", itemgetter(i)) for i, name in enumerate(groups, 2)),
    )
    note = "Counts with shares of the known values, or median with quartiles."
    return Table.of("baseline", caption or "Baseline characteristics", columns, rows, note)


def _factor_rows(factor: Factor, groups: Mapping[str, BoolVector]) -> list[tuple[Value, ...]]:
    known = [not _unknown(v) and v != "" for v in factor.values]
    label = f"{factor.label} ({factor.unit})" if factor.unit else factor.label
    rows: list[tuple[Value, ...]] = []
    texts = any(isinstance(v, str) for v, k in zip(factor.values, known, strict=True) if k)
    if texts:
        present = {str(v) for v, k in zip(factor.values, known, strict=True) if k}
        for level in factor.levels or tuple(sorted(present)):
            shares = (_share(factor, level, known, mask) for mask in groups.values())
            rows.append((label, level, *shares))
            label = ""
    else:
        rows.append((label, "", *(_quartiles(factor, known, mask) for mask in groups.values())))
    missing = [int(sum(not k for k, m in zip(known, g, strict=True) if m)) for g in groups.values()]
    if any(missing):
        rows.append(("", "unknown", *(str(n) for n in missing)))
    return rows


def _share(factor: Factor, level: str, known: Sequence[bool], mask: BoolVector) -> str:
    inside = [v for v, k, m in zip(factor.values, known, mask, strict=True) if k and m]
    count = sum(str(v) == level for v in inside)
    return f"{count} ({format_percent(count / len(inside))})" if inside else "0"


def _quartiles(factor: Factor, known: Sequence[bool], mask: BoolVector) -> str:
    inside = [
        float(v)
        for v, k, m in zip(factor.values, known, mask, strict=True)
        if k and m and v is not None
    ]
    if not inside:
        return NO_NUMBER
    low, middle, high = (plain_number(q, 3) for q in np.quantile(inside, [0.25, 0.5, 0.75]))
    return f"{middle} ({low}–{high})"


def _key(heading: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in heading.lower()).split())
