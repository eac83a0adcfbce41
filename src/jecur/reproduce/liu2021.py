"""The protocol of Liu et al. 2021 on TCGA-LIHC: cohort, risks, tables and figures, beside the paper.

With a model every patient is scored once by it, as in the paper. Without one the risks come from
site-preserving cross-validation on the same patients, which is another design than the paper's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jecur.cohort.tcga.lihc import TcgaFiles
from jecur.evaluation.tile_table import read_tile_features
from jecur.explain.review import begun_sheets, read_closed
from jecur.mil.passport import admit_model
from jecur.pipeline import validate_study
from jecur.report.wording import format_interval
from jecur.reproduce.cohort import PaperCohort, paper_cohort, write_paper_study
from jecur.reproduce.compare import (
    Cell,
    cells_of_counts,
    cells_of_table_2,
    cells_of_table_3,
    page,
    table,
)
from jecur.reproduce.places import FoundSlides, find_clinical, find_slides
from jecur.reproduce.table2 import adjusted, univariable
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import Progress
from jecur.settings import (
    CrossvalSettings,
    Preset,
    StatisticsSettings,
    StudySettings,
    make_settings,
)
from jecur.study.cross_validate import cross_validate

__all__ = ["Protocol", "Reproduced", "reproduce"]

_OTHER_DESIGN = (
    "Without a model the risks are those of site-preserving cross-validation within these patients: "
    "another design than the paper's, which trained on patients of one hospital and validated on these."
)
_VIRTUAL = "This model was trained on virtual patients: its risks mean nothing for real slides."


@dataclass(frozen=True, slots=True)
class Protocol:
    """What to reproduce, and with what.

    Parameters
    ----------
    data
        Folder with the slides, and the clinical tables unless ``clinical`` has them.
    clinical
        Folder with the clinical tables; None looks in ``data``.
    model
        A ``.jecur`` file; None cross-validates.
    all_slides
        All diagnostic slides of a patient are one bag; else the first one alone.
    folds
        Of the cross-validation.
    preset, max_tiles
        Recipe of training, and tiles a slide at most, of the cross-validation; 0 keeps all.
    """

    data: Path
    clinical: Path | None = None
    model: Path | None = None
    all_slides: bool = True
    folds: int = 5
    preset: Preset = "paper"
    max_tiles: int = 0


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of it, and where it lies."""

    cells: tuple[Cell, ...]
    remarks: tuple[str, ...]
    page: Path
    report: Path
    n_failed_slides: int


def reproduce(
    protocol: Protocol, run: RunFolder, *, workers: int, progress: Progress
) -> Reproduced:
    """Run the protocol; running again does only what is missing.

    Parameters
    ----------
    protocol
        What to reproduce.
    run
        Gets ``cohort/``, the study's report and figures, ``review/``, ``paper.md`` and ``paper.csv``.
    workers, progress
        As `jecur.pipeline.run_study`.

    Raises
    ------
    TableError
        If slides or clinical tables are not found, or one of them twice.
    """
    found = find_slides(protocol.data)
    files = find_clinical((protocol.clinical or protocol.data,))
    slides = found.of_patient
    if not protocol.all_slides:
        slides = {patient: own[:1] for patient, own in slides.items()}
    cohort = paper_cohort(files, slides, endpoint="dfs")
    study = write_paper_study(
        cohort,
        protocol.data,
        run.root / "cohort",
        role="training" if protocol.model is None else "validation",
        preset=protocol.preset,
        max_tiles=protocol.max_tiles,
    )
    remarks = _remarks(protocol, found, cohort)
    for line in remarks:
        progress.say(line)
    if protocol.model is None:
        report, failed = _cross_validated(study, protocol, run, workers, progress)
    else:
        done = validate_study(
            study,
            run.root / "cohort",
            run,
            model=protocol.model,
            workers=workers,
            progress=progress,
        )
        report, failed = done.report, done.n_failed_slides
        remarks += _beside(protocol, files, slides, run, workers, progress)
    high = _groups(run.root / "scores.csv")
    cells = _cells(cohort, high, run, study.statistics, protocol)
    text = page(cells, cohort.with_slides.flow, remarks, title=study.name)
    write_text(run.root / "paper.csv", table(cells))
    written = write_text(run.root / "paper.md", text)
    run.renew_manifest()
    return Reproduced(tuple(cells), tuple(remarks), written, report, failed)


