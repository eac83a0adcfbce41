"""Which patients a model can be trained on: distinct outcome, and no slide under two names.

Distinct outcome is a yes or no (paper, section 3.1).

Good outcome: followed at least four years without the event. Poor: the event within 1.6 years,
exclusive. Patients in between are left out of training, and counted. Validation takes all patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jecur.cohort.cohort import Exclusion, Patient, SlideEntry
from jecur.errors import TableError, TrainingError
from jecur.runs.folder import sha256_file

__all__ = [
    "DistinctOutcome",
    "refuse_labels_alike",
    "refuse_shared_files",
    "select_distinct_outcome",
    "select_everybody",
]


@dataclass(frozen=True, slots=True)
class DistinctOutcome:
    """Training patients split by outcome, and those that are neither."""

    good: tuple[Patient, ...]
    poor: tuple[Patient, ...]
    excluded: tuple[Exclusion, ...]


def select_distinct_outcome(
    patients: Sequence[Patient], *, good_months: float, poor_months: float
) -> DistinctOutcome:
    """Sort patients into good, poor and neither, with the reason.

    Parameters
    ----------
    patients
        With known follow-up.
    good_months
        Good: no event by this time, which was observed. An event later than this is good too.
    poor_months
        Poor: the event before this time.
    """
    good, poor, excluded = [], [], []
    for patient in patients:
        if patient.months >= good_months:
            good.append(patient)
        elif patient.event and patient.months < poor_months:
            poor.append(patient)
        else:
            reason = (
                f"no distinct outcome: event between {poor_months:g} and {good_months:g} months"
                if patient.event
                else f"no distinct outcome: followed less than {good_months:g} months"
            )
            excluded.append(Exclusion(patient.id, patient.role, reason))
    return DistinctOutcome(tuple(good), tuple(poor), tuple(excluded))


def select_everybody(patients: Sequence[Patient]) -> DistinctOutcome:
    """Take all patients, for Cox's partial likelihood: ``good`` without event, ``poor`` with event.

    Parameters
    ----------
    patients
        With known follow-up.
    """
    return DistinctOutcome(
        tuple(p for p in patients if not p.event), tuple(p for p in patients if p.event), ()
    )


def refuse_labels_alike(outcome: DistinctOutcome, where: str) -> None:
    """Refuse to train on patients who all have the same outcome.

    Parameters
    ----------
    outcome
        Patients to train on.
    where
        Names them: a role or a fold.

    Raises
    ------
    TrainingError
        With code ``labels-all-alike`` and the counts.
    """
    if not (outcome.good and outcome.poor):
        raise TrainingError(
            f"{where}: expected training patients of both outcomes, found {len(outcome.poor)} with an "
            f"early event (for Cox: any event), {len(outcome.good)} without and "
            f"{len(outcome.excluded)} that count as neither; the prognosis is not estimable from these: "
            "add patients or, for a loss with labels, change good_months and poor_months",
            code="labels-all-alike",
        )


def refuse_shared_files(patients: Sequence[Patient], *, across_roles: bool) -> None:
    """Refuse the same file, byte for byte, under two patients; files of one size are compared.

    Parameters
    ----------
    patients
        With their slides; files that are absent are another stage's matter.
    across_roles
        Only patients of different roles matter; else any two do (they may fall into two folds).

    Raises
    ------
    TableError
        With code ``leak``; names both patients and slides.
    """
    hashes: dict[Path, str] = {}
    by_size: dict[int, list[tuple[Patient, SlideEntry]]] = {}
    for patient in patients:
        for entry in patient.slides:
            if entry.path.is_file() and (size := entry.path.stat().st_size):
                by_size.setdefault(size, []).append((patient, entry))
    for alike in by_size.values():
        first: dict[str, tuple[Patient, SlideEntry]] = {}
        for patient, entry in alike if len(alike) > 1 else ():
            if entry.path not in hashes:
                hashes[entry.path] = sha256_file(entry.path)
            # Cores of one array share their file, and are told apart by their names.
            core = f" {entry.core.core}" if entry.core else ""
            other, slide = first.setdefault(hashes[entry.path] + core, (patient, entry))
            if other.id != patient.id and (not across_roles or other.role != patient.role):
                raise TableError(
                    f"expected every slide under one patient, found the same file as {slide.id} of "
                    f"{other.id} ({other.role}) and {entry.id} of {patient.id} ({patient.role}); "
                    "correct patients, roles or slides",
                    code="leak",
                )
