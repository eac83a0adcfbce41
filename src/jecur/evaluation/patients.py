"""From patients and their covariates to what the statistics and the report take."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector
from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.csv_text import csv_rows, csv_text
from jecur.report.tables.baseline import Factor, baseline_table
from jecur.report.tables.table import Table
from jecur.runs.folder import RunFolder, write_text
from jecur.settings import Covariate
from jecur.statistics.results import CovariateColumn, factor_name

__all__ = [
    "competing_of",
    "covariate_columns",
    "describe_patients",
    "write_exclusions",
    "write_follow_up",
]


def covariate_columns(
    covariates: Sequence[Covariate], patients: Sequence[Patient]
) -> tuple[CovariateColumn, ...]:
    """Turn the study's covariates into columns over patients."""
    return tuple(
        CovariateColumn(
            name=factor_name(c.column),
            label=c.label or c.column,
            kind=c.kind,
            values=tuple(p.covariates[c.column] for p in patients),
            levels=c.levels,
            unit=c.unit or None,
            cut=c.split_at,
            scale=c.scale,
            per=c.per,
        )
        for c in covariates
    )


def competing_of(patients: Sequence[Patient], *, declared: bool) -> BoolVector | None:
    """Who died without the event, (n,); None unless the study declares that a competing risk."""
    return np.array([p.competing for p in patients], dtype=np.bool_) if declared else None


def describe_patients(
    covariates: Sequence[Covariate],
    patients: Sequence[Patient],
    high_risk: BoolVector,
    caption: str,
) -> Table | None:
    """Table of who was studied, all and by risk; None without covariates or patients."""
    if not covariates or not patients:
        return None
    factors = [
        Factor(c.label or c.column, [p.covariates[c.column] for p in patients], c.levels, c.unit)
        for c in covariates
    ]
    everybody = np.ones(len(patients), dtype=bool)
    groups = {"All": everybody, "High risk": high_risk, "Low risk": ~high_risk}
    return baseline_table(factors, groups, caption=caption)


def write_follow_up(patients: Sequence[Patient], run: RunFolder) -> None:
    """Write ``follow_up.csv``: months and event of who was analyzed (1 event, 0 none, 2 competing)."""
    rows = [
        (p.id, repr(float(p.months)), 1 if p.event else 2 if p.competing else 0) for p in patients
    ]
    write_text(run.root / "follow_up.csv", csv_rows(("patient_id", "months", "event"), rows))


def write_exclusions(excluded: Sequence[Exclusion], run: RunFolder) -> None:
    """Write ``exclusions.csv``: who was left out, and why."""
    rows = [{"patient_id": e.patient, "role": e.role, "reason": e.reason} for e in excluded]
    frame = pd.DataFrame(rows, columns=["patient_id", "role", "reason"])
    write_text(run.root / "exclusions.csv", csv_text(frame))
