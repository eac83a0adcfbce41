"""Evaluate given scores: match them with the clinical table, compute, write."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.arrays import Vector
from jecur.cohort.cohort import Cohort, Exclusion, Patient, read_clinical, read_cohort
from jecur.cohort.roles import roles_told
from jecur.cohort.table import Table, read_table
from jecur.errors import TableError
from jecur.evaluation.folds import has_folds, match_folds, read_folds, refuse_columns_elsewhere
from jecur.evaluation.report import Analyzed, evaluation_input, report_risks
from jecur.evaluation.score_table import (
    NO_SCORE,
    GivenScores,
    RiskGroups,
    read_scores,
    refuse_other_spelling,
    split_by_risk,
)
from jecur.evaluation.tile_table import read_tile_features
from jecur.report.content import FlowStep, Reason, RiskValues
from jecur.report.held_out import give_held_out_verdict
from jecur.report.methods import SCORE_LIMITS, evaluation_paragraphs
from jecur.report.verdict import give_verdict
from jecur.report.views import Verdict
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, sha256_file
from jecur.settings import CohortSettings, ScoreSettings, StudySettings
from jecur.statistics.cross_validated import HeldOutStatistics, held_out_statistics
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import StudyStatistics, to_json_dict
from jecur.statistics.tile_features import TileFeatures

__all__ = ["Evaluation", "ScoreFiles", "evaluate_scores"]


@dataclass(frozen=True, slots=True)
class ScoreFiles:
    """What is evaluated."""

    scores: Path
    clinical: Path | None = None
    """In place of the study's table."""
    tiles: Path | None = None
    """Features recorded in tiles, or a filled review sheet."""
    tile_key: Path | None = None
    """Key of a review sheet that does not lie in its run."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found, and where it lies."""

    statistics: StudyStatistics | HeldOutStatistics
    """The latter of scores of several models, those of a cross-validation."""
    features: TileFeatures | None
    report: Path
    groups: RiskGroups
    excluded: tuple[Exclusion, ...]
    n_in_table: int
    verdict: Verdict
    remarks: tuple[str, ...] = ()
    """What to know about the clinical table: what is doubtful in it, and how it was read."""


def evaluate_scores(
    files: ScoreFiles, study: StudySettings, folder: Path, score: ScoreSettings, run: RunFolder
) -> Evaluation:
    """Compute every statistic of given scores and write tables, figures and a report.

    Parameters
    ----------
    files
        The tables.
    study
        Columns, endpoint, covariates, statistics. Patients of the training and tuning roles are
        left out if the table has the role column.
    folder
        Where the study file lies; the study's table is relative to it.
    score
        Which column, and what it means.
    run
        Gets ``statistics.json``, ``tables``, ``figures``, ``report.html``, ``exclusions.csv``.

    Raises
    ------
    TableError, EndpointError
        If a table cannot be read as declared, or no patient of the scores is in the clinical table.
    """
    scores = read_table(files.scores)
    refuse_columns_elsewhere(scores)
    if has_folds(scores):
        return _evaluate_folds(scores, files, study, folder, score, run)
    given = read_scores(scores, score)
    cohort, table = _read_cohort(study.cohort, folder, files.clinical)
    cohort = replace(cohort, notes=(*cohort.notes, *scores.notes))
    patients, risk, excluded = _match(cohort, given, files.scores.name)
    groups = split_by_risk(risk, given, score)
    data = evaluation_input(
        study, patients, risk, groups.high_risk, meaning=groups.meaning, label=given.label
    )
    statistics = evaluate(data, settings=study.statistics)
    features = None
    if files.tiles is not None:
        features = read_tile_features(files.tiles, study.statistics, key=files.tile_key)
    scores_without_patient = _scores_without_patient(cohort, given.patient)
    everybody_out = (*cohort.excluded, *excluded)
    n_in_table = len(cohort.patients) + len(cohort.excluded)
    report = report_risks(
        Analyzed(
            study=study,
            patients=patients,
            called="patients analyzed",
            high_risk=groups.high_risk,
            excluded=everybody_out,
            scores_without_patient=scores_without_patient,
            remarks=cohort.remarks,
        ),
        statistics,
        run,
        made_from=(score, sha256_file(files.scores)),
        head={
            "score": {**msgspec.to_builtins(score), "rule": groups.rule, "meaning": groups.meaning}
        },
        tail={"tile_features": to_json_dict(features)},
        flow=(
            FlowStep("Patients in the clinical table", n_in_table, _reasons(everybody_out)),
            FlowStep("Patients with a score, analyzed", len(patients)),
        ),
        methods=evaluation_paragraphs(study.statistics, groups.rule, groups.meaning),
        limits=SCORE_LIMITS,
        statements=_statements(groups, given, scores_without_patient, cohort),
        facts=_facts(files, table, score),
        risks=None
        if groups.meaning == "group"
        else RiskValues(risk, data.event, groups.cutoff, _axis(given)),
        cutoff_locked=groups.locked,
        features=features,
        kicker="Evaluation of given scores",
    )
    _write_manifest(study, score, run)
    verdict = give_verdict(statistics, "", virtual=study.virtual)
    return Evaluation(
        statistics, features, report, groups, everybody_out, n_in_table, verdict, cohort.remarks
    )


