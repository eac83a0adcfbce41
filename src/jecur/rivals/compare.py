"""`jecur compare`: each model trained and scored on the same patients, then measured side by side.

Every model is a part of the run, every division a part of that: what was finished is not done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Vector
from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.csv_text import csv_text
from jecur.errors import NotEstimableError, TrainingError
from jecur.evaluation.patients import write_exclusions
from jecur.evaluation.report import evaluation_input
from jecur.rivals.bench import Bench, Division, Rival, RivalScores
from jecur.rivals.cost import Cost, cost_of
from jecur.rivals.divisions import divide_patients, usable_patients
from jecur.rivals.one import STAGE, scores_of
from jecur.rivals.probability import probabilities
from jecur.rivals.registry import rivals_named
from jecur.runs.folder import LOG, RunFolder, write_text
from jecur.runs.log import read_events
from jecur.runs.progress import LoggedProgress, Progress
from jecur.settings import CompareSettings, StudySettings
from jecur.statistics.compared import ModelComparison, ModelRisks, compare_models_of
from jecur.study.cohort_slides import PreparedCohort, prepare_study, study_cohort

__all__ = ["Compared", "compare_models"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found, and where it lies."""

    comparison: ModelComparison | None
    """None if no model could be trained."""
    failed: Mapping[str, str]
    """Model -> why it has no scores."""
    costs: Mapping[str, Cost]
    how: str
    """How the patients were divided."""
    excluded: tuple[Exclusion, ...]
    n_failed_slides: int


@dataclass(frozen=True, slots=True)
class _Done:
    """One model, trained and scored in every division."""

    rival: Rival
    scores: tuple[RivalScores, ...]
    cost: Cost


def compare_models(
    study: StudySettings,
    folder: Path,
    run: RunFolder,
    settings: CompareSettings,
    *,
    workers: int,
    progress: Progress,
) -> Compared:
    """Train and score every model on the same patients and compare them.

    Parameters
    ----------
    study, folder, workers, progress
        As `jecur.pipeline.run_study`.
    run
        Gets ``scores.csv`` (a row a model and patient), ``exclusions.csv``; each model's files lie under
        ``parts``.
    settings
        Which models, and how patients are divided.

    Raises
    ------
    SettingsError, TableError, TrainingError
        Before the first slide: an unknown model, folds that cannot be made, something a model needs
        that is missing.
    """
    rivals = rivals_named(settings.models, settings.tissue_model)
    run.refuse_other_command(
        "compare", remedy="name another --out ([run] cache shares the prepared slides)"
    )
    everybody = settings.folds > 0
    early = study_cohort(study, folder, everybody=everybody).patients
    divisions, _ = divide_patients(early, settings)
    for rival in rivals:
        rival.require(study, divisions)
    progress = LoggedProgress(progress, run.log)
    ready = prepare_study(study, folder, run, workers=workers, progress=progress, everybody=True)
    patients, excluded = usable_patients(ready, settings)
    divisions, how = divide_patients(patients, settings)
    bench = Bench(study, ready.prepared, ready.recipe, run, workers, progress)
    done, failed = _train_all(rivals, bench, divisions)
    scored, lost = _common(divisions, done)
    excluded += lost
    comparison = _compare(done, scored, study, settings) if done and scored else None
    write_exclusions(excluded, run)
    _write_scores(done, divisions, run)
    return _finish(
        Compared(
            comparison, failed, {d.rival.name: d.cost for d in done}, how, tuple(excluded),
            ready.n_failed,
        ),
        ready, run, study, settings,
    )  # fmt: skip


def _train_all(
    rivals: Sequence[Rival], bench: Bench, divisions: Sequence[Division]
) -> tuple[list[_Done], dict[str, str]]:
    """Train every model; one that cannot be trained is told and does not stop the others."""
    done, failed = [], {}
    for rival in rivals:
        try:
            found = [scores_of(rival, bench, division) for division in divisions]
        except (NotEstimableError, TrainingError) as error:
            failed[rival.name] = f"{error.message} [{error.code}]"
            bench.run.log("model-failed", model=rival.name, code=error.code, reason=error.message)
            bench.progress.say(f"{rival.name}: {error.message} [{error.code}]")
            continue
        events = list(read_events(bench.run.root / LOG, STAGE))
        cost = cost_of(events, rival.name, [mark for mark, _ in found])
        done.append(_Done(rival, tuple(scores for _, scores in found), cost))
    return done, failed


