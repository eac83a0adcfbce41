"""Where every patient of the table went: training, tuning, scored, or excluded and why.

Patients = scored + excluded, with reasons; none is lost silently.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from jecur.cohort.cohort import Cohort, Exclusion, Patient
from jecur.report.content import FlowStep, Reason
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.settings import StudySettings, TrainingSettings
from jecur.study.score import ScoredPatient
from jecur.study.slide_task import PreparedSlide
from jecur.study.training_task import TrainingPatients

__all__ = ["exclusions", "patient_flow", "statements", "trained_counts"]


def exclusions(
    cohort: Cohort,
    training_patients: TrainingPatients,
    prepared: Mapping[str, PreparedSlide],
    scored: Sequence[ScoredPatient],
) -> list[Exclusion]:
    """Gather all patients who are neither trained on nor scored, each with a reason."""
    done = {score.patient for score in scored}
    unusable = [p for p in training_patients.patients if not _usable(p, prepared)]
    unusable += [p for p in cohort.of_role("validation") if p.id not in done]
    return [
        *cohort.excluded,
        *training_patients.training.excluded,
        *training_patients.tuning.excluded,
        *(Exclusion(p.id, p.role, _slide_reason(p, prepared)) for p in unusable),
    ]


def trained_counts(
    training_patients: TrainingPatients, prepared: Mapping[str, PreparedSlide]
) -> dict[str, int]:
    """Count the training and tuning patients with a bag."""

    def usable(patients: Sequence[Patient]) -> int:
        return sum(_usable(p, prepared) for p in patients)

    return {
        "n_good": usable(training_patients.training.good),
        "n_poor": usable(training_patients.training.poor),
        "n_tuning": usable((*training_patients.tuning.good, *training_patients.tuning.poor)),
    }


def patient_flow(
    study: StudySettings,
    cohort: Cohort,
    training_patients: TrainingPatients,
    excluded: Sequence[Exclusion],
    n_scored: int,
) -> tuple[FlowStep, ...]:
    """Follow the patients from the clinical table to the analysis."""
    total = len(cohort.patients) + len(cohort.excluded)
    gone = {e.patient for e in excluded}
    apart = Counter(
        e.reason if e.role == "unknown" else f"{e.role} role, {e.reason}"
        for e in excluded
        if e.role != "validation"
    )
    good, poor = _outcomes(study.training)
    for name, group in (
        (f"training role, trained on: {good}", training_patients.training.good),
        (f"training role, trained on: {poor}", training_patients.training.poor),
        (
            "tuning role, used to monitor training",
            (*training_patients.tuning.good, *training_patients.tuning.poor),
        ),
    ):
        apart[name] += sum(p.id not in gone for p in group)
    lost = Counter(e.reason for e in excluded if e.role == "validation")
    n_validation = n_scored + sum(lost.values())
    return (
        FlowStep("Patients in the clinical table", total, _reasons(apart)),
        FlowStep(
            "Patients with the validation role, never seen in training",
            n_validation,
            _reasons(lost),
        ),
        FlowStep("Scored and analyzed", n_scored),
    )


def statements(
    study: StudySettings, trained: Mapping[str, int], n_unmatched: int
) -> tuple[str, ...]:
    """Say what must stand at the top of a report."""
    good, poor = _outcomes(study.training)
    origin = f"on {trained['n_good']} patients ({good}) and {trained['n_poor']} ({poor})"
    if not any(trained.values()):
        origin = "before this study, on patients of its own (see its card)"
    said = (
        RESEARCH_USE_ONLY,
        f"The model was trained {origin}; cut-off and direction were locked before any validation "
        "patient was scored.",
    )
    if not n_unmatched:
        return said
    return (
        *said,
        f"{n_unmatched} slide files in the slide folder belong to no patient in the table.",
    )


def _outcomes(training: TrainingSettings) -> tuple[str, str]:
    """Name the two outcome groups of the training patients."""
    if training.loss.name == "cox":
        return "without event so far", "with event"
    return "good outcome", "poor outcome"


def _reasons(counts: Mapping[str, int]) -> tuple[Reason, ...]:
    return tuple(Reason(text, n) for text, n in counts.items() if n)


def _usable(patient: Patient, prepared: Mapping[str, PreparedSlide]) -> bool:
    slides = [prepared[entry.id] for entry in patient.slides if entry.id in prepared]
    return any(s.usable for s in slides)


def _slide_reason(patient: Patient, prepared: Mapping[str, PreparedSlide]) -> str:
    codes = sorted({prepared[entry.id].code or "no-tiles" for entry in patient.slides})
    return f"no usable slide: {', '.join(codes)}"