def _evaluate_folds(
    scores: Table,
    files: ScoreFiles,
    study: StudySettings,
    folder: Path,
    score: ScoreSettings,
    run: RunFolder,
) -> Evaluation:
    """Evaluate scores of several models: within folds, as a cross-validation of ours is reported."""
    if files.tiles is not None:
        raise TableError(
            "expected features of tiles (--tiles) of one model's scores, found scores of several "
            "models (column 'fold'); leave --tiles out",
            code="several-models",
        )
    given = read_folds(scores, score)
    cohort, table = _read_cohort(study.cohort, folder, files.clinical)
    cohort = replace(cohort, notes=(*cohort.notes, *scores.notes))
    found = match_folds(cohort, given, score, files.scores.name)
    statistics = held_out_statistics(
        evaluation_input(
            study, found.patients, found.risk, found.groups.high_risk, meaning="score"
        ),
        repeat=found.repeat,
        fold=found.fold,
        settings=study.statistics,
    )
    everybody_out = (*cohort.excluded, *found.excluded)
    once = found.repeat == found.repeat.min()
    n_in_table = len(cohort.patients) + len(cohort.excluded)
    report = report_risks(
        Analyzed(
            study=study,
            patients=[p for p, first in zip(found.patients, once, strict=True) if first],
            called="patients analyzed",
            high_risk=found.groups.high_risk[once],
            excluded=everybody_out,
            scores_without_patient=_scores_without_patient(cohort, given.patient),
            remarks=cohort.remarks,
        ),
        statistics,
        run,
        made_from=(score, sha256_file(files.scores)),
        head={"score": {**msgspec.to_builtins(score), "rule": found.groups.rule}},
        flow=(
            FlowStep("Patients in the clinical table", n_in_table, _reasons(everybody_out)),
            FlowStep("Patients with a held-out score, analyzed", statistics.n),
        ),
        methods=evaluation_paragraphs(study.statistics, found.groups.rule, "score"),
        limits=SCORE_LIMITS,
        statements=(RESEARCH_USE_ONLY, found.groups.rule, *cohort.remarks),
        facts=_facts(files, table, score),
        cutoff_locked=found.groups.locked,
        kicker="Evaluation of given scores, cross-validated",
    )
    _write_manifest(study, score, run)
    verdict = give_held_out_verdict(statistics, virtual=study.virtual)
    return Evaluation(
        statistics, None, report, found.groups, everybody_out, n_in_table, verdict, cohort.remarks
    )


def _write_manifest(study: StudySettings, score: ScoreSettings, run: RunFolder) -> None:
    facts = {"study": msgspec.to_builtins(study), "score": msgspec.to_builtins(score)}
    run.write_manifest({**facts, "command": "evaluate"})


