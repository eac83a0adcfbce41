"""Table 2 and Figure 5A: Cox models of the clinical factors, coded as in docs/tcga.md, and the classifier."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Vector
from jecur.cohort.tcga.endpoint import EVENT
from jecur.errors import JecurError
from jecur.survival.cox import HazardRatio, fit_cox

__all__ = ["adjusted", "coded", "univariable"]

_MODELS = (
    ("age",),
    ("male",),
    ("afp",),
    ("no_invasion",),
    ("stage_2", "stage_34"),
    ("high_risk",),
)
_BESIDE = ("stage_2", "stage_34", "afp", "poor_grade", "no_invasion")


def coded(frame: pd.DataFrame, high_risk: Mapping[str, bool]) -> dict[str, Vector]:
    """Code the columns of the cohort's table as numbers.

    Parameters
    ----------
    frame
        One row a patient.
    high_risk
        Patient -> group, of those who were scored.

    Returns
    -------
    dict
        Term -> (n,) value; NaN where unknown.
    """

    def indicator(column: str, *levels: str) -> Vector:
        text = frame[column]
        known = text != ""
        values: Vector = text.isin(levels).astype(float).where(known).to_numpy(np.float64)
        return values

    return {
        "age": frame["age"].to_numpy(np.float64),
        "male": indicator("sex", "Male"),
        "afp": indicator("afp_positive", "yes"),
        "no_invasion": indicator("any_vascular_invasion", "no"),
        "stage_2": indicator("stage_group", "II"),
        "stage_34": indicator("stage_group", "III/IV"),
        "poor_grade": indicator("grade", "G3", "G4"),
        "high_risk": np.array(
            [float(high_risk[p]) if p in high_risk else np.nan for p in frame["patient_id"]]
        ),
    }


def univariable(frame: pd.DataFrame, high_risk: Mapping[str, bool]) -> dict[str, HazardRatio | str]:
    """Fit every row of Table 2 that can be; else the reason."""
    found: dict[str, HazardRatio | str] = {}
    for terms in _MODELS:
        found |= _fit(frame, coded(frame, high_risk), terms)
    return found


def adjusted(frame: pd.DataFrame, high_risk: Mapping[str, bool]) -> HazardRatio | str:
    """Hazard ratio of the classifier beside stage, AFP, grade and vascular invasion."""
    terms = ("high_risk", *_BESIDE)
    return _fit(frame, coded(frame, high_risk), terms)["high_risk"]


def _fit(
    frame: pd.DataFrame, columns: Mapping[str, Vector], terms: tuple[str, ...]
) -> dict[str, HazardRatio | str]:
    months = frame["time"].to_numpy(np.float64)
    event: BoolVector = (frame["event"] == EVENT).to_numpy(np.bool_)
    design = np.column_stack([columns[term] for term in terms])
    known = np.isfinite(design).all(axis=1)
    if not known.any():
        return dict.fromkeys(terms, "nobody with all of its values")
    try:
        model = fit_cox(design[known], months[known], event[known], names=terms)
    except JecurError as error:
        return dict.fromkeys(terms, error.message)
    return dict(zip(terms, model.hazard_ratios(), strict=True))
