"""What a cross-validation leaves behind: scores with their folds, statistics, summary and report."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.csv_text import csv_text
from jecur.cohort.endpoint import endpoint_definition
from jecur.cohort.splits import Folds
from jecur.evaluation.report import Analyzed, evaluation_input, report_risks
from jecur.explain.review import ReviewTile, read_closed
from jecur.report.content import FlowStep, HeatmapPicture, Reason
from jecur.report.methods import Paragraph, methods_paragraphs
from jecur.report.review import review_entries
from jecur.report.shown import Shown
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import Progress
from jecur.settings import CrossvalSettings, StudySettings
from jecur.statistics.cross_validated import HeldOutStatistics, held_out_statistics
from jecur.study.cohort_slides import PreparedCohort, study_facts
from jecur.study.explain import write_top_tiles
from jecur.study.report import HEATMAP_LEGEND, slide_rows, tile_pictures
from jecur.study.training_card import CUTOFF_SOURCES

__all__ = ["CrossValidation", "CrossValidationReport", "HeldOutFold", "write_cross_validation"]


@dataclass(frozen=True, slots=True, repr=False)
class CrossValidationReport(Shown):
    """Result of a cross-validation, and where it lies."""

    statistics: HeldOutStatistics
    report: Path
    summary: Path
    scores: Path
    n_failed_slides: int
    excluded: tuple[Exclusion, ...]

    def said(self) -> tuple[str, str, Path | None]:
        """Give what the held-out patients show."""
        first, *others = self.statistics.lines()
        return first, "\n".join(others), self.report


@dataclass(frozen=True, slots=True)
class HeldOutFold:
    """One fold, scored by the model of the others."""

    rows: pd.DataFrame
    """Of ``scores.csv``."""
    facts: Mapping[str, object]
    """Of ``folds.csv``."""
    n_features: int
    """Numbers a tile, where another network described the tiles; else 0."""
    heatmaps: tuple[HeatmapPicture, ...]
    tiles: tuple[ReviewTile, ...]
    """Most predictive by this fold's model."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What all folds share."""

    study: StudySettings
    settings: CrossvalSettings
    ready: PreparedCohort
    run: RunFolder
    progress: Progress
    workers: int


def write_cross_validation(
    bench: CrossValidation,
    patients: Sequence[Patient],
    done: Sequence[HeldOutFold],
    divisions: Sequence[Folds],
    excluded: tuple[Exclusion, ...],
) -> CrossValidationReport:
    """Write what the folds found.

    Parameters
    ----------
    bench
        What all folds share.
    patients
        Who was divided.
    done
        One a fold and repeat.
    divisions
        One a repeat.
    excluded
        Patients left out, with reasons.
    """
    run, study = bench.run, bench.study
    scores = pd.concat([fold.rows for fold in done], ignore_index=True)
    path = write_text(run.root / "scores.csv", csv_text(scores))
    by_id = {patient.id: patient for patient in patients}
    high_risk = (scores["group"] == "high").to_numpy()
    statistics = held_out_statistics(
        evaluation_input(
            study, [by_id[p] for p in scores["patient_id"]], scores["risk"].to_numpy(), high_risk
        ),
        repeat=scores["repeat"].to_numpy(),
        fold=scores["fold"].to_numpy(),
        settings=study.statistics,
    )
    rows = pd.DataFrame([fold.facts for fold in done])
    rows["concordance"] = [row.concordance for row in statistics.folds]
    rows["pairs"] = [row.pairs for row in statistics.folds]
    rows["reason"] = [row.reason for row in statistics.folds]
    write_text(run.root / "folds.csv", csv_text(rows))
    how = [{"method": division.method, "imbalance": division.imbalance} for division in divisions]
    summary = write_text(
        run.root / "crossval.md", _summary(bench, statistics, rows, how[0]["method"], excluded)
    )
    once = scores["repeat"] == 1
    page = _page(bench, done, str(how[0]["method"]), excluded, statistics.n)
    review = read_closed(run.root)
    report = report_risks(
        Analyzed(
            study=study,
            patients=[by_id[p] for p in scores.loc[once, "patient_id"]],
            called="patients cross-validated",
            high_risk=high_risk[once.to_numpy()],
            excluded=excluded,
            remarks=bench.ready.cohort.remarks,
        ),
        statistics,
        run,
        made_from=(bench.settings, csv_text(scores)),
        head={
            "virtual": study.virtual,
            "settings": msgspec.to_builtins(bench.settings),
            "divisions": how,
        },
        tail=review_entries(review),
        review=review,
        **page,
    )
    run.write_manifest(study_facts(study, "crossval"))
    return CrossValidationReport(statistics, report, summary, path, bench.ready.n_failed, excluded)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _cutoff(study: StudySettings) -> str:
    return CUTOFF_SOURCES[study.training.loss.name]