def _read_cohort(
    settings: CohortSettings, folder: Path, clinical: Path | None
) -> tuple[Cohort, Path]:
    """Read the clinical table; roles count if their column is there, slides never."""
    path = (clinical.resolve() if clinical else folder / settings.table).resolve()
    settings = msgspec.structs.replace(settings, table=str(path))
    role = settings.columns.role
    if role:
        frame = read_table(path, settings.format).frame
        if role in frame.columns:
            columns = msgspec.structs.replace(settings.columns, slide="", mpp="")
            return read_cohort(msgspec.structs.replace(settings, columns=columns), folder), path
        if role != CohortSettings(endpoint=settings.endpoint).columns.role:
            raise TableError(
                f"{path.name}: expected the declared role column '{role}', found none; without it "
                'patients that the model was trained on cannot be told apart (role = "" takes everybody)'
            )
        _refuse_roles_elsewhere(settings, frame, path.name)
    return read_clinical(settings, folder), path


def _refuse_roles_elsewhere(settings: CohortSettings, frame: pd.DataFrame, table: str) -> None:
    """Refuse a table whose roles stand in a column that nobody named: all would count as unseen."""
    for name, cells in frame.items():
        if said := roles_told(str(name), map(str, cells), settings.roles):
            raise TableError(
                f"{table}: expected roles in column '{settings.columns.role}', found none there and "
                f"{', '.join(sorted(said))} in column '{name}'; name it (cohort.columns.role), or take "
                'everybody as not seen in training (role = "")'
            )


def _match(
    cohort: Cohort, given: GivenScores, name: str
) -> tuple[list[Patient], Vector, list[Exclusion]]:
    """Pair patients with scores; everybody in the table ends analyzed or with a reason."""
    row = {patient: k for k, patient in enumerate(given.patient)}
    used, excluded = [], []
    for patient in cohort.patients:
        k = row.get(patient.id)
        if patient.role != "validation":
            reason = f"{patient.role} role"
        else:
            reason = NO_SCORE if k is None else given.unusable[k]
        if reason:
            excluded.append(Exclusion(patient.id, patient.role, reason))
        else:
            used.append(patient)
    refuse_other_spelling(
        given.patient,
        [*(p.id for p in cohort.patients), *(e.patient for e in cohort.excluded)],
        [e.patient for e in excluded if e.reason == NO_SCORE],
        name,
    )
    if not used:
        known = next((p.id for p in (*cohort.patients,)), "nobody")
        scored = given.patient[0] if given.patient else "nobody"
        raise TableError(
            f"{name}: expected scores of patients in the clinical table, found none that can be "
            f"used (scores: {scored!r}, table: {known!r}); the identifiers must be the same texts",
            code="no-match",
        )
    return used, np.array([given.risk[row[p.id]] for p in used], dtype=np.float64), excluded


def _scores_without_patient(cohort: Cohort, scored: Sequence[str]) -> list[Exclusion]:
    known = {p.id for p in cohort.patients} | {e.patient for e in cohort.excluded}
    return [
        Exclusion(patient, "scores", "not in the clinical table")
        for patient in dict.fromkeys(scored)
        if patient not in known
    ]


def _reasons(excluded: Sequence[Exclusion]) -> tuple[Reason, ...]:
    counts = Counter(e.reason for e in excluded)
    return tuple(Reason(text, n) for text, n in counts.items())


def _statements(
    groups: RiskGroups,
    given: GivenScores,
    scores_without_patient: Sequence[Exclusion],
    cohort: Cohort,
) -> tuple[str, ...]:
    sign_flipped = (
        "Lower values speak for an earlier event, as declared." if given.sign_flipped else ""
    )
    lost = (
        f"{len(scores_without_patient)} scores without a patient in the clinical table."
        if scores_without_patient
        else ""
    )
    said = (
        RESEARCH_USE_ONLY,
        "The scores were given in a table; this program did not make them and cannot tell whether "
        "their model has seen these patients.",
        groups.rule,
        sign_flipped,
        lost,
        *cohort.remarks,
    )
    return tuple(text for text in said if text)


def _facts(files: ScoreFiles, table: Path, score: ScoreSettings) -> dict[str, dict[str, str]]:
    inputs = {"scores": files.scores, "clinical table": table, "tiles": files.tiles}
    return {
        "Input": {
            name: f"{path.name}, SHA-256 {sha256_file(path)}"
            for name, path in inputs.items()
            if path
        },
        "Score": {k: str(v) for k, v in msgspec.to_builtins(score).items() if v not in (None, "")},
    }


def _axis(given: GivenScores) -> str:
    return f"-1 times {given.label}, higher is worse" if given.sign_flipped else given.label
