"""Write the TCGA-LIHC cohort: the table, a study file that reads it, and who was left out."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jecur.cohort.csv_text import csv_text
from jecur.cohort.tcga.endpoint import endpoint_settings
from jecur.cohort.tcga.lihc import TcgaCohort
from jecur.errors import RunFolderError
from jecur.runs.folder import write_text
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    StudySettings,
    TcgaSettings,
    write_study,
)

__all__ = ["TcgaOutput", "tcga_study", "write_tcga"]


@dataclass(frozen=True, slots=True)
class TcgaOutput:
    """Files written."""

    table: Path
    study: Path
    exclusions: Path


def tcga_study(cohort: TcgaCohort, settings: TcgaSettings, table: str) -> StudySettings:
    """Study settings that read the written table as it is meant."""
    slide = "slide" if "slide" in cohort.frame else ""
    unknown = ("",)
    return StudySettings(
        name="TCGA-LIHC",
        cohort=CohortSettings(
            endpoint=endpoint_settings(settings.endpoint),
            table=table,
            columns=ColumnSettings(role="", slide=slide, site="site"),
            missing_values=unknown,
            covariates=(
                Covariate(column="age", label="Age", unit="years", missing_values=unknown),
                _factor("sex", "Sex", ("Female", "Male")),
                _factor("afp_positive", f"AFP > {settings.afp_cut:g} ng/ml", ("no", "yes")),
                _factor("any_vascular_invasion", "Vascular invasion", ("no", "yes")),
                _factor("stage_group", "AJCC stage", ("I", "II", "III/IV")),
                _factor("grade", "Grade", ("G1", "G2", "G3", "G4")),
            ),
        ),
    )


def _factor(column: str, label: str, levels: tuple[str, ...]) -> Covariate:
    return Covariate(
        column=column, label=label, kind="categorical", levels=levels, missing_values=("",)
    )


def write_tcga(cohort: TcgaCohort, settings: TcgaSettings, out: Path) -> TcgaOutput:
    """Write the table, and beside it the study file and the exclusions.

    Parameters
    ----------
    out
        The table, ``.csv``. The study file is ``study.toml`` beside ``cohort.csv``, else named
        after the table.

    Raises
    ------
    RunFolderError
        If ``out`` is no CSV name, or another study file is already there: it may be edited.
    """
    if out.suffix.lower() != ".csv":
        raise RunFolderError(f"expected --out to name a .csv file, found {out.name}; rename it")
    before = "" if out.name == "cohort.csv" else f"{out.stem}."
    study = out.with_name(f"{before}study.toml")
    text = write_study(tcga_study(cohort, settings, out.name))
    if study.exists() and study.read_text(encoding="utf-8") != text:
        raise RunFolderError(
            f"expected no other {study.name} beside {out.name}, found one; move it or choose "
            "another --out",
            code="study-exists",
        )
    rows = [(e.patient, e.reason) for e in cohort.excluded]
    left_out = pd.DataFrame(rows, columns=["patient_id", "reason"])
    return TcgaOutput(
        table=write_text(out, csv_text(cohort.frame)),
        study=write_text(study, text),
        exclusions=write_text(out.with_name(f"{before}exclusions.csv"), csv_text(left_out)),
    )
