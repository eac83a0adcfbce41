"""From risks to a report: the one way of a study, of scores from a table and of a cross-validation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import jecur
from jecur.arrays import BoolVector, Vector
from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.endpoint import endpoint_definition
from jecur.evaluation.patients import (
    competing_of,
    covariate_columns,
    describe_patients,
    write_exclusions,
    write_follow_up,
)
from jecur.report.content import ReportContent
from jecur.report.document import write_report_folder
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, fingerprint, library_versions, write_json
from jecur.settings import StudySettings
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import EvaluationInput, RiskMeaning, StudyStatistics, to_json_dict

__all__ = ["Analyzed", "evaluation_input", "report_risks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzed:
    """Who a report is about."""

    study: StudySettings
    patients: Sequence[Patient]
    """Those analyzed."""
    called: str
    """What the report calls them: ``validation patients``."""
    high_risk: BoolVector
    """(n,) in their order."""
    excluded: Sequence[Exclusion]
    """Everybody else of the clinical table, with the reason."""
    scores_without_patient: Sequence[Exclusion] = ()
    remarks: Sequence[str] = ()
    """How the clinical table was read, and what is doubtful in it."""


def evaluation_input(
    study: StudySettings,
    patients: Sequence[Patient],
    risk: Vector,
    high_risk: BoolVector,
    *,
    meaning: RiskMeaning = "probability",
    label: str = "Classifier",
) -> EvaluationInput:
    """Bring patients and their risks into the form that the statistics take.

    Parameters
    ----------
    study
        Endpoint and covariates.
    patients, risk, high_risk
        (n,) in one order; higher risk means earlier event.
    meaning, label
        How the risk is read, and what tables call it.
    """
    endpoint = study.cohort.endpoint
    if meaning == "probability":
        # A sigmoid in double precision reaches 1 beyond a score of 37; the odds need it inside.
        risk = np.clip(risk, 1e-12, 1 - 1e-12)
    covariates = covariate_columns(study.cohort.covariates, patients)
    if label in {c.label for c in covariates}:  # a factor that is held against itself
        label = f"{label}, score"
    return EvaluationInput(
        patient_ids=tuple(p.id for p in patients),
        months=np.array([p.months for p in patients], dtype=np.float64),
        event=np.array([p.event for p in patients], dtype=np.bool_),
        risk=risk,
        high_risk=high_risk,
        endpoint_name=endpoint.kind,
        endpoint_definition=endpoint_definition(endpoint),
        covariates=covariates,
        meaning=meaning,
        label=label,
        competing=competing_of(patients, declared=endpoint.competing_death == "competes"),
    )


def report_risks(
    who: Analyzed,
    statistics: StudyStatistics | HeldOutStatistics,
    run: RunFolder,
    *,
    made_from: Sequence[object],
    head: Mapping[str, object],
    tail: Mapping[str, object] | None = None,
    **shown: Any,  # noqa: ANN401 -- fields of ReportContent
) -> Path:
    """Write the statistics, who was left out, tables, figures and the report of risks.

    Parameters
    ----------
    who
        Patients analyzed and not analyzed.
    statistics
        What was computed of the risks.
    run
        Gets ``statistics.json`` (of a cross-validation ``crossval.json``), ``follow_up.csv``,
        ``exclusions.csv``, ``tables``, ``figures``, ``report.html``.
    made_from
        What the report depends on: its date is that of the first report made from the same.
    head, tail
        Entries of the JSON file before and after what every report has.
    shown
        Fields of `jecur.report.content.ReportContent` that only this kind of report fills.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    JecurError
        ``flow-mismatch`` if patients appear or vanish in the patient flow.
    """
    study, endpoint = who.study, who.study.cohort.endpoint
    definition = endpoint_definition(endpoint)
    held_out = isinstance(statistics, HeldOutStatistics)
    name, other = "statistics.json", "crossval.json"
    if held_out:
        name, other = other, name
    (run.root / other).unlink(missing_ok=True)  # of an earlier report
    write_json(
        run.root / name,
        {
            "study": study.name,
            "intended_use": RESEARCH_USE_ONLY,
            "endpoint": {"kind": endpoint.kind, "definition": definition},
            **head,
            "remarks": list(who.remarks),
            "excluded": dict(Counter(f"{e.role}: {e.reason}" for e in who.excluded)),
            "statistics" if held_out else "validation": to_json_dict(statistics),
            **(tail or {}),
        },
    )
    write_follow_up(who.patients, run)
    write_exclusions((*who.excluded, *who.scores_without_patient), run)
    facts = {"Software": {"jecur": jecur.__version__, **library_versions()}, **shown.pop("facts")}
    content = ReportContent(
        title=study.name,
        created=run.day_begun("report", fingerprint(study, *made_from)),
        endpoint_name=endpoint.kind,
        endpoint_definition=definition,
        statistics=statistics,
        baseline=describe_patients(
            study.cohort.covariates,
            who.patients,
            who.high_risk,
            f"Baseline characteristics, {who.called}",
        ),
        banner=shown.pop("banner", None) or _banner(study),
        facts=facts,
        **shown,
    )
    return write_report_folder(content, run.root)


def _banner(study: StudySettings) -> str:
    if not study.virtual:
        return ""
    return (
        "Virtual cohort: slides, patients and follow-up were simulated. No real patient is in it."
    )
