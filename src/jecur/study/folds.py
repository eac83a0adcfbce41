"""How the patients of a study are divided into folds, before any slide is read."""

from collections.abc import Sequence

from jecur.cohort.cohort import Patient
from jecur.cohort.selection import DistinctOutcome, refuse_labels_alike
from jecur.cohort.splits import Folds, split_patients
from jecur.settings import CrossvalSettings, StudySettings
from jecur.study.training_task import outcomes_of

__all__ = ["distinct_outcomes", "divide_study", "part_name"]


def divide_study(
    patients: Sequence[Patient], study: StudySettings, settings: CrossvalSettings
) -> list[Folds]:
    """Folds of every repeat; each leaves patients of both outcomes to train on."""
    refuse_labels_alike(distinct_outcomes(patients, study), "all patients")
    divisions = []
    for repeat in range(settings.repeats):
        division = split_patients(
            patients,
            n_folds=settings.folds,
            site_preserving=settings.site_preserving,
            seed=settings.seed + repeat,
        )
        for fold in range(settings.folds):
            held_out = division.fold_of == fold
            others = [p for p, out in zip(patients, held_out, strict=True) if not out]
            refuse_labels_alike(distinct_outcomes(others, study), part_name(repeat, fold))
        divisions.append(division)
    return divisions


def part_name(repeat: int, fold: int) -> str:
    """Name of the folder of one fold of one repeat, both counted from 0."""
    return f"repeat-{repeat + 1}-fold-{fold + 1}"


def distinct_outcomes(patients: Sequence[Patient], study: StudySettings) -> DistinctOutcome:
    """Patients whose outcome is known as the study trains on it."""
    return outcomes_of(patients, study.training)
