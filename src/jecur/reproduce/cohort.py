"""The paper's cohort with the slides that are here, written as a study that can be run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pandas as pd

from jecur.cohort.cohort import Exclusion, Role
from jecur.cohort.csv_text import csv_text
from jecur.cohort.tcga.endpoint import EVENT
from jecur.cohort.tcga.lihc import TcgaCohort, TcgaFiles, TcgaStep, read_tcga_lihc
from jecur.cohort.tcga.output import tcga_study
from jecur.errors import TableError
from jecur.runs.files import write_text
from jecur.settings import (
    PRESETS,
    Preset,
    ScoringSettings,
    StatisticsSettings,
    StudySettings,
    TcgaEndpoint,
    TcgaSettings,
    TilingSettings,
    TrainingSettings,
    make_settings,
    write_study,
)

__all__ = ["PaperCohort", "paper_cohort", "write_paper_study"]

_NO_SLIDE = "no diagnostic slide here"
_YEARS = tuple(12.0 * year for year in range(1, 7))


@dataclass(frozen=True, slots=True)
class PaperCohort:
    """Patients by the paper's rule.

    Parameters
    ----------
    everybody
        Whoever the rule lets in, with or without a slide: the clinical rows of Table 2.
    with_slides
        Those of them whose slides are here.
    settings
        Rule and endpoint.
    """

    everybody: TcgaCohort
    with_slides: TcgaCohort
    settings: TcgaSettings


def paper_cohort(
    files: TcgaFiles, slides: Mapping[str, tuple[str, ...]], *, endpoint: TcgaEndpoint
) -> PaperCohort:
    """Apply the rule that gives the paper's 302 patients and 165 recurrences (endpoint ``dfs``).

    Parameters
    ----------
    files
        As downloaded.
    slides
        Patient -> slides, relative to the folder of slides.
    endpoint
        ``dfs`` is what the paper's counts mean; ``rfs`` needs the BCR tables.

    Raises
    ------
    TableError
        If nobody of the cohort has a slide.
    """
    settings = TcgaSettings(endpoint=endpoint, histology="hcc", residual="exclude-r1-r2")
    everybody = read_tcga_lihc(files, settings)
    frame = everybody.frame
    named = frame["patient_id"].isin(list(slides))
    if not named.any():
        raise TableError(
            f"expected slides of the {len(frame)} patients of the cohort, found only those of others "
            f"({', '.join(list(slides)[:3])}); see what --data names",
            code="no-slides",
        )
    kept = frame[named].reset_index(drop=True)
    kept.insert(1, "slide", [";".join(slides[p]) for p in kept["patient_id"]])
    gone = [Exclusion(p, "unknown", _NO_SLIDE) for p in frame["patient_id"][~named]]
    step = TcgaStep(_NO_SLIDE, len(gone), len(kept), int((kept["event"] == EVENT).sum()))
    with_slides = replace(
        everybody,
        frame=kept,
        flow=(*everybody.flow, step),
        excluded=(*everybody.excluded, *gone),
    )
    return PaperCohort(everybody, with_slides, settings)


def write_paper_study(
    cohort: PaperCohort,
    data: Path,
    folder: Path,
    *,
    role: Role,
    preset: Preset,
    max_tiles: int,
) -> StudySettings:
    """Write ``cohort.csv``, ``exclusions.csv`` and ``study.toml`` into a folder; return the study.

    Parameters
    ----------
    data
        Folder of the slides.
    role
        Of everybody: "validation" for a model that is there, "training" for cross-validation.
    preset
        Recipe of training, where there is any.
    max_tiles
        At most so many tiles a slide; 0 keeps all.
    """
    made = tcga_study(cohort.with_slides, cohort.settings, "cohort.csv")
    columns = msgspec.structs.replace(made.cohort.columns, role="role")
    study = msgspec.structs.replace(
        made,
        name="TCGA-LIHC, the external validation of Liu et al. 2021",
        cohort=msgspec.structs.replace(
            made.cohort, columns=columns, slide_folder=str(data.resolve())
        ),
        tiling=make_settings({"max_tiles": max_tiles}, TilingSettings),
        training=make_settings({**PRESETS[preset], "preset": preset}, TrainingSettings),
        scoring=ScoringSettings(n_top_tiles=200, max_tiles_per_patient=200),
        statistics=StatisticsSettings(
            horizons_months=_YEARS, landmark_months=_YEARS[-1], auc_recipe="timeroc"
        ),
    )
    frame = cohort.with_slides.frame.assign(role=role)
    out = [(e.patient, e.reason) for e in cohort.with_slides.excluded]
    write_text(folder / "cohort.csv", csv_text(frame))
    write_text(
        folder / "exclusions.csv", csv_text(pd.DataFrame(out, columns=["patient_id", "reason"]))
    )
    write_text(folder / "study.toml", write_study(study))
    return study