def _common(
    divisions: Sequence[Division], done: Sequence[_Done]
) -> tuple[list[tuple[Division, Patient]], list[Exclusion]]:
    """Patients that every model scored, in the order of the divisions; the others with their reason."""
    kept, lost = [], []
    for k, division in enumerate(divisions):
        for p in division.held_out:
            without = [d.rival.name for d in done if p.id not in d.scores[k].held_out]
            if without:
                reason = f"no score by {', '.join(without)}"
                lost.append(Exclusion(p.id, p.role, reason))
            else:
                kept.append((division, p))
    return kept, lost


def _compare(
    done: Sequence[_Done],
    scored: Sequence[tuple[Division, Patient]],
    study: StudySettings,
    settings: CompareSettings,
) -> ModelComparison:
    models = [_risks(d, scored, study) for d in done]
    names = [d.rival.name for d in done]
    references = [names[0], *(name for name in names if name == "clinical")]
    return compare_models_of(
        models,
        np.array([division.number for division, _ in scored], dtype=np.int64),
        references,
        settings=study.statistics,
        n_bootstrap=settings.n_bootstrap,
    )


def _risks(
    done: _Done, scored: Sequence[tuple[Division, Patient]], study: StudySettings
) -> ModelRisks:
    risk: list[float] = []
    high: list[bool] = []
    for division, p in scored:
        found = done.scores[division.number - 1]
        risk.append(found.held_out[p.id])
        high.append(found.held_out[p.id] > found.cutoff)
    patients = evaluation_input(
        study,
        [p for _, p in scored],
        np.array(risk, dtype=np.float64),
        np.array(high, dtype=np.bool_),
        meaning="score",
        label=done.rival.title,
    )
    predicted, reason = _probabilities(done, scored, study)
    return ModelRisks(done.rival.name, done.rival.title, patients, predicted, reason)


def _probabilities(
    done: _Done, scored: Sequence[tuple[Division, Patient]], study: StudySettings
) -> tuple[Vector | None, str]:
    out: Vector = np.full(len(scored), np.nan)
    numbers = np.array([division.number for division, _ in scored])
    for division in {division.number: division for division, _ in scored}.values():
        here: BoolVector = numbers == division.number
        who = [p.id for d, p in scored if d.number == division.number]
        trained_on = (*division.training, *division.tuning)
        try:
            out[here] = probabilities(done.scores[division.number - 1], trained_on, who, study)
        except NotEstimableError as error:
            return None, f"{division.name}: {error.message}"
    return out, ""


def _write_scores(done: Sequence[_Done], divisions: Sequence[Division], run: RunFolder) -> None:
    """Write every score: ``scores.csv``, which `jecur evaluate` reads one model of."""
    rows = [
        {
            "model": d.rival.name,
            "patient_id": p.id,
            "fold": division.number,
            "score": scores.held_out[p.id],
            "cutoff": scores.cutoff,
            "group": "high" if scores.held_out[p.id] > scores.cutoff else "low",
        }
        for d in done
        for division, scores in zip(divisions, d.scores, strict=True)
        for p in division.held_out
        if p.id in scores.held_out
    ]
    columns = ["model", "patient_id", "fold", "score", "cutoff", "group"]
    write_text(run.root / "scores.csv", csv_text(pd.DataFrame(rows, columns=columns)))


def _finish(
    found: Compared,
    ready: PreparedCohort,
    run: RunFolder,
    study: StudySettings,
    settings: CompareSettings,
) -> Compared:
    from jecur.rivals.page import write_comparison  # noqa: PLC0415 - figures only when there are some

    write_comparison(found, ready.cohort.remarks, run, study, settings)
    run.write_manifest(
        {
            "study": msgspec.to_builtins(study),
            "compare": msgspec.to_builtins(settings),
            "command": "compare",
        }
    )
    return found
