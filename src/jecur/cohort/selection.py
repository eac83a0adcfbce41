"""Distinct outcome: who can be learnt from with a yes or no (paper, section 3.1).

Good outcome: followed at least four years without the event. Poor: the event within 1.6 years,
exclusive. Everybody between is left out of training, and counted. Validation takes all comers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jecur.cohort.cohort import Exclusion, Patient

__all__ = ["DistinctOutcome", "select_distinct_outcome"]


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