def _page(
    bench: CrossValidation,
    done: Sequence[HeldOutFold],
    method: str,
    excluded: Sequence[Exclusion],
    n_scored: int,
) -> dict[str, Any]:
    """Fill the fields of a report that only a cross-validation fills."""
    study, settings, cohort = bench.study, bench.settings, bench.ready.cohort
    epochs = (
        f"The number of epochs was chosen in {settings.inner_folds} inner folds of the training "
        "patients."
        if settings.inner_folds
        else "No setting was chosen on these patients by the program."
    )
    how = Paragraph(
        "Cross-validation",
        f"Patients of the training and tuning roles were divided into {settings.folds} folds "
        f"({method}), {_times(settings.repeats)}. For each fold a model was trained on the others and "
        f"scored it. {epochs} The cut-off of each model: {_cutoff(study)}. Risks of two models are "
        "on two scales: pairs of patients were compared within folds, and the hazard ratio "
        "and the log-rank test are stratified by fold.",
    )
    left = Counter(e.reason for e in excluded)
    total = len(cohort.patients) + len(cohort.excluded)
    return {
        "kicker": "Cross-validation",
        "flow": (
            FlowStep(
                "Patients in the clinical table",
                total,
                tuple(Reason(text, n) for text, n in left.items()),
            ),
            FlowStep("Scored by a model that never saw them", n_scored),
        ),
        "methods": (how, *methods_paragraphs(study, n_features=done[0].n_features)),
        "statements": (
            RESEARCH_USE_ONLY,
            f"{len(done)} models stand behind this report, one a fold and repeat: it judges the recipe, "
            "not one model file.",
            *cohort.remarks,
        ),
        "facts": {
            "Seeds": {"folds": str(settings.seed), "training": str(study.training.seed)},
        },
        "slides": slide_rows(bench.ready.prepared),
        "heatmaps": tuple(h for fold in done for h in fold.heatmaps),
        "heatmap_legend": f"{HEATMAP_LEGEND} Each fold has the scale of its own model.",
        "tiles": tile_pictures(
            write_top_tiles([tile for fold in done for tile in fold.tiles], bench.run, study.review)
        ),
    }


def _summary(
    bench: CrossValidation,
    statistics: HeldOutStatistics,
    folds: pd.DataFrame,
    method: object,
    excluded: Sequence[Exclusion],
) -> str:
    study, settings = bench.study, bench.settings
    tuned = (
        f"chosen in {settings.inner_folds} inner folds" if settings.inner_folds else "not chosen"
    )
    show: Callable[[object], str] = lambda value: "" if value is None else str(value)  # noqa: E731
    columns = [
        "repeat",
        "fold",
        "n",
        "events",
        "n_good",
        "n_poor",
        "epochs",
        "concordance",
        "pairs",
    ]
    lines = [
        f"# {study.name}: cross-validation",
        "",
        f"{RESEARCH_USE_ONLY}{' The patients are virtual.' if study.virtual else ''}",
        "",
        f"Endpoint: {study.cohort.endpoint.kind} ({endpoint_definition(study.cohort.endpoint)}).",
        f"Folds: {settings.folds}, {_times(settings.repeats)}; {method}. Epochs: {tuned}. "
        f"Cut-off of each model: {_cutoff(study)}.",
        f"Patients: {statistics.n} scored ({statistics.events} events), {len(excluded)} left out "
        "(exclusions.csv).",
        "",
        *(f"- {line}" for line in statistics.lines()),
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in folds.round(4).astype(object).where(folds.notna(), None).to_dict("records"):
        lines.append("| " + " | ".join(show(row[c]) for c in columns) + " |")
    return "\n".join(lines) + "\n"
