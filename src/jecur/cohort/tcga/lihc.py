"""The TCGA-LIHC cohort from the files as downloaded, and who was left out, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.cohort.cohort import Exclusion
from jecur.cohort.table import Table
from jecur.cohort.tcga.endpoint import (
    COMPETING,
    EVENT,
    biotab_days,
    biotab_endpoint,
    cbioportal_endpoint,
    cdr_endpoint,
    contradictions,
)
from jecur.cohort.tcga.files import MISSING, read_cbioportal_patients, read_cdr, read_manifest
from jecur.errors import SettingsError
from jecur.settings import TcgaSettings

__all__ = ["TcgaCohort", "TcgaFiles", "TcgaStep", "read_tcga_lihc"]

_HCC = "Hepatocellular Carcinoma"
_TEXTS = {
    "sex": "SEX",
    "histology": "HISTOLOGICAL_DIAGNOSIS",
    "grade": "GRADE",
    "residual": "RESIDUAL_TUMOR",
    "stage": "AJCC_PATHOLOGIC_TUMOR_STAGE",
    "vascular_invasion": "VASCULAR_INVASION",
    "child_pugh": "CHILD_PUGH_CLASSIFICATION",
    "ishak": "ISHAK_FIBROSIS_SCORE",
    "surgery": "DEFINITIVE_SURGICAL_PROCEDURE",
    "neoadjuvant": "HISTORY_NEOADJUVANT_TRTYN",
    "prior_malignancy": "HISTORY_OTHER_MALIGNANCY",
    "tumor_status": "TUMOR_STATUS",
}
_NUMBERS = {"age": "AGE", "afp": "AFP_AT_PROCUREMENT", "afp_upper_limit": "AFP_NORM_RANGE_UPPER"}


@dataclass(frozen=True, slots=True)
class TcgaFiles:
    """Where the downloaded files are."""

    cbioportal: Path
    """Study folder or ``data_clinical_patient.txt``."""
    biotab: Path | None = None
    """Folder of the BCR biotab tables."""
    cdr: Path | None = None
    """TCGA-CDR, supplementary table S1."""
    manifest: Path | None = None
    """GDC manifest of slides."""
    by_file_id: bool = False
    """Slides lie in folders named by file id, as the GDC's download tool makes them."""


@dataclass(frozen=True, slots=True)
class TcgaStep:
    """One step of the flow of exclusions."""

    reason: str
    excluded: int
    left: int
    events: int
    """Among those left."""


@dataclass(frozen=True, slots=True)
class TcgaCohort:
    """Patients, and how they came to be these.

    Parameters
    ----------
    frame
        One row a patient: patient_id, slide, site, time, event, covariates; "" where unknown.
    flow
        Steps in order; the first excludes no patient.
    excluded
        Everybody left out, with the reason.
    unknown
        Column -> code of the source file -> patients of the cohort for whom it is left empty.
    notes
        Where the files disagree.
    """

    frame: pd.DataFrame
    flow: tuple[TcgaStep, ...]
    excluded: tuple[Exclusion, ...]
    unknown: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]

    @property
    def events(self) -> int:
        """Patients with the event."""
        return int((self.frame["event"] == EVENT).sum())

    @property
    def competing(self) -> int:
        """Patients who died without recurrence, where the endpoint tells them."""
        return int((self.frame["event"] == COMPETING).sum())


def read_tcga_lihc(files: TcgaFiles, settings: TcgaSettings) -> TcgaCohort:
    """Make the cohort.

    Parameters
    ----------
    files
        As downloaded; biotab and TCGA-CDR only where the endpoint asks for them.
    settings
        Endpoint and who is in.

    Raises
    ------
    TableError, EndpointError
        If a file is not what it should be; names file, column and rows.
    SettingsError
        If the endpoint's file is not given.
    """
    table = read_cbioportal_patients(files.cbioportal)
    days = biotab_days(files.biotab) if files.biotab else None
    frame = _covariates(table, settings)
    frame.insert(0, "patient_id", frame.index)
    frame = frame.join(_endpoint(table, files, settings, days))
    frame["reason"] = frame["reason"].fillna("not in the endpoint's file")
    notes = [f"patients read from {table.name}", *_notes(frame, days, settings)]
    if files.biotab and settings.endpoint in {"recurrence", "rfs"}:
        notes += contradictions(files.biotab, frame[frame["reason"] == ""], settings.endpoint)
    if days is not None:
        frame = frame.join(days)
    if files.manifest:
        slides, others = read_manifest(files.manifest, by_file_id=files.by_file_id)
        frame.insert(1, "slide", [";".join(slides.get(p, [])) for p in frame.index])
        if others:
            notes.append(f"{files.manifest.name}: {others} files that are no diagnostic slide")
    kept, flow, excluded = _exclude(frame, settings)
    codes = _codes(table, set(kept["patient_id"]))
    return TcgaCohort(kept.reset_index(drop=True), flow, excluded, codes, tuple(notes))


