"""Evaluate given scores: match them with the clinical table, compute, write."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

import jecur
from jecur.arrays import Vector
from jecur.cohort.cohort import Cohort, Exclusion, Patient, read_clinical, read_cohort
from jecur.cohort.endpoint import endpoint_definition
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.evaluation.patients import (
    competing_of,
    covariate_columns,
    describe_patients,
    write_exclusions,
)
from jecur.evaluation.score_table import GivenScores, RiskGroups, read_scores, split_by_risk
from jecur.evaluation.tile_table import read_tile_features
from jecur.report.content import FlowStep, Reason, ReportContent, RiskValues
from jecur.report.document import write_report_folder
from jecur.report.methods import SCORE_LIMITS, evaluation_paragraphs
from jecur.report.verdict import give_verdict
from jecur.report.views import Verdict
from jecur.runs.folder import RunFolder, fingerprint, library_versions, sha256_file, write_json
from jecur.settings import CohortSettings, ScoreSettings, StudySettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import EvaluationInput, StudyStatistics, to_json_dict
from jecur.statistics.tile_features import TileFeatures

__all__ = ["Evaluation", "ScoreFiles", "evaluate_scores"]

RESEARCH_USE_ONLY = "Research use only; no medical device, not for diagnosis or treatment."


@dataclass(frozen=True, slots=True)
class ScoreFiles:
    """What is evaluated."""

    scores: Path
    clinical: Path | None = None
    """In place of the study's table."""
    tiles: Path | None = None
    """Features recorded in tiles."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found, and where it lies."""

    statistics: StudyStatistics
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
    given = read_scores(files.scores, score)
    cohort, table = _read_cohort(study.cohort, folder, files.clinical)
    patients, risk, excluded = _match(cohort, given, files.scores.name)
    groups = split_by_risk(risk, given, score)
    data = _input(study, patients, risk, groups, given.label)
    statistics = evaluate(data, settings=study.statistics)
    features = read_tile_features(files.tiles, study.statistics) if files.tiles else None
    scores_without_patient = _scores_without_patient(cohort, given)
    everybody_out = (*cohort.excluded, *excluded)
    write_json(
        run.root / "statistics.json",
        {
            "study": study.name,
            "intended_use": RESEARCH_USE_ONLY,
            "endpoint": {"kind": data.endpoint_name, "definition": data.endpoint_definition},
            "score": {**msgspec.to_builtins(score), "rule": groups.rule, "meaning": groups.meaning},
            "remarks": list(cohort.remarks),
            "excluded": dict(Counter(f"{e.role}: {e.reason}" for e in everybody_out)),
            "validation": statistics.to_json_dict(),
            "tile_features": to_json_dict(features),
        },
    )
    write_exclusions((*everybody_out, *scores_without_patient), run)
    n_in_table = len(cohort.patients) + len(cohort.excluded)
    content = ReportContent(
        title=study.name,
        created=run.day_begun("report", fingerprint(study, score, sha256_file(files.scores))),
        endpoint_name=data.endpoint_name,
        endpoint_definition=data.endpoint_definition,
        flow=(
            FlowStep("Patients in the clinical table", n_in_table, _reasons(everybody_out)),
            FlowStep("Patients with a score, analyzed", len(patients)),
        ),
        statistics=statistics,
        methods=evaluation_paragraphs(study.statistics, groups.rule, groups.meaning),
        limits=SCORE_LIMITS,
        statements=_statements(groups, given, scores_without_patient, cohort),
        facts=_facts(files, table, score),
        baseline=describe_patients(
            study.cohort.covariates,
            patients,
            groups.high_risk,
            "Baseline characteristics, patients analyzed",
        ),
        risks=None
        if groups.meaning == "group"
        else RiskValues(risk, data.event, groups.cutoff, _axis(given)),
        cutoff_locked=groups.locked,
        features=features,
        banner=_banner(study),
        kicker="Evaluation of given scores",
    )
    report = write_report_folder(content, run.root)
    facts = {"study": msgspec.to_builtins(study), "score": msgspec.to_builtins(score)}
    run.write_manifest({**facts, "command": "evaluate"})
    verdict = give_verdict(statistics, "", virtual=study.virtual)
    return Evaluation(
        statistics, features, report, groups, everybody_out, n_in_table, verdict, cohort.remarks
    )


def _read_cohort(
    settings: CohortSettings, folder: Path, clinical: Path | None
) -> tuple[Cohort, Path]:
    """Read the clinical table; roles count if their column is there, slides never."""
    path = (clinical.resolve() if clinical else folder / settings.table).resolve()
    settings = msgspec.structs.replace(settings, table=str(path))
    role = settings.columns.role
    if role and role in read_table(path, settings.format).frame.columns:
        columns = msgspec.structs.replace(settings.columns, slide="", mpp="")
        return read_cohort(msgspec.structs.replace(settings, columns=columns), folder), path
    if role and role != CohortSettings(endpoint=settings.endpoint).columns.role:
        raise TableError(
            f"{path.name}: expected the declared role column '{role}', found none; without it "
            'patients that the model was trained on cannot be told apart (role = "" takes everybody)'
        )
    return read_clinical(settings, folder), path


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
            reason = "no score" if k is None else given.unusable[k]
        if reason:
            excluded.append(Exclusion(patient.id, patient.role, reason))
        else:
            used.append(patient)
    if not used:
        known = next((p.id for p in (*cohort.patients,)), "nobody")
        scored = given.patient[0] if given.patient else "nobody"
        raise TableError(
            f"{name}: expected scores of patients in the clinical table, found none that can be "
            f"used (scores: {scored!r}, table: {known!r}); the identifiers must be the same texts",
            code="no-match",
        )
    return used, np.array([given.risk[row[p.id]] for p in used], dtype=np.float64), excluded


def _scores_without_patient(cohort: Cohort, given: GivenScores) -> list[Exclusion]:
    known = {p.id for p in cohort.patients} | {e.patient for e in cohort.excluded}
    return [
        Exclusion(patient, "scores", "not in the clinical table")
        for patient in given.patient
        if patient not in known
    ]


def _input(
    study: StudySettings, patients: Sequence[Patient], risk: Vector, groups: RiskGroups, label: str
) -> EvaluationInput:
    endpoint = study.cohort.endpoint
    if groups.meaning == "probability":
        # the statistics take the logarithm of the odds
        risk = np.clip(risk, 1e-12, 1 - 1e-12)
    return EvaluationInput(
        patient_ids=tuple(p.id for p in patients),
        months=np.array([p.months for p in patients], dtype=np.float64),
        event=np.array([p.event for p in patients], dtype=np.bool_),
        risk=risk,
        high_risk=groups.high_risk,
        endpoint_name=endpoint.kind,
        endpoint_definition=endpoint_definition(endpoint),
        covariates=covariate_columns(study.cohort.covariates, patients),
        meaning=groups.meaning,
        label=label,
        competing=competing_of(patients, declared=endpoint.competing_death == "competes"),
    )


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
        "Software": {"jecur": jecur.__version__, **library_versions()},
        "Input": {
            name: f"{path.name}, SHA-256 {sha256_file(path)}"
            for name, path in inputs.items()
            if path
        },
        "Score": {k: str(v) for k, v in msgspec.to_builtins(score).items() if v not in (None, "")},
    }


def _axis(given: GivenScores) -> str:
    return f"-1 times {given.label}, higher is worse" if given.sign_flipped else given.label


def _banner(study: StudySettings) -> str:
    if not study.virtual:
        return ""
    return "Virtual cohort: patients and follow-up were simulated. No real patient is in it."