def _remarks(protocol: Protocol, found: FoundSlides, cohort: PaperCohort) -> list[str]:
    kept = cohort.with_slides.frame
    lines = [
        f"{found.n_slides} diagnostic slides of {len(found.of_patient)} patients found"
        + (f", {found.n_other} others left aside" if found.n_other else "")
        + f"; {len(kept)} patients of the cohort have one.",
        "All diagnostic slides of a patient are one bag."
        if protocol.all_slides
        else "The first diagnostic slide of each patient is used.",
        *cohort.everybody.notes,
    ]
    if protocol.model is None:
        lines.append(_OTHER_DESIGN)
    elif admit_model(protocol.model).card.virtual:
        lines.append(_VIRTUAL)
    return lines


def _cross_validated(
    study: StudySettings, protocol: Protocol, run: RunFolder, workers: int, progress: Progress
) -> tuple[Path, int]:
    settings = make_settings({"folds": protocol.folds, "site_preserving": True}, CrossvalSettings)
    done = cross_validate(
        study, run.root / "cohort", run, settings, workers=workers, progress=progress
    )
    return done.summary, done.n_failed_slides


def _beside(
    protocol: Protocol,
    files: TcgaFiles,
    slides: Mapping[str, tuple[str, ...]],
    run: RunFolder,
    workers: int,
    progress: Progress,
) -> list[str]:
    """Recurrence-free survival as usually meant, of the same rule, in a part of the run."""
    if files.biotab is None or protocol.model is None:
        return ["Recurrence-free survival was not computed: the BCR tables are not here."]
    part = run.part("recurrence-free-survival")
    cohort = paper_cohort(files, slides, endpoint="rfs")
    study = write_paper_study(
        cohort,
        protocol.data,
        part.root / "cohort",
        role="validation",
        preset=protocol.preset,
        max_tiles=protocol.max_tiles,
    )
    done = validate_study(
        study,
        part.root / "cohort",
        part,
        model=protocol.model,
        workers=workers,
        progress=progress,
    )
    said = done.statistics
    ratio = said.hazard_ratio
    shown = (
        f"hazard ratio {format_interval(ratio.estimate, ratio.lower, ratio.upper)}"
        if ratio.estimate is not None and ratio.lower is not None and ratio.upper is not None
        else f"no hazard ratio ({ratio.reason})"
    )
    return [
        f"Recurrence-free survival as usually meant, same rule: {said.n} patients with slides, "
        f"{said.events} events, {shown}; report: {done.report.relative_to(run.root).as_posix()}."
    ]


def _groups(scores: Path) -> dict[str, bool]:
    """Patient -> whether at high risk; of repeats the first."""
    frame = pd.read_csv(scores, dtype=str, keep_default_na=False)
    rows = frame.drop_duplicates("patient_id")
    return {str(p): g == "high" for p, g in zip(rows["patient_id"], rows["group"], strict=True)}


def _cells(
    cohort: PaperCohort,
    high: dict[str, bool],
    run: RunFolder,
    settings: StatisticsSettings,
    protocol: Protocol,
) -> list[Cell]:
    frame = cohort.everybody.frame
    who = "cross-validation" if protocol.model is None else protocol.model.name
    closed, sheets = read_closed(run.root), begun_sheets(run.root)
    features = closed.features if closed else None
    if features is None and sheets:
        features = read_tile_features(sheets[0], settings)
    return [
        *cells_of_counts(len(frame), cohort.everybody.events),
        *cells_of_table_2(univariable(frame, high), adjusted(frame, high), scored_by=who),
        *cells_of_table_3(features),
    ]