def _covariates(table: Table, settings: TcgaSettings) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {
        "site": table.column("TISSUE_SOURCE_SITE", "site"),
        "age": table.numbers(_NUMBERS["age"], "age", MISSING),
    }
    for name, source in _TEXTS.items():
        text = table.column(source, "covariate")
        columns[name] = text.mask(text.isin(MISSING), "")
    stage = columns["stage"].str.extract(r"^Stage (IV|III|II|I)[ABC]?$", expand=False)
    columns["stage_group"] = stage.replace({"III": "III/IV", "IV": "III/IV"}).fillna("")
    invasion = columns["vascular_invasion"]
    columns["any_vascular_invasion"] = pd.Series(
        np.select([invasion == "", invasion == "None"], ["", "no"], "yes"), index=invasion.index
    )
    for name in ("afp", "afp_upper_limit"):
        columns[name] = table.numbers(_NUMBERS[name], name, MISSING)
    over = columns["afp"] > settings.afp_cut
    columns["afp_positive"] = over.map({True: "yes", False: "no"}).mask(columns["afp"].isna(), "")
    return pd.DataFrame(columns).set_axis(list(table.column("PATIENT_ID", "patient")), axis=0)


def _endpoint(
    table: Table, files: TcgaFiles, settings: TcgaSettings, days: pd.DataFrame | None
) -> pd.DataFrame:
    name = settings.endpoint
    if name in {"dfs", "os"}:
        return cbioportal_endpoint(table, name.upper())
    if name in {"dfi", "pfi"}:
        if files.cdr is None:
            raise SettingsError(f"expected the TCGA-CDR file for {name}, found none; give --cdr")
        return cdr_endpoint(read_cdr(files.cdr), name.upper())
    if days is None:
        raise SettingsError(f"expected the BCR biotab folder for {name}, found none; give --biotab")
    return biotab_endpoint(days, name)


def _exclude(
    frame: pd.DataFrame, settings: TcgaSettings
) -> tuple[pd.DataFrame, tuple[TcgaStep, ...], tuple[Exclusion, ...]]:
    """Leave patients out step by step; each has the first reason that holds."""
    reasons = frame.pop("reason")
    steps = [(r, reasons == r) for r in sorted(set(reasons) - {""})]
    if settings.histology == "hcc":
        steps.append(("histology is not hepatocellular carcinoma", frame["histology"] != _HCC))
    if settings.residual == "exclude-r1-r2":
        steps.append(("residual tumor R1 or R2", frame["residual"].isin(["R1", "R2"])))
    if "slide" in frame:
        steps.append(("no diagnostic slide in the manifest", frame["slide"] == ""))

    def step(reason: str, n: int) -> TcgaStep:
        return TcgaStep(reason, n, len(frame), int((frame["event"] == EVENT).sum()))

    flow, excluded = [step("patients in the cBioPortal file", 0)], []
    for reason, wrong in steps:
        gone = wrong.reindex(frame.index)
        excluded += [Exclusion(p, "unknown", reason) for p in frame.index[gone]]
        frame = frame[~gone]
        flow.append(step(reason, int(gone.sum())))
    first = ["patient_id", *(["slide"] if "slide" in frame else []), "site", "time", "event"]
    rest = [c for c in frame.columns if c not in first]
    return frame[first + rest], tuple(flow), tuple(excluded)


def _codes(table: Table, patients: set[str]) -> dict[str, dict[str, int]]:
    """Count by which code the file says unknown."""
    kept = table.frame[table.frame["PATIENT_ID"].isin(patients)]
    counts = {
        name: kept[source][kept[source].isin(MISSING)].value_counts()
        for name, source in {**_NUMBERS, **_TEXTS}.items()
    }
    return {n: {str(k): int(v) for k, v in c.items()} for n, c in counts.items() if len(c)}


def _notes(frame: pd.DataFrame, days: pd.DataFrame | None, settings: TcgaSettings) -> list[str]:
    """Hold cBioPortal's time to recurrence against the first new tumor event of the biotab files."""
    if days is None or settings.endpoint != "dfs":
        return []
    recurred = frame[frame["event"] == EVENT]
    first = days["recurrence_day"].reindex(recurred.index) * 12 / 365.25
    # Months are printed with two decimals, and 30.4 or 30.44 days make a month there.
    differs = (first.isna() | ((first - recurred["time"]).abs() > 0.05 + 0.002 * first)).sum()
    return [
        f"for {differs} of {len(recurred)} recurrences DFS_MONTHS is not the first new tumor event "
        "of the biotab files"
    ]
